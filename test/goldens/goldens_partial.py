"""partial.json: partial convolution as NVIDIA's formula (NeMo's select for eps = 0), forward and autograd gradients."""

import random

import torch
import torch.nn.functional as F

from common import DTYPES, data, flat, pack, write

ABOUT = (
    "Partial convolution. x, weight, bias, gradOutput = generate(data, seed + 0..3); mask = generate(mask.kind, seed + 4, "
    "mask.shape), absent = no mask. ratio: [N|1, 1|groups, ...] (one channel per group of a counted multi-channel mask); "
    "updated: as the layer returns it. float64 to 1e-7, float32 to 1.3e-6 and 1e-5 (torch.testing)."
)
MODES = ["zeros", "reflect", "replicate", "circular"]


def partial_conv(x, mask, weight, bias, o, pads):
    """x [N, C, ...], mask [N|1, 1|C, ...]. pads: F.pad order (last axis first). Returns y, ratio, updated."""
    groups, stride, dilation = o["groups"], o["stride"], o["dilation"]
    conv = F.conv1d if x.dim() == 3 else F.conv2d
    mode = "constant" if o["paddingMode"] == "zeros" else o["paddingMode"]
    taps = weight[0, 0].numel()
    with torch.no_grad():
        if not o["multiChannel"]:
            counted, kernel, count_groups = mask[:, :1], torch.ones_like(weight[:1, :1]), 1
        else:  # masked_torch's group-aware count, or the original's over all input channels
            count_groups = groups if o["countGroups"] else 1
            per_group = x.shape[1] // count_groups
            counted = mask
            kernel = weight.new_ones(count_groups, per_group, *weight.shape[2:])
        window = kernel.shape[1] * taps
        count = conv(F.pad(counted, pads, mode=mode), kernel, None, stride, 0, dilation, count_groups)
        divisor = count + o["eps"] if o["eps"] > 0 else torch.where(count > 0, count, window)
        ratio = torch.where(count > 0, window / divisor, torch.zeros_like(count))
        updated = count.clamp(0, 1)
        spread = (lambda t: t.repeat_interleave(weight.shape[0] // t.shape[1], 1)) if o["multiChannel"] else (lambda t: t)
    masked = torch.where(mask == 0, torch.zeros_like(x), x * mask)
    y = conv(F.pad(masked, pads, mode=mode), weight, None, stride, 0, dilation, groups) * spread(ratio)
    if bias is not None:
        y = y + bias.view(-1, *[1] * (x.dim() - 2))
    return y * spread(updated), ratio, spread(updated)


def resolved_pads(padding, kernel, dilation):
    """F.pad's list: last axis first, 'same' with the odd extra at the end."""
    pads = []
    for p, k, d in reversed(list(zip(padding if isinstance(padding, tuple) else [padding] * len(kernel), kernel, dilation))):
        total = d * (k - 1)
        pads += [total // 2, total - total // 2] if p == "same" else [0, 0] if p == "valid" else [p, p]
    return pads


def as_tuple(value, dims):
    return value if isinstance(value, tuple) else (value,) * dims


def case(name, x, out, kernel, mask, kind="exact", dtype="float64", seed=1, **options):
    """mask: (kind, shape as the user passes it) or None."""
    kernel = as_tuple(kernel, 1)
    dims = len(kernel)
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True, "paddingMode": "zeros"}
    o = {**defaults, "multiChannel": False, "eps": 0, "countGroups": True, **options}
    o["stride"], o["dilation"] = as_tuple(o["stride"], dims), as_tuple(o["dilation"], dims)
    t = DTYPES[dtype]
    unbatched = len(x) == dims + 1
    channels = x[0] if unbatched else x[1]
    weight_shape = (out, channels // o["groups"], *kernel)
    xt = data(kind, seed, x, t, grad=True)
    weight = data(kind, seed + 1, weight_shape, t, grad=True)
    bias = data(kind, seed + 2, (out,), t, grad=True) if o["bias"] else None
    full = xt.unsqueeze(0) if unbatched else xt
    if mask is None:
        m = torch.ones(1, channels if o["multiChannel"] else 1, *full.shape[2:], dtype=t)
    else:
        m = data(mask[0], seed + 4, mask[1], t)
        if m.dim() == dims + 1 and not unbatched:  # [N, ...]
            m = m.unsqueeze(1)
        while m.dim() < dims + 2:
            m = m.unsqueeze(0)
    y, ratio, updated = partial_conv(full, m, weight, bias, o, resolved_pads(o["padding"], kernel, o["dilation"]))
    assert torch.isfinite(y).all()
    if unbatched:
        y, updated = y[0], updated[0]
    y.backward(data(kind, seed + 3, y.shape, t))
    record = {
        "name": f"partialConv{dims}d {name}",
        "op": f"partialConv{dims}d",
        "dtype": dtype,
        "data": kind,
        "seed": seed,
        "x": list(x),
        "weight": list(weight_shape),
        "options": {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
        "mask": mask and {"kind": mask[0], "shape": list(mask[1])},
        "y": pack(y),
        "ratio": pack(ratio),
        "updated": pack(updated),
        "dx": flat(xt.grad),
        "dw": flat(weight.grad),
    }
    if mask is None:
        del record["mask"]
    if bias is not None:
        record["db"] = flat(bias.grad)
    return record


def systematic():
    x, single, multi = (2, 3, 10), ("mask", (2, 1, 10)), ("mask", (2, 3, 10))
    for dtype in ("float32", "float64"):
        s = 1 if dtype == "float32" else 101
        f = {"dtype": dtype}
        yield case(f"single {dtype}", x, 4, 3, single, seed=s, **f)
        yield case(f"single pad 1 no bias {dtype}", x, 4, 3, single, seed=s + 1, padding=1, bias=False, **f)
        yield case(f"multi pad 1 {dtype}", x, 4, 3, multi, seed=s + 2, padding=1, multiChannel=True, **f)
        yield case(f"sparse empty windows {dtype}", x, 4, 2, ("sparse", (2, 1, 10)), seed=s + 3, **f)
        yield case(f"no mask pad 2 {dtype}", x, 4, 5, None, seed=s + 4, padding=2, **f)
        for eps in (1e-8, 1e-6):
            yield case(f"eps {eps} {dtype}", x, 4, 3, single, seed=s + 5, padding=1, eps=eps, **f)
            yield case(f"eps {eps} multi sparse {dtype}", x, 2, 3, ("sparse", x), seed=s + 6, multiChannel=True, eps=eps, **f)
        yield case(f"soft {dtype}", x, 4, 3, ("soft", (2, 1, 10)), seed=s + 7, padding=1, **f)
        yield case(f"soft multi {dtype}", x, 4, 1, ("soft", x), seed=s + 8, multiChannel=True, **f)
        yield case(f"fine data {dtype}", x, 4, 3, multi, "fine", seed=s + 9, multiChannel=True, padding="same", **f)
    # mask forms
    for i, shape in enumerate([(2, 1, 10), (1, 1, 10), (2, 10), (10,)]):
        yield case(f"mask form {list(shape)}", x, 2, 3, ("mask", shape), seed=200 + i)
    for i, shape in enumerate([(2, 3, 10), (1, 3, 10)]):
        yield case(f"mask form multi {list(shape)}", x, 2, 3, ("mask", shape), seed=210 + i, multiChannel=True)
    yield case("unbatched mask [L]", (3, 10), 2, 3, ("mask", (10,)), seed=220)
    yield case("unbatched mask [1, L]", (3, 10), 2, 3, ("mask", (1, 10)), seed=221)
    yield case("unbatched mask [C, L]", (3, 10), 2, 3, ("mask", (3, 10)), seed=222, multiChannel=True)
    yield case("unbatched no mask", (3, 10), 2, 3, None, seed=223, padding=1)
    yield case("zero batch", (0, 3, 10), 2, 3, ("mask", (1, 1, 10)), seed=224)
    x2, m2 = (2, 3, 5, 6), ("mask", (2, 1, 5, 6))
    for i, shape in enumerate([(2, 1, 5, 6), (1, 1, 5, 6), (2, 5, 6), (5, 6)]):
        yield case(f"mask form {list(shape)}", x2, 2, (3, 2), ("mask", shape), seed=230 + i)
    for i, shape in enumerate([x2, (1, 3, 5, 6)]):
        yield case(f"mask form multi {list(shape)}", x2, 2, (3, 2), ("mask", shape), seed=240 + i, multiChannel=True)
    yield case("unbatched 2-D multi", (3, 5, 6), 2, (3, 2), ("mask", (3, 5, 6)), seed=250, multiChannel=True)
    # geometry
    for k in (1, 2, 4, 5):
        yield case(f"k{k} same", x, 2, k, single, seed=260 + k, padding="same")
    yield case("valid k4", x, 2, 4, single, seed=270, padding="valid")
    for s, p, d in ((2, 0, 1), (2, 1, 2), (3, 2, 1), (1, 4, 3)):
        yield case(f"s{s} p{p} d{d}", x, 2, 3, single, seed=270 + 5 * s + p, stride=s, padding=p, dilation=d)
        yield case(f"multi s{s} p{p} d{d}", x, 2, 3, multi, seed=290 + 5 * s + p, stride=s, padding=p, dilation=d, multiChannel=True)
    for s, p, d in (((2, 1), (1, 0), (1, 2)), ((1, 2), (2, 1), (2, 1))):
        yield case(f"2-D s{s[0]},{s[1]}", x2, 2, (2, 3), m2, seed=310 + p[0], stride=s, padding=p, dilation=d)
    for mode in MODES[1:]:
        for name, options in {"pad 2": {}, "s2 d2": {"stride": 2, "dilation": 2}, "multi": {"multiChannel": True}}.items():
            m = ("sparse", x) if "multiChannel" in options else ("sparse", (2, 1, 10))
            yield case(f"{mode} {name}", x, 2, 3, m, seed=320 + len(name), padding=2, paddingMode=mode, **options)
        yield case(f"{mode} same k4", x, 2, 4, single, seed=330, padding="same", paddingMode=mode)
        yield case(f"{mode} no mask", x, 2, 3, None, seed=331, padding=1, paddingMode=mode)
        yield case(f"{mode} 2-D", x2, 2, (3, 3), m2, seed=332, padding=(1, 2), paddingMode=mode)
    for g, c, o in ((2, 4, 6), (4, 4, 4), (3, 6, 3)):
        for count_groups in (True, False):
            named = {"groups": g, "padding": 1, "multiChannel": True, "countGroups": count_groups}
            yield case(f"groups {g} C{c} count {count_groups}", (2, c, 8), o, 3, ("sparse", (2, c, 8)), seed=340 + g, **named)
        yield case(f"groups {g} C{c} single", (2, c, 8), o, 3, ("sparse", (2, 1, 8)), seed=350 + g, groups=g, padding=1)
    named = {"groups": 2, "multiChannel": True, "padding": 1}
    yield case("2-D groups", (1, 4, 5, 5), 4, (3, 3), ("sparse", (1, 4, 5, 5)), seed=360, **named)
    yield case("2-D no mask multi", x2, 2, (3, 3), None, seed=361, padding=1, multiChannel=True)
    yield case("2-D soft eps", x2, 2, (3, 3), ("soft", (1, 1, 5, 6)), seed=362, padding=1, eps=1e-6)


def drawn(count, dims):
    rng = random.Random(5358 + dims)
    made = 0
    while made < count:
        groups = rng.choice([1, 1, 2, 3])
        c, o = groups * rng.randint(1, 2), groups * rng.randint(1, 2)
        space = tuple(rng.randint(3, 6 if dims == 2 else 12) for _ in range(dims))
        per_axis = lambda lo, hi: tuple(rng.randint(lo, hi) for _ in range(dims))  # noqa: E731
        multi = rng.random() < 0.5
        options = {"dilation": per_axis(1, 2), "groups": groups, "bias": rng.random() < 0.7, "multiChannel": multi}
        if rng.random() < 0.3:
            options["padding"] = "same"
        else:
            options["padding"], options["stride"] = per_axis(0, 3), per_axis(1, 3)
        options["paddingMode"] = rng.choice(MODES + ["zeros"])
        options["eps"] = rng.choice([0, 0, 1e-8, 1e-6])
        options["countGroups"] = rng.random() < 0.7
        mask = (rng.choice(["mask", "sparse", "soft"]), (rng.choice([1, 2]), c if multi else 1, *space))
        seed = 3000 + 1000 * dims + 10 * made
        kernel = per_axis(1, 4)
        try:
            yield case(f"random {made}", (2, c, *space), o, kernel, mask, "fine", rng.choice(["float32", "float64"]), seed, **options)
        except RuntimeError:
            continue
        made += 1


def main():
    cases = list(systematic()) + list(drawn(40, 1)) + list(drawn(40, 2))
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), "names must be unique"
    write("partial", ABOUT, cases=cases)
