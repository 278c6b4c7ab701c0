"""rng.json: bit patterns of torch.rand, torch.randn and of freshly made convolution layers on the CPU."""

import torch

from common import DTYPES, bits, flat, write

ABOUT = (
    "CPU generator of PyTorch (hardware with FMA). bits: hex string, fixed width per element (float16/bfloat16 4, float32 8, "
    "float64 16; complex as re, im). next: bits of rand([1]) float32 drawn right after, which pins how much was consumed. "
    "seed is a decimal string. randn of 16 or more elements uses vectorised log and cos: values, to compare with a tolerance."
)
SEEDS = [0, 42, 1337, 2**32 + 42, -1, 0x7FFF_FFFF_FFFF_FFFF, 123456789]
REAL = ["float32", "float64", "float16", "bfloat16"]
SIZES = [1, 5, 15, 16, 20, 33]


def draw(op, seed, shape, dtype):
    torch.manual_seed(seed)
    value = getattr(torch, op)(shape, dtype=DTYPES[dtype])
    case = {"op": op, "seed": str(seed), "shape": list(shape), "dtype": dtype}
    if op == "rand" or value.numel() < 16:
        case["bits"] = bits(value)
    else:
        case["data"] = flat(value)
    case["next"] = bits(torch.rand(1))
    return case


def draws():
    for op in ("rand", "randn"):
        for dtype in REAL:
            for seed in SEEDS:
                for size in SIZES if seed in (0, 42, -1) else (1, 16, 33):
                    yield draw(op, seed, (size,), dtype)
            yield draw(op, 42, (1000,), dtype)
            yield draw(op, 7, (3, 2, 4), dtype)
            yield draw(op, 7, (0,), dtype)
        for dtype in ("complex64", "complex128"):
            for seed in (42, 1337):
                yield draw(op, seed, (5,), dtype)
                yield draw(op, seed, (2, 9), dtype)
    yield draw("rand", 0, (1000,), "float32")
    yield draw("rand", 1337, (1000,), "float64")


def sequences():
    """Several draws after one seed: randn below 16 elements keeps the second value of a pair for the next call."""
    plans = {
        "randn keeps the pair": [("randn", 1, "float32")] * 3 + [("rand", 2, "float32"), ("randn", 1, "float32")],
        "pair across dtypes": [("randn", 3, "float64"), ("randn", 2, "float32"), ("randn", 1, "float64"), ("rand", 1, "float64")],
        "pair survives a big randn": [("randn", 1, "float32"), ("randn", 16, "float32"), ("randn", 1, "float32"), ("rand", 1, "float32")],
        "mixed widths": [("rand", 1, "float32"), ("rand", 1, "float64"), ("rand", 3, "bfloat16"), ("rand", 2, "float16")],
    }
    for name, plan in plans.items():
        for seed in (42, 0):
            torch.manual_seed(seed)
            steps = []
            for op, size, dtype in plan:
                value = getattr(torch, op)(size, dtype=DTYPES[dtype])
                exact = op == "rand" or size < 16
                steps.append({"op": op, "shape": [size], "dtype": dtype, **({"bits": bits(value)} if exact else {"data": flat(value)})})
            yield {"name": name, "seed": str(seed), "steps": steps}
    torch.manual_seed(5)
    torch.randn(1)
    torch.manual_seed(5)
    steps = [{"op": "randn", "shape": [1], "dtype": "float32", "bits": bits(torch.randn(1))}]
    yield {"name": "manualSeed forgets the pair", "seed": "5", "steps": steps}


LAYERS = [  # op, in, out, kernel, options
    ("conv1d", 1, 3, 1, {}),
    ("conv1d", 2, 3, 1, {}),
    ("conv1d", 6, 3, 1, {}),
    ("conv1d", 3, 6, 3, {"padding": 1}),
    ("conv1d", 4, 6, 5, {"groups": 2}),
    ("conv1d", 8, 8, 3, {"groups": 8, "bias": False}),
    ("conv1d", 5, 7, 4, {"stride": 2, "dilation": 2}),
    ("conv1d", 16, 2, 9, {"bias": False}),
    ("conv1d", 0, 3, 2, {}),
    ("conv2d", 1, 4, [3, 3], {}),
    ("conv2d", 3, 2, [2, 5], {"bias": False}),
    ("conv2d", 4, 4, [3, 1], {"groups": 4}),
    ("conv2d", 6, 3, [2, 2], {"groups": 3}),
]


def make(op, channels, out, kernel, options, dtype):
    layer_type = torch.nn.Conv1d if op == "conv1d" else torch.nn.Conv2d
    layer = layer_type(channels, out, kernel, dtype=DTYPES[dtype], **options)
    record = {"op": op, "inChannels": channels, "outChannels": out, "kernelSize": kernel, "options": options, "dtype": dtype}
    record["weight"] = {"shape": list(layer.weight.shape), "bits": bits(layer.weight)}
    if layer.bias is not None:
        record["bias"] = {"shape": list(layer.bias.shape), "bits": bits(layer.bias)}
    return record


def layers():
    for dtype in DTYPES:
        for i, spec in enumerate(LAYERS):
            seed = 42 if i % 2 == 0 else SEEDS[(i // 2) % len(SEEDS)]
            torch.manual_seed(seed)
            record = make(*spec, dtype)
            yield {"seed": str(seed), "layers": [record], "next": bits(torch.rand(1))}
    for seed in (42, 0):  # several layers after one seed, dtypes mixed
        torch.manual_seed(seed)
        plan = [(LAYERS[3], "float32"), (LAYERS[9], "float64"), (LAYERS[0], "complex64"), (LAYERS[4], "bfloat16"),
                (LAYERS[8], "float32"), (LAYERS[10], "float16"), (LAYERS[3], "float32")]  # fmt: skip
        made = [make(*spec, dtype) for spec, dtype in plan]
        yield {"seed": str(seed), "layers": made, "next": bits(torch.rand(1))}


def main():
    write("rng", ABOUT, draws=list(draws()), sequences=list(sequences()), layers=list(layers()))
