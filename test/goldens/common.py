"""What every golden script shares: deterministic data (twin of generate.ts), JSON writing."""

import json
import math
import pathlib

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
}


# --- deterministic data -----------------------------------------------------------------------------------------

def _hash(count, seed):
    """A 32-bit mix of (index, seed); uint32 arithmetic wraps as JavaScript's Math.imul does."""
    n = np.arange(1, count + 1, dtype=np.uint32)
    h = n * np.uint32(0x9E3779B1) + np.uint32(seed * 0x85EBCA6B & 0xFFFFFFFF)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def values(kind, seed, count):
    """Float64 values of generator `kind`; each is exact in float32, and 'exact' also in float16 and bfloat16."""
    n = np.arange(count, dtype=np.int64)
    if kind == "exact":  # multiples of 1/64 in [-2, 2): products and small sums are exact in float32
        return ((_hash(count, seed) >> np.uint32(24)).astype(np.float64) - 128) / 64
    if kind == "fine":  # 24 significant bits in [-2, 2)
        return ((_hash(count, seed) >> np.uint32(8)).astype(np.float64) - 2.0**23) / 2.0**22
    if kind == "mask":  # 0/1, about 5 of 8 valid
        return ((_hash(count, seed) >> np.uint32(29)) < 5).astype(np.float64)
    if kind == "sparse":  # 0/1, about 1 of 4 valid: whole windows are empty
        return ((_hash(count, seed) >> np.uint32(30)) < 1).astype(np.float64)
    if kind == "soft":  # multiples of 1/8 in [0, 1], many exact zeros and ones
        return np.clip((_hash(count, seed) >> np.uint32(28)).astype(np.float64) - 4, 0, 8) / 8
    if kind == "ones":
        return np.ones(count)
    if kind == "X":  # six that can be worked out by hand; the seed is not used
        return ((37 * n + 11) % 64 - 32) / 8
    if kind == "W":
        return ((29 * n + 5) % 32 - 16) / 16
    if kind == "B":
        return ((13 * n + 3) % 16 - 8) / 4
    if kind == "G":
        return ((n + 1) % 16 - 8) / 8
    if kind == "M1":
        return ((23 * n + 7) % 10 < 6).astype(np.float64)
    if kind == "M2":
        return ((23 * n + 7) % 10 < 3).astype(np.float64)
    raise ValueError(kind)


def data(kind, seed, shape, dtype=torch.float64, grad=False):
    """A tensor of generated values; complex dtypes take re, im, re, im ... from one stream."""
    count = math.prod(shape)
    if dtype.is_complex:
        flat = torch.from_numpy(values(kind, seed, 2 * count)).reshape(*shape, 2)
        out = torch.view_as_complex(flat.contiguous()).to(dtype)
    else:
        out = torch.from_numpy(values(kind, seed, count)).reshape(shape).to(dtype)
    return out.clone().requires_grad_(grad)


# --- JSON -------------------------------------------------------------------------------------------------------

class Raw(str):
    """A number already in its JSON spelling."""


def number(value, digits=None):
    """Shortest spelling that reads back as the same number, or `digits` significant digits."""
    v = float(value)
    if math.isnan(v):
        return '"NaN"'
    if math.isinf(v):
        return '"Infinity"' if v > 0 else '"-Infinity"'
    if v == 0 and math.copysign(1, v) < 0:
        return "-0.0"
    text = f"{v:.{digits}g}" if digits else str(value)
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text[:-2] if text.endswith(".0") else text


def flat(tensor, digits=None):
    """Flat list of numbers, row-major; complex interleaved; float32-or-less spelled as float32."""
    t = tensor.detach()
    if t.is_complex():
        t = torch.view_as_real(t.resolve_conj())
    if t.dtype in (torch.float16, torch.bfloat16):
        t = t.to(torch.float32)
    if t.dtype == torch.bool:
        t = t.to(torch.float32)
    t = t + 0 if t.is_floating_point() else t  # -0 becomes 0: the sign of a zero is nobody's contract
    return [Raw(number(v, digits)) for v in t.contiguous().numpy().reshape(-1)]


def pack(tensor, digits=None):
    """{shape, data}"""
    return {"shape": list(tensor.shape), "data": flat(tensor, digits)}


WIDTH = {torch.float32: 8, torch.float64: 16, torch.float16: 4, torch.bfloat16: 4}


def bits(tensor):
    """Bit patterns as one hex string, fixed width per element; complex interleaved."""
    t = tensor.detach().contiguous()
    if t.is_complex():
        t = torch.view_as_real(t)
    width = WIDTH[t.dtype]
    ints = t.view({4: torch.int16, 8: torch.int32, 16: torch.int64}[width]).reshape(-1)
    return "".join(f"{int(v) & (16**width - 1):0{width}x}" for v in ints)


def dump(value):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dump(v) for v in value) + "]"
    if isinstance(value, float):
        return number(value)
    return json.dumps(value)


def write(name, about, **lists):
    """One case per line, so that a changed golden is a readable diff."""
    head = {"about": about, "torch": torch.__version__.split("+")[0]}
    body = [f"{json.dumps(k)}:{dump(v)}" for k, v in head.items()]
    for key, cases in lists.items():
        if isinstance(cases, list):
            body.append(f"{json.dumps(key)}:[\n" + ",\n".join(dump(c) for c in cases) + "\n]")
        else:
            body.append(f"{json.dumps(key)}:{dump(cases)}")
    path = HERE / f"{name}.json"
    path.write_text("{" + ",\n".join(body) + "}\n", encoding="utf-8")
    counts = ", ".join(f"{len(v)} {k}" for k, v in lists.items() if isinstance(v, list))
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, {counts}")
