"""conv.json: torch.nn.Conv1d / Conv2d, forward and gradients, every option and dtype."""

import random

import torch

from common import DTYPES, data, flat, pack, write

ABOUT = (
    "torch.nn.Conv1d/Conv2d. x, weight, bias, gradOutput = generate(data, seed + 0, 1, 2, 3, shape) of load.ts; "
    "gradOutput has y's shape. options are the layer's. dx, dw, db have the shapes of x, weight, bias. "
    "data 'exact' and 'spec' are exact in float32: compare float32/64 and complex for equality. "
    "float16 and bfloat16: the exact result rounded once, as we promise; PyTorch's own forward is equal to it (asserted), "
    "but its float16 CPU backward rounds every product to half and misses its own tolerance, so its gradients are not used."
)
KINDS = {"exact": ("exact",) * 4, "fine": ("fine",) * 4, "spec": ("X", "W", "B", "G")}
SNAKE = {"paddingMode": "padding_mode"}
MODES = ["zeros", "reflect", "replicate", "circular"]


def run(x, out, kernel, kinds, dtype, seed, options):
    """Forward and gradients by PyTorch: layer, y, dx, dw, db."""
    pair = isinstance(kernel, (tuple, list))
    layer_type = torch.nn.Conv2d if pair else torch.nn.Conv1d
    named = {SNAKE.get(k, k): v for k, v in options.items()}
    layer = layer_type(x[-3 if pair else -2], out, kernel, dtype=dtype, **named)
    with torch.no_grad():
        layer.weight.copy_(data(kinds[1], seed + 1, layer.weight.shape, dtype))
        if layer.bias is not None:
            layer.bias.copy_(data(kinds[2], seed + 2, layer.bias.shape, dtype))
    xt = data(kinds[0], seed, x, dtype, grad=True)
    y = layer(xt)
    y.backward(data(kinds[3], seed + 3, y.shape, dtype))
    return layer, y, xt.grad, layer.weight.grad, None if layer.bias is None else layer.bias.grad


def case(name, x, out, kernel, kind="exact", dtype="float32", seed=1, **options):
    """x: shape with or without batch; out: output channels; kernel: int (1-D) or pair (2-D)."""
    pair = isinstance(kernel, (tuple, list))
    kinds, target = KINDS[kind], DTYPES[dtype]
    layer, y, *gradients = run(x, out, kernel, kinds, target, seed, options)
    if target.itemsize == 2:
        _, exact, *gradients = run(x, out, kernel, kinds, torch.float64, seed, options)
        assert torch.equal(y, exact.to(target)), name
        gradients = [g if g is None else g.to(target) for g in gradients]
    record = {
        "name": f"{'conv2d' if pair else 'conv1d'} {name}",
        "op": "conv2d" if pair else "conv1d",
        "dtype": dtype,
        "data": kind,
        "seed": seed,
        "x": list(x),
        "weight": list(layer.weight.shape),
        "options": {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
        "y": pack(y),
    }
    for key, gradient in zip(("dx", "dw", "db"), gradients):
        if gradient is not None:
            record[key] = flat(gradient)
    return record


def systematic():
    """Each option alone and the pairs that meet in one loop of the engine."""
    yield case("spec data", (2, 3, 9), 4, 3, "spec")
    yield case("spec data stride 2 pad 1", (2, 3, 9), 4, 3, "spec", stride=2, padding=1)
    yield case("spec data 2-D", (2, 2, 5, 6), 3, (3, 2), "spec", padding=1)
    for k in (1, 2, 3, 4, 5, 7, 8):
        yield case(f"k{k}", (2, 2, 11), 3, k, seed=10 + k)
    for s in (1, 2, 3, 5):
        for p in (0, 1, 2, 4):
            yield case(f"k3 s{s} p{p}", (1, 2, 10), 3, 3, seed=20 + 5 * s + p, stride=s, padding=p)
    for s in (1, 2):
        for d in (2, 3):
            for p in (0, 3):
                seed = 60 + 10 * s + 3 * d + p
                yield case(f"k3 s{s} d{d} p{p}", (2, 2, 11), 2, 3, seed=seed, stride=s, dilation=d, padding=p)
    for k in (1, 2, 3, 4, 5, 8):
        for d in (1, 2, 3):
            yield case(f"same k{k} d{d}", (1, 2, 9), 2, k, seed=100 + 4 * k + d, padding="same", dilation=d)
    yield case("same, x shorter than the kernel", (1, 2, 3), 2, 8, seed=140, padding="same")
    yield case("valid k4", (1, 2, 9), 2, 4, seed=141, padding="valid")
    for mode in MODES[1:]:
        for k, p, s, d in ((3, 1, 1, 1), (3, 2, 2, 1), (4, "same", 1, 1), (4, "same", 1, 2), (3, 5, 1, 2), (2, "valid", 1, 1)):
            seed = 150 + 10 * MODES.index(mode) + k + s + d
            name = f"{mode} k{k} p{p} s{s} d{d}"
            yield case(name, (2, 2, 7), 2, k, seed=seed, padding=p, stride=s, dilation=d, paddingMode=mode)
    yield case("circular, pad equal to length", (1, 1, 4), 2, 3, seed=190, padding=4, paddingMode="circular")
    yield case("replicate, pad longer than length", (1, 1, 2), 2, 3, seed=191, padding=5, paddingMode="replicate")
    yield case("negative padding, circular", (1, 2, 8), 2, 3, seed=192, padding=-1, paddingMode="circular")
    for g, c, o in ((2, 4, 4), (2, 4, 6), (3, 6, 3), (4, 4, 4), (4, 4, 8), (6, 6, 12)):
        yield case(f"groups {g} C{c} O{o}", (2, c, 7), o, 3, seed=200 + g + o, groups=g, padding=1)
    yield case("depthwise stride 2 dilation 2", (2, 5, 11), 5, 3, seed=220, groups=5, stride=2, dilation=2, padding=2)
    yield case("depthwise k32, pytorch issue 120547", (1, 16, 1), 16, 32, seed=221, groups=16, padding=16)
    for bias in (True, False):
        yield case(f"unbatched bias {bias}", (3, 8), 4, 3, seed=230, bias=bias, padding=1)
        yield case(f"unbatched same bias {bias}", (4, 3), 5, 3, seed=231, bias=bias, padding="same")
        yield case(f"unbatched 2-D bias {bias}", (2, 4, 5), 3, (2, 3), seed=232, bias=bias)
    yield case("zero batch", (0, 3, 8), 4, 3, seed=240)
    yield case("zero batch circular groups", (0, 4, 8), 4, 3, seed=241, groups=2, padding=1, paddingMode="circular")
    yield case("zero batch 2-D", (0, 2, 4, 5), 3, (2, 3), seed=242, stride=(1, 2))
    yield case("one output position", (2, 3, 5), 2, 5, seed=243)
    yield case("stride beyond the length", (2, 3, 5), 2, 2, seed=244, stride=7)
    yield case("wide enough for vectors", (1, 5, 67), 9, 3, seed=245, padding=1)
    yield case("wide stride 2", (1, 3, 70), 17, 5, seed=246, stride=2, padding=2)
    yield case("many channels 1x1", (1, 37, 6), 11, 1, seed=247)
    # 2-D
    for kernel in ((1, 1), (1, 3), (3, 1), (2, 3), (3, 3), (4, 4)):
        yield case(f"k{kernel[0]}x{kernel[1]}", (1, 2, 6, 5), 3, kernel, seed=300 + 5 * kernel[0] + kernel[1])
    for s, p, d in (((2, 1), (1, 0), (1, 1)), ((1, 2), (0, 2), (2, 1)), ((2, 3), (2, 1), (1, 2)), ((3, 2), (1, 2), (2, 2))):
        name = f"k3x2 s{s[0]},{s[1]} p{p[0]},{p[1]} d{d[0]},{d[1]}"
        seed = 330 + s[0] + 3 * p[1] + d[0]
        yield case(name, (2, 2, 7, 6), 2, (3, 2), seed=seed, stride=s, padding=p, dilation=d)
    for kernel, d in (((2, 2), 1), ((3, 4), 1), ((4, 3), (2, 1)), ((1, 5), 3)):
        seed = 350 + kernel[0] + kernel[1]
        yield case(f"same k{kernel[0]}x{kernel[1]} d{d}", (1, 2, 5, 6), 2, kernel, seed=seed, padding="same", dilation=d)
    for mode in MODES[1:]:
        yield case(f"{mode} p(1,2)", (1, 2, 4, 5), 2, (3, 3), seed=360, padding=(1, 2), paddingMode=mode)
        yield case(f"{mode} same k3x4", (1, 2, 5, 6), 2, (3, 4), seed=361, padding="same", paddingMode=mode)
        yield case(f"{mode} s2 d2", (1, 2, 6, 7), 2, (2, 3), seed=362, padding=2, stride=2, dilation=2, paddingMode=mode)
    for g, c, o in ((2, 4, 6), (4, 4, 4), (3, 3, 6)):
        yield case(f"2-D groups {g} C{c} O{o}", (2, c, 5, 4), o, (3, 3), seed=370 + g, groups=g, padding=1)


def across_dtypes():
    """The same few geometries in every dtype."""
    for i, dtype in enumerate(DTYPES):
        if dtype == "float32":
            continue
        s = 400 + 20 * i
        yield case(f"plain {dtype}", (2, 3, 9), 4, 3, dtype=dtype, seed=s)
        yield case(f"no bias s2 p1 {dtype}", (2, 3, 9), 4, 3, dtype=dtype, seed=s + 1, stride=2, padding=1, bias=False)
        yield case(f"same k4 d2 {dtype}", (1, 2, 8), 3, 4, dtype=dtype, seed=s + 2, padding="same", dilation=2)
        yield case(f"groups 2 {dtype}", (2, 4, 7), 6, 3, dtype=dtype, seed=s + 3, groups=2, padding=1)
        yield case(f"depthwise {dtype}", (2, 4, 7), 4, 3, dtype=dtype, seed=s + 4, groups=4, dilation=2)
        for mode in MODES[1:]:
            yield case(f"{mode} {dtype}", (1, 2, 6), 3, 3, dtype=dtype, seed=s + 5, padding=2, paddingMode=mode)
        yield case(f"unbatched {dtype}", (3, 8), 2, 3, dtype=dtype, seed=s + 6)
        yield case(f"zero batch {dtype}", (0, 3, 8), 2, 3, dtype=dtype, seed=s + 7)
        yield case(f"2-D {dtype}", (1, 2, 5, 6), 3, (3, 2), dtype=dtype, seed=s + 8, padding=1, stride=(2, 1))
        yield case(f"2-D groups same {dtype}", (1, 4, 4, 5), 4, (2, 3), dtype=dtype, seed=s + 9, padding="same", groups=2)
        yield case(f"channels 24 {dtype}", (1, 24, 9), 8, 3, dtype=dtype, seed=s + 10, padding=1)


def drawn(count, dims):
    """Seeded random geometries; a rejected one (reflect and circular limits, short x) is drawn again."""
    rng = random.Random(2026 + dims)
    made = 0
    while made < count:
        groups = rng.choice([1, 1, 1, 2, 3])
        c, o = groups * rng.randint(1, 3), groups * rng.randint(1, 3)
        kernel = tuple(rng.randint(1, 4 if dims == 2 else 6) for _ in range(dims))
        space = tuple(rng.randint(2, 6 if dims == 2 else 14) for _ in range(dims))
        per_axis = lambda lo, hi: tuple(rng.randint(lo, hi) for _ in range(dims))  # noqa: E731
        options = {"dilation": per_axis(1, 3), "groups": groups, "bias": rng.random() < 0.7}
        if rng.random() < 0.25:
            options["padding"] = "same"
        else:
            options["padding"], options["stride"] = per_axis(0, 3), per_axis(1, 3)
        options["paddingMode"] = rng.choice(MODES + ["zeros"])
        batch = rng.choice([(), (1,), (2,), (3,)])
        dtype = rng.choice(["float32", "float32", "float64"])
        try:
            x = batch + (c,) + space
            k = kernel if dims == 2 else kernel[0]
            yield case(f"random {made}", x, o, k, "fine", dtype, 1000 * dims + made * 10, **options)
        except (RuntimeError, ValueError):
            continue
        made += 1


def main():
    cases = list(systematic()) + list(across_dtypes()) + list(drawn(60, 1)) + list(drawn(60, 2))
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), "names must be unique"
    write("conv", ABOUT, cases=cases)
