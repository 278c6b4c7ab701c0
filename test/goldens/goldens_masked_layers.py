"""masked_layers.json: masked convolution, norms with and without masks, PReLU, resize, mask helpers, masked losses."""

import torch
import torch.nn.functional as F
from torch import nn

from common import data, write
from layer_case import generated, module_case, record

ABOUT = (
    "float64, 10 significant digits. x, gradOutput = generate('exact', seed, x), (seed + 3, y); mask = generate(mask.kind, "
    "seed + 4, mask.shape); state[i] = generate('exact', seed + 10 + i, shape) * scale + shift. masked: x is multiplied by the "
    "mask first (dx is through that product). original false: our extension where the original fails. buffers: after the call."
)


# --- masked convolution -----------------------------------------------------------------------------------------

def masked_conv(x, mask, weight, bias, stride, pads, dilation, groups, eps):
    """masked_torch's MaskedConv; pads [(before, after)] per axis. The mask is read at the tap floor(K/2) of each window."""
    dims = x.dim() - 2
    conv = F.conv1d if dims == 1 else F.conv2d
    around = [p for pair in reversed(pads) for p in pair]
    y = conv(F.pad(x, around), weight, bias, stride, 0, dilation, groups)
    if mask is None:
        return y
    with torch.no_grad():
        v = weight.abs().flatten(2).sum(-1).view(*weight.shape[:2], *[1] * dims)
        crop = []
        for axis in reversed(range(dims)):
            k, d, (before, after) = weight.shape[2 + axis], dilation[axis], pads[axis]
            crop += [before - d * (k // 2), after - d * (k - 1 - k // 2)]
        total = v.sum(1, keepdim=True).transpose(0, 1)
        updated = conv(F.pad(mask, crop), v, None, stride, 0, 1, groups) / (total + eps)
    return y * updated, updated


def conv_case(name, seed, x, out, kernel, mask="mask", original=True, masked=True, mask_batch=None, overrides=None, **options):
    dims = len(kernel)
    spread = lambda v: tuple(v) if isinstance(v, list) else (v,) * dims  # noqa: E731
    stride, dilation = spread(options.get("stride", 1)), spread(options.get("dilation", 1))
    groups, eps = options.get("groups", 1), options.get("eps", 1e-8)
    pads = []
    for k, d, p in zip(kernel, dilation, spread(options.get("padding", 0))):
        total = d * (k - 1)
        pads.append((total // 2, total - total // 2) if p == "same" else (p, p))
    weight, w_entry = generated(seed, 0, "weight", (out, x[1] // groups, *kernel), overrides)
    state, entries = {"weight": weight.requires_grad_()}, [w_entry]
    bias = None
    if options.get("bias", True):
        bias, b_entry = generated(seed, 1, "bias", (out,))
        state["bias"] = bias.requires_grad_()
        entries.append(b_entry)
    shape = (mask_batch or x[0], *x[1:])
    call = lambda xt, m: masked_conv(xt, m, weight, bias, stride, pads, dilation, groups, eps)  # noqa: E731
    return record(f"maskedConv{dims}d {name}", f"MaskedConv{dims}d", seed, x, options, call, state, entries,
                  (mask, shape) if mask else None, bool(mask and masked), original)  # fmt: skip


def masked_convs():
    x, x2 = (2, 3, 8), (2, 2, 5, 6)
    yield conv_case("k3 p1", 10, x, 4, [3], padding=1)
    yield conv_case("x not masked before", 30, x, 4, [3], padding=1, masked=False)
    yield conv_case("soft", 50, x, 2, [3], mask="soft", padding=1)
    yield conv_case("k1", 70, x, 2, [1])
    yield conv_case("k5 p3 s2 no bias", 90, x, 2, [5], padding=3, stride=2, bias=False)
    yield conv_case("groups", 110, (2, 4, 7), 4, [3], padding=1, groups=2)
    yield conv_case("depthwise", 130, (2, 4, 7), 8, [3], padding=1, groups=4)
    yield conv_case("eps 0.1", 150, x, 2, [3], padding=1, eps=0.1)
    yield conv_case("no mask", 170, x, 2, [3], mask=None, padding=1)
    yield conv_case("zero weights", 190, x, 2, [3], padding=1, overrides={"weight": (0.0, 0.0)})
    yield conv_case("one mask for the batch", 210, x, 2, [3], padding=1, mask_batch=1)
    yield conv_case("2-D k3 p1", 230, x2, 3, [3, 3], padding=1)
    yield conv_case("2-D k3x5 s2", 250, x2, 2, [3, 5], padding=[1, 2], stride=[2, 1])
    ours = {"original": False}
    yield conv_case("p0 crops", 300, x, 2, [3], **ours)
    yield conv_case("even k4 p1", 320, x, 2, [4], padding=1, **ours)
    yield conv_case("even k2 p0", 340, x, 2, [2], **ours)
    yield conv_case("dilation 2 p2", 360, x, 2, [3], padding=2, dilation=2, **ours)
    yield conv_case("dilation 2 p0 s2", 380, (2, 3, 11), 2, [3], dilation=2, stride=2, **ours)
    yield conv_case("same k4", 400, x, 2, [4], padding="same", **ours)
    yield conv_case("same k3 d3", 420, x, 2, [3], padding="same", dilation=3, **ours)
    yield conv_case("2-D even", 440, x2, 2, [2, 4], padding=[0, 1], dilation=[2, 1], **ours)


# --- norms ------------------------------------------------------------------------------------------------------

def masked_norm(x, mask, weight, bias, over, eps):
    """masked_torch's batch norm (over batch and space) and NeMo's instance norm (over space), equal for 0/1 masks."""
    m = mask.expand_as(x)
    n = m.sum(over, keepdim=True)
    mean = x.sum(over, keepdim=True) / n if 0 in over else (x * m).sum(over, keepdim=True) / n
    var = (((x - mean) * m) ** 2).sum(over, keepdim=True) / n
    y = (x - mean) / (var + eps).sqrt()
    if weight is not None:
        shape = (1, -1, *[1] * (x.dim() - 2))
        y = y * weight.view(shape) + bias.view(shape)
    return y, mean.detach(), var.detach()


def masked_norm_case(kind, name, seed, x, mask, affine=True, eps=1e-5, momentum=0.1, training=True, **options):
    dims, c = len(x) - 2, x[1]
    state, entries = {}, []
    for i, key in enumerate(("weight", "bias") if affine else ()):
        value, entry = generated(seed, i, key, (c,))
        state[key] = value.requires_grad_()
        entries.append(entry)
    over = [0, *range(2, dims + 2)] if kind == "Batch" else list(range(2, dims + 2))
    buffers = {}
    if kind == "Batch":
        for key in ("running_mean", "running_var"):
            buffers[key], entry = generated(seed, len(entries), key, (c,))
            entries.append(entry)

    def call(xt, m):
        weight, bias = state.get("weight"), state.get("bias")
        if not training:
            return F.batch_norm(xt, buffers["running_mean"], buffers["running_var"], weight, bias, False, momentum, eps)
        y, mean, var = masked_norm(xt, m, weight, bias, over, eps)
        for key, value in (("running_mean", mean), ("running_var", var)) if buffers else ():
            buffers[key] = (1 - momentum) * buffers[key] + momentum * value.flatten()
        return y

    layer = f"Masked{kind}Norm{dims}d"
    options = {**options, **({} if affine else {"affine": False}), **({"eps": eps} if eps != 1e-5 else {}),
               **({"momentum": momentum} if momentum != 0.1 else {})}  # fmt: skip
    return record(f"{layer} {name}", layer, seed, x, options, call, state, entries, mask, kind == "Batch", True, training,
                  (lambda: buffers) if buffers else None)  # fmt: skip


def norms():
    x, x2 = (3, 2, 6), (2, 3, 3, 4)
    full, one = ("mask", x), ("mask", (3, 1, 6))
    yield masked_norm_case("Batch", "train", 510, x, full)
    yield masked_norm_case("Batch", "train [N, 1, L]", 530, x, one)
    yield masked_norm_case("Batch", "train soft", 550, x, ("soft", x))
    yield masked_norm_case("Batch", "eval", 570, x, full, training=False)
    yield masked_norm_case("Batch", "eps and momentum", 590, x, full, eps=0.01, momentum=0.3)
    yield masked_norm_case("Batch", "no affine", 610, x, full, affine=False)
    yield masked_norm_case("Batch", "train", 630, x2, ("mask", x2))
    yield masked_norm_case("Batch", "eval", 650, x2, ("mask", x2), training=False)
    yield masked_norm_case("Instance", "affine", 710, x, one)
    yield masked_norm_case("Instance", "no affine", 730, x, one, affine=False)
    yield masked_norm_case("Instance", "affine", 750, x2, ("mask", (2, 1, 3, 4)))
    for training in (True, False):
        mode = "train" if training else "eval"
        s = 810 if training else 910
        yield module_case(f"BatchNorm1d {mode}", "BatchNorm1d", s, x, {}, nn.BatchNorm1d(2), training)
        yield module_case(f"BatchNorm1d {mode} [N, C]", "BatchNorm1d", s + 15, (4, 3), {}, nn.BatchNorm1d(3), training)
        odd = nn.BatchNorm1d(2, eps=0.01, momentum=0.3, affine=False)
        named = {"eps": 0.01, "momentum": 0.3, "affine": False}
        yield module_case(f"BatchNorm1d {mode} options", "BatchNorm1d", s + 30, x, named, odd, training)
        yield module_case(f"BatchNorm2d {mode}", "BatchNorm2d", s + 45, x2, {}, nn.BatchNorm2d(3), training)
        yield module_case(f"InstanceNorm1d {mode}", "InstanceNorm1d", s + 60, x, {}, nn.InstanceNorm1d(2), training)
        affine = nn.InstanceNorm1d(2, affine=True)
        yield module_case(f"InstanceNorm1d affine {mode}", "InstanceNorm1d", s + 75, x, {"affine": True}, affine, training)
        affine = nn.InstanceNorm2d(3, affine=True)
        yield module_case(f"InstanceNorm2d affine {mode}", "InstanceNorm2d", s + 90, x2, {"affine": True}, affine, training)


# --- activations, resize, mask helpers, losses ------------------------------------------------------------------

def helpers():
    x, x2 = (2, 3, 5), (1, 2, 3, 4)
    yield module_case("PReLU one", "PReLU", 1010, x, {"numParameters": 1}, nn.PReLU())
    yield module_case("PReLU channels", "PReLU", 1030, x, {"numParameters": 3}, nn.PReLU(3))
    yield module_case("PReLU 2-D", "PReLU", 1050, x2, {"numParameters": 2}, nn.PReLU(2))
    yield module_case("ReLU", "ReLU", 1070, x, {}, nn.ReLU())
    up = lambda mode, **o: nn.Upsample(mode=mode, align_corners=True, **o)  # noqa: E731
    for i, size in enumerate((5, 9, 3, 1, 12)):
        yield module_case(f"Upsample1d size {size}", "Upsample1d", 1110 + i, x, {"size": size}, up("linear", size=size))
    for i, scale in enumerate((2, 3, 1.5, 0.5)):
        yield module_case(f"Upsample1d scale {scale}", "Upsample1d", 1120 + i, x, {"scaleFactor": scale}, up("linear", scale_factor=scale))
    for i, size in enumerate(((5, 7), (1, 4), (2, 9))):
        yield module_case(f"Upsample2d size {size}", "Upsample2d", 1130 + i, x2, {"size": list(size)}, up("bilinear", size=size))
    yield module_case("Upsample2d scale 2", "Upsample2d", 1140, x2, {"scaleFactor": 2}, up("bilinear", scale_factor=2))
    mask = ("soft", x)
    yield record("ApplyMask", "ApplyMask", 1210, x, {}, lambda xt, m: xt * m, mask=mask)
    yield record("UnMask", "UnMask", 1230, x, {}, lambda xt, m: xt / (m + 1e-8), mask=("ones", x))
    yield record("UnMask eps", "UnMask", 1231, x, {"eps": 0.25}, lambda xt, m: xt / (m + 0.25), mask=mask)
    space = lambda t, name: getattr(t, name)(tuple(range(2, t.dim())), keepdim=True)  # noqa: E731
    for shape, dims in ((x, 1), (x2, 2)):
        yield record(f"SpatialMean {dims}-D", "SpatialMean", 1240 + dims, shape, {}, lambda xt, _: space(xt, "mean"))
        mean = lambda xt, m: (space(xt, "sum") / (space(m, "sum") + 1e-8), space(m, "mean"))  # noqa: E731
        yield record(f"MaskedSpatialMean {dims}-D", "MaskedSpatialMean", 1250 + dims, shape, {}, mean, mask=("mask", shape), masked=True)
    shuffle = lambda t, f: t.unflatten(2, (-1, f)).permute(0, 1, 3, 2).flatten(1, 2)  # noqa: E731
    yield record("Unshuffle1d 2", "Unshuffle1d", 1260, (2, 3, 6), {"factor": 2}, lambda xt, _: shuffle(xt, 2))
    yield record("Unshuffle1d 3", "Unshuffle1d", 1261, (2, 2, 6), {"factor": 3}, lambda xt, _: shuffle(xt, 3))
    yield module_case("Unshuffle2d 2", "Unshuffle2d", 1270, (1, 2, 4, 6), {"factor": 2}, nn.PixelUnshuffle(2))
    shuffled = lambda xt, m: (F.pixel_unshuffle(xt, 2), F.pixel_unshuffle(m, 2))  # noqa: E731
    shape = (1, 2, 4, 6)
    yield record("MaskedUnshuffle2d 2", "MaskedUnshuffle2d", 1280, shape, {"factor": 2}, shuffled, mask=("mask", shape), masked=True)


def losses():
    """target = generate('exact', seed + 1, x); masked: mean over the valid elements, soft masks weight them."""
    x = (2, 3, 5)
    power = {"mseLoss": lambda d: d**2, "l1Loss": lambda d: d.abs(), "maskedMseLoss": lambda d: d**2, "maskedL1Loss": lambda d: d.abs()}
    for i, (name, f) in enumerate(power.items()):
        for j, mask in enumerate([("mask", x), ("mask", (2, 1, 5)), ("soft", x)] if "masked" in name else [None]):
            seed = 1310 + 20 * i + j

            def call(xt, m, f=f, seed=seed):
                d = f(xt - data("exact", seed + 1, x))
                return d.mean() if m is None else (d * m).sum() / m.expand_as(d).sum()

            yield record(f"{name} {list(mask[1]) if mask else ''} {mask[0] if mask else ''}".strip(), name, seed, x, {}, call, mask=mask)


def main():
    cases = list(masked_convs()) + list(norms()) + list(helpers()) + list(losses())
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), "names must be unique"
    write("masked_layers", ABOUT, cases=cases)
