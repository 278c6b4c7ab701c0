"""init_printed.json: numbers printed in documentation (partial, plain and masked convolution, padding), each checked here against PyTorch."""

import torch
import torch.nn.functional as F

from common import DTYPES, flat, pack, write
from goldens_partial import partial_conv, resolved_pads

ABOUT = (
    "Documented examples. 'printed' are the digits of the documentation (compare to decimals), 'y' the values of PyTorch 2.13. "
    "conv: layers made in order after manualSeed(seed), each applied to x or to the previous output. "
    "partial: every weight 1. pad: pads as [before, after] of the last axis first; error = PyTorch's message."
)


def near(y, printed, decimals):
    """The documentation's rounding, in its own decimals."""
    values = torch.view_as_real(y).reshape(-1) if y.is_complex() else y.reshape(-1)
    expected = torch.tensor(printed, dtype=torch.float64)
    assert values.shape == expected.shape, (values.shape, expected.shape)
    worst = (values.double() - expected).abs().max().item() if len(printed) else 0
    assert worst <= 0.5000001 * 10**-decimals + 1e-6, (worst, values.tolist(), printed)


def conv(id, x, layers, printed, decimals=4, seed=42, dtype="float32", reseed=False):
    """layers: [(in, out, kernel)]; reseed: manualSeed before every layer."""
    t = DTYPES[dtype]
    torch.manual_seed(seed)
    y = torch.tensor(x, dtype=t)
    made = []
    for i, (c, o, k) in enumerate(layers):
        if reseed and i:
            torch.manual_seed(seed)
        layer = torch.nn.Conv1d(c, o, k, dtype=t)
        y = layer(y)
        made.append({"inChannels": c, "outChannels": o, "kernelSize": k, "weight": flat(layer.weight), "bias": flat(layer.bias)})
    near(y.detach(), printed, decimals)
    repr_ = repr(layer)
    return {"id": id, "seed": str(seed), "dtype": dtype, "reseed": reseed, "x": x, "layers": made, "repr": repr_,
            "decimals": decimals, "printed": printed, "y": pack(y)}  # fmt: skip


def convs():
    row = [[8.0, -3.0, 0.0, 1.0, 5.0, -2.0]]
    c1 = [7.0349, -1.3750, 0.9186, 1.6831, 4.7413, -0.6105, 6.4210, -2.7091, -0.2191, 0.6109, 3.9309, -1.8791,
          -1.6724, 0.9046, 0.2018, -0.0325, -0.9696, 0.6703]  # fmt: skip
    c3 = [5.9849, -2.4511, -0.1504, 0.6165, 3.6841, -1.6842, 3.2258, 0.2207, 1.0403, 1.3134, 2.4062, 0.4939,
          -0.5434, 0.0364, -0.1217, -0.1744, -0.3853, -0.0163]  # fmt: skip
    yield conv("C1", row, [(1, 3, 1)], c1)
    yield conv("C3", row, [(1, 3, 1), (3, 3, 1)], c3, reseed=True)
    two = [[8.0, -3.0, 0.0], [1.0, 5.0, -2.0]]
    yield conv("C5", two, [(2, 3, 1)], [4.5675, 0.9684, -1.5181, -0.2604, 4.1600, -0.8838, -0.4734, 1.8016, 0.3380])
    yield conv("C6", [[v] for v in row[0]], [(6, 3, 1)], [1.0529, -0.8833, 3.4542])
    three = [[[8.0], [-3.0], [0.0]], [[1.0], [5.0], [-2.0]]]
    yield conv("C7", three, [(3, 3, 1)], [1.6701, 5.1242, -3.1578, 2.6844, 0.1667, 0.5044])
    c8 = [3.6675, 2.3897, -4.0416, 3.9155, 2.3427, 1.2531, -0.2514, 3.0452, 0.9940, -2.0626, 0.6939, -0.1171]
    yield conv("C8", three, [(3, 3, 1)], c8, dtype="complex64")


def partial(id, x, weight, mask, printed, bias=None, dtype="float64", decimals=None, ratio=None, updated=None, padding=0, **options):
    """weight: shape, all ones. printed must be equal (decimals None) or rounded."""
    t = DTYPES[dtype]
    x, mask = torch.as_tensor(x, dtype=t), torch.as_tensor(mask, dtype=t)
    dims = x.dim() - 2
    o = {"stride": (1,) * dims, "dilation": (1,) * dims, "groups": 1, "paddingMode": "zeros", "multiChannel": False,
         "countGroups": True, "eps": 0, **options}  # fmt: skip
    w = torch.ones(*weight, dtype=t)
    b = None if bias is None else torch.tensor(bias, dtype=t)
    y, r, u = partial_conv(x, mask, w, b, o, resolved_pads(padding, weight[2:], o["dilation"]))
    flat_y = y.reshape(-1)[: len(printed)].double()
    assert (flat_y - torch.tensor(printed, dtype=torch.float64)).abs().max() <= (0.51 * 10**-decimals if decimals else 1e-12), (id, flat_y)
    if ratio:
        assert r.reshape(-1, r.shape[-1])[0].tolist() == ratio, (id, r)
    if updated:
        assert (u.reshape(-1, u.shape[-1]) == torch.tensor(updated)).all(), (id, u)
    record = {"id": id, "dtype": dtype, "x": pack(x), "weight": list(weight)}
    if bias is not None:
        record["bias"] = bias
    record.update(mask=pack(mask), options={**({"padding": padding} if padding else {}), "bias": bias is not None, **options})
    record.update(printed=printed, y=pack(y), ratio=pack(r), updated=pack(u))
    if decimals:
        record["decimals"] = decimals
    return record


def partials():
    b, c, t = torch.meshgrid(torch.arange(2.0), torch.arange(3.0), torch.arange(10.0), indexing="ij")
    x = (30 * b.double() + 10 * c + t) / 10
    mask = torch.ones(2, 3, 10)
    mask[:, :, 5:] = 0
    six = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    multi = {"multiChannel": True}
    yield partial("A1", x, (6, 3, 3), mask, [9.9, 10.8, 11.7, 12.15, 12.6, 0, 0, 0], six,
                  ratio=[1, 1, 1, 1.5, 3, 0, 0, 0], updated=[1, 1, 1, 1, 1, 0, 0, 0], **multi)  # fmt: skip
    yield partial("A2", x, (6, 3, 3), mask, [9.45, 9.9, 10.8, 11.7, 12.15, 12.6, 0, 0, 0, 0], six, padding=1,
                  ratio=[1.5, 1, 1, 1, 1.5, 3, 0, 0, 0, 0], updated=[1] * 6 + [0] * 4, **multi)  # fmt: skip
    yield partial("A4", torch.ones(1, 1, 6), (1, 1, 3), torch.ones(1, 1, 6), [3, 3, 3], padding=1, stride=[2])
    ramp = torch.arange(1.0, 11).view(1, 1, 10)
    half = (torch.arange(10) < 5).view(1, 1, 10)
    a5 = [5, 6.5, 9.5, 12.5, 14, 15.5, 0, 0, 0, 0]
    yield partial("A5", ramp, (1, 1, 3), half, a5, [0.5], padding=1)
    a5_f64 = [4.9999999775, 6.49999998, 9.49999997, 12.49999996, 13.9999999325, 15.49999985, 0, 0, 0, 0]
    yield partial("A5 eps 1e-8", ramp, (1, 1, 3), half, a5_f64, [0.5], decimals=9, padding=1, eps=1e-8)
    a5_f32 = [4.9999981, 6.4999981, 9.4999971, 12.4999962, 13.9999933, 15.4999857, 0, 0, 0, 0]
    yield partial("A5 eps 1e-6", ramp, (1, 1, 3), half, a5_f32, [0.5], dtype="float32", decimals=6, padding=1, eps=1e-6)
    image = torch.arange(16.0).view(1, 1, 4, 4)
    holes = torch.tensor([[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]]).view(1, 1, 4, 4)
    assert F.conv2d(image, torch.ones(1, 1, 2, 2), stride=2).flatten().tolist() == [10, 18, 42, 50]  # B1
    assert F.conv2d(image * holes, torch.ones(1, 1, 2, 2), stride=2).flatten().tolist() == [5, 15, 30, 40]  # B2
    yield partial("B1", image, (1, 1, 2, 2), torch.ones(1, 1, 4, 4), [10, 18, 42, 50], stride=[2, 2])
    thirds = {"decimals": 7, "stride": [2, 2]}
    yield partial("B3", image, (1, 1, 2, 2), holes, [6.6666667, 20, 40, 53.3333333], **thirds)
    yield partial("B3 bias", image, (1, 1, 2, 2), holes, [7.6666667, 21, 41, 54.3333333], [1.0], **thirds)


PADS = {  # H1: mode -> (pads, printed or None where PyTorch refuses)
    "constant": [((1, 2), [0, 1, 2, 3, 4, 0, 0]), ((-1, 1), [2, 3, 4, 0]), ((-2, -2), []), ((-3, -3), None)],
    "reflect": [((1, 2), [2, 1, 2, 3, 4, 3, 2]), ((3, 3), [4, 3, 2, 1, 2, 3, 4, 3, 2, 1]), ((4, 0), None), ((-1, 2), [2, 3, 4, 3, 2])],
    "replicate": [((1, 2), [1, 1, 2, 3, 4, 4, 4]), ((6, 0), [1] * 7 + [2, 3, 4]), ((-1, 2), [2, 3, 4, 4, 4])],
    "circular": [((1, 2), [4, 1, 2, 3, 4, 1, 2]), ((4, 4), [1, 2, 3, 4] * 3), ((5, 0), None), ((-1, 2), [2, 3, 4, 2, 3]), ((-3, 0), [4])],
}
MORE_PADS = [(-2, 2), (-2, 1), (3, -1), (2, -1), (-1, -1), (-2, -2), (-5, 3), (0, 0), (4, 4)]


def pad(mode, x, pads, printed=None, value=None):
    record = {"mode": mode, "x": pack(x), "pads": list(pads)}
    if value is not None:
        record["value"] = value
    try:
        y = F.pad(x, pads, mode, **({} if value is None else {"value": value}))
        assert printed is None or y.flatten().tolist() == printed, (mode, pads, y)
        return {**record, "y": pack(y)}
    except RuntimeError as error:
        assert printed is None
        return {**record, "error": str(error).split("\n")[0]}


def pads():
    a = torch.arange(1.0, 5).view(1, 1, 4)
    for mode, rows in PADS.items():
        for p, printed in rows:
            result = pad(mode, a, p, printed)
            assert ("error" in result) == (printed is None), result
            yield result
        for p in MORE_PADS:
            if mode == "circular" and p == (-5, 3):  # an internal message there
                continue
            if (mode, p) not in [(m, q) for m, r in PADS.items() for q, _ in r]:
                yield pad(mode, a, p)
    yield pad("constant", a, (1, 1), [9, 1, 2, 3, 4, 9], value=9)
    image = torch.arange(1.0, 13).view(1, 1, 3, 4)
    for mode in PADS:
        for p in ((1, 2, 2, 1), (0, 1, -1, 2), (3, 0, 0, 0), (2, -1, 1, 1)):
            yield pad(mode, image, p)


def sames():
    """H2, H3: the side that gets the odd extra, and the edges of each padding mode."""
    ramp, first, last = [1, 2, 3, 4, 5, 6, 7], [1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1]
    four = [1, 2, 3, 4]
    h2 = [(first, four, {}, [2, 1, 0, 0, 0, 0, 0]), (last, four, {}, [0, 0, 0, 0, 4, 3, 2]),
          (ramp, four, {}, [20, 30, 40, 50, 60, 38, 20]), (ramp, [1, 2], {}, [5, 8, 11, 14, 17, 20, 7]),
          (ramp, four, {"dilation": 3}, [33, 42, 19, 24, 30, 12, 15]),
          (ramp, four, {"paddingMode": "reflect"}, [22, 30, 40, 50, 60, 62, 58]),
          (ramp, four, {"paddingMode": "replicate"}, [21, 30, 40, 50, 60, 66, 69]),
          (ramp, four, {"paddingMode": "circular"}, [27, 30, 40, 50, 60, 42, 31])]  # fmt: skip
    cases = [(x, w, {"padding": "same", **o}, y) for x, w, o, y in h2]
    edges = {"zeros": [3, 6, 9, 12, 15, 11], "reflect": [5, 6, 9, 12, 15, 16], "replicate": [4, 6, 9, 12, 15, 17],
             "circular": [9, 6, 9, 12, 15, 12]}  # fmt: skip
    cases += [([1, 2, 3, 4, 5, 6], [1, 1, 1], {"padding": 1, "paddingMode": m}, y) for m, y in edges.items()]
    for x, w, options, expected in cases:
        named = {{"paddingMode": "padding_mode"}.get(k, k): v for k, v in options.items()}
        layer = torch.nn.Conv1d(1, 1, len(w), bias=False, **named)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(w).view(1, 1, -1))
        y = layer(torch.tensor([[float(v) for v in x]]))
        assert y.flatten().tolist() == expected, (x, w, options, y)
        yield {"x": x, "weight": w, "options": options, "y": expected}


def main():
    write("init_printed", ABOUT, conv=list(convs()), partial=list(partials()), pad=list(pads()), same=list(sames()))
