"""tensor.json: element-wise ops, promotion, conversions and reductions of PyTorch on the CPU, forward and backward."""

import warnings

import torch

from common import DTYPES, data, flat, write

ABOUT = (
    "x, a, b, dy and results are flat lists (complex as re, im). unary and binary: dx, da, db are gradients for dy. promotion: dtype of "
    "op(a, b) for one-element tensors of every pair, with and without a dimension; scalars: of op(a, scalar), {re, im} for complex. PyTorch's int64 (integers summed, "
    "or a bool with an integer scalar) is spelled int32, its complex32 complex64: the package has no other. error: PyTorch raises."
)
ALL = {**DTYPES, "int32": torch.int32, "uint8": torch.uint8, "bool": torch.bool}
NAMES = {dtype: name for name, dtype in ALL.items()} | {torch.int64: "int32", torch.complex32: "complex64"}
INF, NAN = float("inf"), float("nan")

UNARY = ["neg", "abs", "sqrt", "exp", "log", "tanh", "sigmoid", "relu"]
BINARY = ["add", "sub", "mul", "div", "pow"]
REAL = [0.0, 1.0, -1.0, 0.5, -0.25, 1e-3, 3.75, -2.125, 0.9375, 11.0, -11.0, 88.0, -88.0, 300.0, 1e4, INF, -INF, NAN]
PARTS = [0.0, 0.3125, -1.5, 2.25, -7.0, 30.0]
PAIRS = [(2, 3), (-2, 3), (1.5, -0.5), (0, 0), (0, 2), (3.25, 0), (-1.75, 2), (-3, -2), (0.5, 10), (NAN, 0), (1, NAN), (INF, 2), (7, -3)]
INTEGERS = [(2, 3), (-2, 3), (0, 0), (0, 2), (3, 0), (-7, 2), (100, 5), (12, 12), (-1, 7)]


def attempt(f):
    try:
        return f(), None
    except (RuntimeError, TypeError, NotImplementedError) as e:
        return None, str(e).split("\n")[0]


def inputs(name):
    dtype = ALL[name]
    if dtype.is_complex:
        return torch.tensor([complex(re, im) for re in PARTS for im in PARTS], dtype=dtype)
    if dtype.is_floating_point:
        return torch.tensor(REAL, dtype=dtype)
    return torch.tensor([0, 1, 2, 100] if name == "uint8" else [0, 1] if name == "bool" else [0, 1, -1, 7, -100, 2**24 + 1], dtype=dtype)


def unary():
    for op in UNARY:
        for name in ALL:
            x = inputs(name)
            if x.dtype.is_floating_point or x.dtype.is_complex:
                x.requires_grad_()
            y, error = attempt(lambda x=x, op=op: getattr(torch, op)(x))
            case = {"op": op, "dtype": name, "x": flat(x)}
            if error:
                yield {**case, "error": error}
                continue
            case |= {"yDtype": NAMES[y.dtype], "y": flat(y)}
            if x.requires_grad:
                dy = data("exact", 3, y.shape, y.dtype)
                y.backward(dy)
                case |= {"dy": flat(dy), "dx": flat(x.grad)}
            yield case


def operands(name):
    dtype = ALL[name]
    if dtype.is_complex:
        grid = [complex(re, im) for re in PARTS[1:5] for im in PARTS[1:5]]
        return torch.tensor(grid, dtype=dtype), torch.tensor(grid[5:] + grid[:5], dtype=dtype)
    pairs = PAIRS if dtype.is_floating_point else [(abs(a), abs(b)) for a, b in INTEGERS] if name == "uint8" else INTEGERS
    if name == "bool":
        pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    return torch.tensor([a for a, _ in pairs], dtype=dtype), torch.tensor([b for _, b in pairs], dtype=dtype)


def binary():
    for op in BINARY:
        for name in ALL:
            a, b = operands(name)
            if a.dtype.is_floating_point or a.dtype.is_complex:
                a.requires_grad_()
                b.requires_grad_()
            y, error = attempt(lambda a=a, b=b, op=op: getattr(torch, op)(a, b))
            case = {"op": op, "dtype": name, "a": flat(a), "b": flat(b)}
            if error:
                yield {**case, "error": error}
                continue
            case |= {"yDtype": NAMES[y.dtype], "y": flat(y)}
            if a.requires_grad:
                dy = data("exact", 4, y.shape, y.dtype)
                y.backward(dy)
                case |= {"dy": flat(dy), "da": flat(a.grad), "db": flat(b.grad)}
            yield case


def mixed():
    """Broadcast operands of different dtypes: the gradient comes back in each one's dtype, real where it is real."""
    pairs = ["float32 float64", "float32 complex64", "complex64 float64", "float16 float32", "float16 bfloat16"]
    for na, nb in (pair.split() for pair in pairs):
        for op in BINARY:
            a = (data("exact", 5, (3, 1), ALL[na]).abs() + 0.5).to(ALL[na]).requires_grad_()
            b = data("exact", 6, (2, 1, 4), ALL[nb]).requires_grad_()
            y = getattr(torch, op)(a, b)
            dy = data("exact", 7, y.shape, y.dtype)
            y.backward(dy)
            head = {"op": op, "dtypes": [na, nb], "yDtype": NAMES[y.dtype], "a": flat(a), "b": flat(b), "dy": flat(dy)}
            yield {**head, "y": flat(y), "da": flat(a.grad), "db": flat(b.grad)}


def promotion():
    for op in BINARY:
        for shapes in ([[1], [1]], [[1], []], [[], [1]], [[], []]):
            rows = {}
            for na, da in ALL.items():
                one = torch.ones(shapes[0], dtype=da)
                others = [torch.ones(shapes[1], dtype=db) for db in ALL.values()]
                results = [attempt(lambda one=one, other=other, op=op: getattr(torch, op)(one, other)) for other in others]
                rows[na] = [NAMES[y.dtype] if error is None else "error" for y, error in results]
            yield {"op": op, "shapes": shapes, "columns": list(ALL), "rows": rows}


def scalars():
    for value in (2, 1.5, True, 1 + 2j):
        rows = {}
        for name, dtype in ALL.items():
            one = torch.ones(1, dtype=dtype)
            results = [attempt(lambda one=one, op=op, value=value: getattr(torch, op)(one, value)) for op in BINARY]
            rows[name] = [[NAMES[y.dtype], *flat(y)] if error is None else "error" for y, error in results]
        yield {"scalar": {"re": 1, "im": 2} if value == 1 + 2j else value, "columns": BINARY, "rows": rows}


def casts():
    for name in ALL:
        x = inputs(name)
        if x.dtype.is_floating_point:
            x = torch.tensor([0.0, 1.0, 0.4375, 1.75, 100.25, 2.5, 254.75], dtype=x.dtype)
        # Only what every dtype has the range for: PyTorch leaves the rest undefined.
        kept = {to: dtype for to, dtype in ALL.items() if to != "uint8" or name not in ("int32", "complex64", "complex128")}
        yield {"dtype": name, "x": flat(x), "to": {to: flat(x.to(dtype)) for to, dtype in kept.items()}}


def reductions():
    for name in ALL:
        inexact = ALL[name].is_floating_point or ALL[name].is_complex
        x = data("exact", 8, (3, 4, 5), ALL[name]) if inexact else (data("exact", 8, (3, 4, 5)) * 16).abs().to(ALL[name])
        for op in ("sum", "mean"):
            for dims in (None, 0, 1, -1, [0, 2], [1, 2], [2, 0, 1]):
                for keep in (False, True):
                    y, error = attempt(lambda x=x, op=op, dims=dims, keep=keep: getattr(torch, op)(x, dim=dims, keepdim=keep))
                    case = {"op": op, "dtype": name, "dims": dims, "keepDims": keep}
                    yield {**case, "error": error} if error else {**case, "yDtype": NAMES[y.dtype], "shape": list(y.shape), "y": flat(y)}


def main():
    warnings.simplefilter("ignore")
    write("tensor", ABOUT, unary=list(unary()), binary=list(binary()), mixed=list(mixed()), promotion=list(promotion()),
          scalars=list(scalars()), casts=list(casts()), reductions=list(reductions()))  # fmt: skip
