# PyTorch as a peer of the benchmark: reads one JSON request a line from stdin, answers one JSON line each on stdout (bench/peers/torch.ts).
import json
import sys
import time

import torch
import torch.nn.functional as F


def load(request, name, shape):
    with open(request["files"][name], "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32).reshape(shape)


def plain(conv, x, weight, bias, options):
    return lambda: conv(x, weight, bias, **options)


def reference_partial(conv, x, mask, weight, bias, options, multi_channel):
    """The forward pass of NVIDIA's PartialConv2d/1d with return_mask=False, as published: the mask through a convolution of ones."""
    ones = torch.ones(weight.shape if multi_channel else (1, 1, *weight.shape[2:]))
    window = ones[0].numel()
    mask_options = options if multi_channel else {**options, "groups": 1}
    column = bias.view(1, -1, *[1] * (x.dim() - 2))

    def forward():
        with torch.no_grad():
            updated = conv(mask, ones, None, **mask_options)
            ratio = window / (updated + 1e-8)
            updated = torch.clamp(updated, 0, 1)
            ratio = torch.mul(ratio, updated)
        raw = conv(torch.mul(x, mask), weight, bias, **options)
        output = torch.mul(raw - column, ratio) + column
        return torch.mul(output, updated)

    return forward


def training_step(forward, leaves):
    """Forward, then the gradients of x, weight and bias for a gradient of ones."""
    for leaf in leaves:
        leaf.requires_grad_()
    ones = torch.ones_like(forward())

    def step():
        forward().backward(ones)
        for leaf in leaves:
            leaf.grad = None

    return step


def prepare(request):
    torch.set_num_threads(request["threads"])
    shape = request["x"]
    conv = F.conv2d if len(shape) == 4 else F.conv1d
    x, weight, bias = (load(request, name, request[name]) for name in ("x", "weight", "bias"))
    if request["op"] == "conv":
        forward = plain(conv, x, weight, bias, request["options"])
    else:
        mask = load(request, "mask", request["mask"])
        forward = reference_partial(conv, x, mask, weight, bias, request["options"], request["multiChannel"])
    return forward, training_step(forward, (x, weight, bias)) if request["pass"] == "training" else forward


def main():
    cases = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        with torch.inference_mode(request.get("pass") != "training"):
            if request["command"] == "version":
                answer["version"] = torch.__version__
            elif request["command"] == "prepare":
                cases[request["id"]] = (*prepare(request), request["threads"])
            elif request["command"] == "close":
                del cases[request["id"]]
            else:
                forward, run, threads = cases[request["id"]]
                torch.set_num_threads(threads)
                if request["command"] == "sample":
                    answer["values"] = forward().detach().flatten()[:: request["stride"]].tolist()
                else:
                    start = time.perf_counter()
                    for _ in range(request["iterations"]):
                        run()
                    answer["seconds"] = time.perf_counter() - start
        print(json.dumps(answer), flush=True)


main()
