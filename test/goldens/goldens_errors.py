"""errors.json: calls that PyTorch rejects, with its message as raised, and look-alikes that it accepts."""

import re
import warnings

import torch
import torch.nn.functional as F

from common import DTYPES, write

ABOUT = (
    "kind construct: new op(inChannels, outChannels, kernelSize, options). forward: the same, then forward(x). functional: "
    "op(x, weight, bias, options). backward: see 'what'. pad: pad(x, pads, mode, value). loadState: strict load of shapes. "
    "x, weight, bias: zeros of {shape, dtype}. fact = the part of PyTorch's message that ours must carry too, in our spelling; "
    "message = PyTorch 2.13's first line. accepted: must not fail, y is the output shape."
)
ALL_DTYPES = {**DTYPES, "int64": torch.int64, "int32": torch.int32, "bool": torch.bool, "uint8": torch.uint8}
SNAKE = {"paddingMode": "padding_mode"}
LAYERS = {"conv1d": torch.nn.Conv1d, "conv2d": torch.nn.Conv2d}


def zeros(spec):
    if spec is None:
        return None
    return torch.zeros(spec["shape"], dtype=ALL_DTYPES[spec.get("dtype", "float32")])


def named(options):
    out = {SNAKE.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return {k: DTYPES.get(v, ALL_DTYPES.get(v, v)) if k == "dtype" else v for k, v in out.items()}


def execute(call):
    kind, op = call["kind"], call["op"]
    if kind in ("construct", "forward"):
        layer = LAYERS[op](*call["args"], **named(call.get("options", {})))
        return layer(zeros(call["x"])) if kind == "forward" else layer.weight
    if kind == "functional":
        x, weight, bias = (zeros(call.get(k)) for k in ("x", "weight", "bias"))
        return getattr(F, op)(x, weight, bias, **named(call.get("options", {})))
    if kind == "pad":
        extra = {"value": call["value"]} if "value" in call else {}
        return F.pad(zeros(call["x"]), call["pads"], call["mode"], **extra)
    if kind == "loadState":
        layer = LAYERS[op](*call["args"])
        layer.load_state_dict({k: torch.zeros(v) for k, v in call["state"].items()})
        return layer.weight
    if kind == "backward":
        x = torch.zeros(1, 2, 5, requires_grad=True)
        y = torch.nn.Conv1d(2, 2, 3)(x).pow(2).sum()
        y.backward()
        y.backward()
    raise ValueError(kind)


def construct(args, op="conv1d", **options):
    return {"kind": "construct", "op": op, "args": args, "options": options}


def forward(args, shape, op="conv1d", x_dtype="float32", **options):
    x = None if shape is None else {"shape": shape, "dtype": x_dtype}
    return {"kind": "forward", "op": op, "args": args, "x": x, "options": options}


def functional(x, weight, bias=None, op="conv1d", **options):
    as_spec = lambda s: {"shape": s} if isinstance(s, list) else s  # noqa: E731
    call = {"kind": "functional", "op": op, "x": as_spec(x), "weight": as_spec(weight)}
    if bias is not None:
        call["bias"] = as_spec(bias)
    return {**call, "options": options}


def pad(shape, pads, mode, **extra):
    return {"kind": "pad", "op": "pad", "x": {"shape": shape}, "pads": pads, "mode": mode, **extra}


TYPED = lambda shape, dtype: {"shape": shape, "dtype": dtype}  # noqa: E731
SET = re.compile(r"\{('[^}]*')\}")  # Python prints sets in a random order
SAME = "should be the same"
GROUPS = "groups must be a positive integer"
SIZE = "Calculated padded input size per channel"
MODE = "padding_mode must be one of"

REJECTED = [
    ("E1", functional(TYPED([1, 1, 4], "int64"), TYPED([1, 1, 2], "int64"), [1]), SAME),
    ("E2", functional([1, 1, 4], [1, 1, 2], TYPED([1], "complex64")), SAME),
    ("E3", functional([1, 1, 4], [1, 2, 2], stride=-1), "non-positive stride is not supported"),
    ("E4", functional([1, 1, 4], [1, 1, 2], stride=0), "non-positive stride is not supported"),
    ("E4 layer", forward([1, 1, 2], [1, 1, 4], stride=0), "non-positive stride is not supported"),
    ("E5", functional([1, 1, 4], [1, 1, 2], padding=-1), "negative padding is not supported"),
    ("E5 layer", forward([1, 1, 2], [1, 1, 4], padding=-1), "negative padding is not supported"),
    ("E6", functional([1, 1, 4], [1, 1, 2], dilation=-1), "dilation should be greater than zero"),
    ("E6 zero", forward([1, 1, 2], [1, 1, 4], dilation=0), "dilation should be greater than zero"),
    ("E7", functional([1, 1, 4], [1, 2]), "weight should have at least three dimensions"),
    ("E8", functional([2, 2, 4], [2, 2, 2], groups=3), "expected weight to be at least 3 at dimension 0"),
    ("E8 same", functional([2, 2, 4], [2, 2, 2], groups=3, padding="same"), "expected weight to be at least 3 at dimension 0"),
    ("E8 divisible", functional([1, 6, 4], [4, 2, 2], groups=3), "expected weight to be divisible by 3 at dimension 0"),
    ("E9 functional -1", functional([2, 2, 4], [2, 2, 2], groups=-1), "non-positive groups is not supported"),
    ("E9 functional 0", functional([2, 2, 4], [2, 2, 2], groups=0), "non-positive groups is not supported"),
    ("E9 layer 0", construct([2, 2, 2], groups=0), GROUPS),
    ("E9 layer -1", construct([2, 2, 2], groups=-1), GROUPS),
    ("E9 layer -2", construct([2, 2, 2], op="conv2d", groups=-2), GROUPS),
    *[(f"E10 {d}", forward([3, 33, 10], [1, 3, 4], x_dtype=d, **({} if d == "float32" else {"dtype": d})),
       r"\(4\). Kernel size: \(10\)") for d in DTYPES],
    ("E10 padded dilated", forward([1, 1, 3], [2, 1, 3], padding=1, dilation=3), r"\(5\). Kernel size: \(7\)"),
    ("E10 zero batch", forward([3, 4, 5], [0, 3, 4]), SIZE),
    ("E10 2-D", forward([1, 1, [3, 6]], [1, 1, 5, 5], op="conv2d"), SIZE),
    ("E11", construct([3, 4, 3], padding="foo"), "Invalid padding string"),
    ("E12", construct([3, 4, 3], padding="same", stride=2), "padding='same'"),
    ("E12 functional", functional([1, 1, 4], [1, 1, 2], padding="same", stride=2), "padding='same'"),
    ("E13", construct([3, 4, 3], paddingMode="xyz"), MODE),
    ("E13 number", construct([3, 4, 3], paddingMode=3), MODE),
    ("E14 rank 1", forward([3, 8, 3], [8]), r"Expected 2D \(unbatched\) or 3D \(batched\) input to conv1d"),
    ("E14 rank 4", forward([3, 8, 3], [1, 3, 4, 8]), r"Expected 2D \(unbatched\) or 3D \(batched\) input to conv1d"),
    ("E14 2-D rank 2", forward([3, 8, 3], [3, 8], op="conv2d"), r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d"),
    ("E14 channels", forward([3, 4, 3], [1, 2, 8]), "to have 3 channels, but got 2 channels instead"),
    ("E14 channels unbatched", forward([3, 4, 3], [2, 8]), "to have 3 channels, but got 2 channels instead"),
    ("E14 channels groups", forward([4, 4, 3], [1, 2, 8], groups=2), "to have 4 channels, but got 2 channels instead"),
    ("E15", forward([1, 1, 3], [3, 1, 2]), SIZE),
    ("E15 stride 2", forward([1, 1, 3], [3, 1, 2], stride=2), SIZE),
    ("E16", forward([0, 8, 2], [2, 1, 0], stride=2), "Given groups=1, weight"),
    ("E17", forward([3, 4, 3], [1, 3, 8], x_dtype="float64"), r"Input type \(double\) and bias type \(float\) should be the same"),
    ("E17 no bias", forward([3, 4, 3], [1, 3, 8], x_dtype="float64", bias=False), "expected scalar type Double but found Float"),
    ("E18 in", construct([3, 6, 3], groups=2), "in_channels must be divisible by groups"),
    ("E18 out", construct([4, 6, 3], groups=4), "out_channels must be divisible by groups"),
    ("E19", forward([3, 4, 3], None), "NoneType"),
    ("E20", {"kind": "backward", "op": "conv1d", "what": "backward twice through the same graph without retainGraph"}, "second time"),
    ("E21 in", construct([3.5, 4, 3]), ""),
    ("E21 out", construct([3, 4.5, 3]), ""),
    ("E21 negative", construct([3, -4, 3]), "negative dimension"),
    ("E21 negative kernel", construct([3, 4, -1]), "negative dimension"),
    ("E22 reflect", forward([1, 1, 3], [1, 1, 4], padding=4, paddingMode="reflect"), "Padding size should be less than"),
    ("E22 circular", forward([1, 1, 3], [1, 1, 4], padding=5, paddingMode="circular"), "wrapping around more than once"),
    ("E22 2-D reflect", forward([1, 1, 3], [1, 1, 4, 6], op="conv2d", padding=[4, 1], paddingMode="reflect"), "Padding size should"),
    ("E23", functional([1, 1, 4], [1, 1, 3], [2]), "bias to be 1-dimensional with 1 elements"),
    ("E23 2-D bias", functional([1, 1, 4], [2, 1, 3], [2, 1]), "bias to be 1-dimensional with 2 elements"),
    ("kernel 0", forward([1, 1, 0], [1, 1, 4]), "kernel size should be greater than zero"),
    ("kernel 2 numbers", forward([1, 1, [3, 3]], [1, 1, 4]), ""),
    ("stride 2 numbers", forward([1, 1, 2], [1, 1, 4], stride=[1, 1]), "expected stride to be a single integer value"),
    ("padding 2 numbers", forward([1, 1, 2], [1, 1, 4], padding=[1, 1]), "expected padding to be a single integer value"),
    ("stride 1.5", forward([1, 1, 2], [1, 1, 4], stride=1.5), ""),
    ("integer layer", construct([1, 1, 2], dtype="int64"), "Only Tensors of floating point and complex dtype"),
    ("no output channels", forward([3, 0, 1], [1, 3, 4]), "expected weight to be at least 1 at dimension 0"),
    ("no length", forward([3, 4, 1], [1, 3, 0]), ""),
    ("pad odd", pad([1, 1, 4], [1], "constant"), "Padding length"),
    ("pad reflect", pad([1, 1, 4], [4, 4], "reflect"), "Padding size should be less than"),
    ("pad circular", pad([1, 1, 4], [5, 0], "circular"), "wrapping around more than once"),
    ("pad crop", pad([1, 1, 4], [-3, -3], "constant"), ""),
    ("pad value", pad([1, 1, 4], [1, 1], "reflect", value=2), "doesn't take in value argument"),
    ("pad mode", pad([1, 1, 4], [1, 1], "mirror"), ""),
    ("state shape", {"kind": "loadState", "op": "conv1d", "args": [4, 6, 3], "state": {"weight": [6, 4, 5], "bias": [6]}},
     "size mismatch for weight"),
    ("state missing", {"kind": "loadState", "op": "conv1d", "args": [4, 6, 3], "state": {"weight": [6, 4, 3]}}, "Missing key"),
    ("state unexpected", {"kind": "loadState", "op": "conv1d", "args": [4, 6, 3], "state": {"weight": [6, 4, 3], "bias": [6], "extra": [1]}},
     "Unexpected key"),
]  # fmt: skip

ACCEPTED = [
    ("C9 no input channels", construct([0, 3, 1])),
    ("C9 no output channels", construct([3, 0, 1])),
    ("no input channels forward", forward([0, 3, 2], [2, 0, 5])),
    ("E15 k2", forward([1, 1, 2], [3, 1, 2])),
    ("E15 k2 stride 2", forward([1, 1, 2], [3, 1, 2], stride=2)),
    ("E15 k3 stride 2 pad 1", forward([1, 1, 3], [3, 1, 2], stride=2, padding=1)),
    ("circular pad = length", forward([1, 1, 3], [1, 1, 4], padding=4, paddingMode="circular")),
    ("replicate any pad", forward([1, 1, 3], [1, 1, 1], padding=9, paddingMode="replicate")),
    ("negative padding with a mode", forward([1, 1, 3], [1, 1, 6], padding=-1, paddingMode="reflect")),
    ("zero batch", forward([6, 12, 3], [0, 6, 7], groups=3)),
    ("zero channels, zero batch", forward([0, 12, 3], [0, 0, 7])),
    ("one-number arrays", forward([1, 1, [2]], [1, 1, 4], stride=[1], padding=[0], dilation=[1])),
    ("'same' shorter than the kernel", forward([1, 1, 9], [1, 1, 2], padding="same")),
]

REPRS = [
    construct([16, 33, 3], stride=2),
    construct([16, 33, 3], padding=4),
    construct([16, 33, 3], padding="same", dilation=2),
    construct([4, 4, 3], padding=1, dilation=2, groups=2, bias=False, paddingMode="circular"),
    construct([1, 3, 1]),
    construct([16, 33, [3, 5]], op="conv2d", stride=[2, 1], padding=[4, 2], dilation=[3, 1]),
    construct([4, 8, 3], op="conv2d", groups=4, bias=False, paddingMode="reflect"),
    construct([4, 8, 3], op="conv2d", padding="valid"),
]


def rejected():
    for id, call, fact in REJECTED:
        try:
            result = execute(call)
        except Exception as error:  # noqa: BLE001
            text = SET.sub(lambda m: "{" + ", ".join(sorted(m[1].split(", "))) + "}", str(error))
            assert re.search(fact, text), (id, fact, text)
            message = text if call["kind"] == "loadState" else text.strip().split("\n")[0]
            yield {"id": id, **call, "torchError": type(error).__name__, "fact": fact, "message": message.strip()}
        else:
            raise AssertionError(f"{id}: PyTorch accepted it and returned {tuple(result.shape)}")


def accepted():
    for id, call in ACCEPTED:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = execute(call)
        record = {"id": id, **call, "y": list(result.shape)} if call["kind"] == "forward" else {"id": id, **call}
        if caught:
            record["warning"] = str(caught[0].message).split(" (Triggered")[0]
        yield record


def main():
    reprs = [{**c, "repr": repr(LAYERS[c["op"]](*c["args"], **named(c["options"])))} for c in REPRS]
    write("errors", ABOUT, rejected=list(rejected()), accepted=list(accepted()), reprs=reprs)
