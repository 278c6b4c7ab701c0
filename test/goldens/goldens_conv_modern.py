"""conv_modern.json: MDNC's ConvModern1d / 2d put together from torch.nn modules, all combinations."""

from itertools import product

from torch import nn

from common import write
from layer_case import module_case

ABOUT = (
    "As masked_layers.json. new ConvModern1d/2d(inPlanes = x[1], outPlanes, options); state names are the state dict's; "
    "its entries in registration order."
)
NORMS = {
    "batch": lambda d, c: (nn.BatchNorm1d, nn.BatchNorm2d)[d - 1](c),
    "inst": lambda d, c: (nn.InstanceNorm1d, nn.InstanceNorm2d)[d - 1](c, affine=False),
    "pinst": lambda d, c: (nn.InstanceNorm1d, nn.InstanceNorm2d)[d - 1](c, affine=True),
}
ACTS = {"prelu": lambda c: nn.PReLU(c), "relu": lambda c: nn.ReLU()}


class ConvModern(nn.Module):
    """normalizer null: [up] conv(bias) act. 'new': norm act [up] conv. 'old': [up] conv norm act."""

    def __init__(self, dims, c, out, kernel=3, stride=1, padding=1, size=None, norm="pinst", act="prelu", order="new", scaler="down"):
        super().__init__()
        strided = stride != 1 if isinstance(stride, int) else any(s > 1 for s in stride)
        resize = []
        if scaler == "up" and (strided or size is not None):
            target = {"size": size} if size is not None else {"scale_factor": stride}
            resize = [nn.Upsample(mode=("linear", "bilinear")[dims - 1], align_corners=True, **target)]
            stride = 1
        conv = (nn.Conv1d, nn.Conv2d)[dims - 1](c, out, kernel, stride, padding, bias=norm == "null")
        around = lambda n: ([NORMS[norm](dims, n)] if norm != "null" else []) + ([ACTS[act](n)] if act != "null" else [])  # noqa: E731
        before, after = (around(c), []) if order == "new" and norm != "null" else ([], around(out))
        self.mconv = nn.Sequential(*before, *resize, conv, *after)

    def forward(self, x):
        return self.mconv(x)


def case(dims, x, out, seed, training=True, **options):
    snake = {"kernelSize": "kernel", "outputSize": "size", "normalizer": "norm", "activator": "act", "layerOrder": "order"}
    named = {snake.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    spelled = " ".join(f"{k}={v}" for k, v in options.items())
    name = f"ConvModern{dims}d {spelled}{'' if training else ' eval'}"
    module = ConvModern(dims, x[1], out, **named)
    record = module_case(name, f"ConvModern{dims}d", seed, x, options, module, training)
    return {**record, "outPlanes": out}


def main():
    cases = []
    pieces = list(product(["batch", "inst", "pinst", "null"], ["prelu", "relu", "null"], ["new", "old"]))
    one = [{}, {"stride": 2}, {"stride": 2, "scaler": "up"}, {"outputSize": 9, "scaler": "up"}, {"scaler": "up"}]
    two = [{}, {"stride": [1, 2]}, {"outputSize": [4, 5], "scaler": "up"}]
    seed = 2000
    for dims, x, out, variants in ((1, (2, 3, 6), 2, one), (2, (2, 2, 3, 4), 2, two)):
        for (norm, act, order), variant in product(pieces, variants):
            seed += 20
            cases.append(case(dims, x, out, seed, normalizer=norm, activator=act, layerOrder=order, **variant))
    for order in ("new", "old"):
        seed += 20
        cases.append(case(1, (2, 3, 6), 2, seed, training=False, normalizer="batch", layerOrder=order))
        cases.append(case(2, (2, 2, 3, 4), 3, seed, training=False, normalizer="batch", layerOrder=order, stride=2, scaler="up"))
    cases.append(case(1, (2, 3, 6), 4, seed + 20))
    cases.append(case(1, (2, 3, 8), 4, seed + 40, kernelSize=5, padding="same"))
    cases.append(case(1, (2, 3, 8), 4, seed + 60, kernelSize=1, padding=0, stride=2, outputSize=5))
    cases.append(case(2, (1, 3, 4, 5), 2, seed + 80, kernelSize=[3, 1], padding=[1, 0], stride=[2, 1], scaler="up"))
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), "names must be unique"
    write("conv_modern", ABOUT, cases=cases)
