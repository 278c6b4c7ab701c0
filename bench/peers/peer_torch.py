# PyTorch as a peer of the benchmark: reads one JSON request a line from stdin, answers one JSON line each on stdout (bench/peers/torch.ts).
# A request may name a device, a dtype, channelsLast (cuDNN's own layout, for 1-D too) and compile (torch.compile).
import json
import sys
import time

import torch
import torch.nn.functional as F
import torch_ops

torch.backends.cudnn.benchmark = True  # PyTorch's fastest convolution, not its first


def load(request, name, shape):
    with open(request["files"][name], "rb") as file:
        values = torch.frombuffer(bytearray(file.read()), dtype=torch.float32).reshape(shape)
    return values.to(request.get("device", "cpu"), getattr(torch, request.get("dtype", "float32")))


def plain(conv, x, weight, bias, options):
    return lambda: conv(x, weight, bias, **options)


def channels_last(x, weight, bias, options):
    """The same as a 2-D convolution, and the leaves of its gradients."""
    if x.dim() == 3:
        x, weight = x.unsqueeze(2), weight.unsqueeze(2)
        rows = {"stride": 1, "padding": 0, "dilation": 1}
        options = {name: value if name == "groups" else (rows[name], value) for name, value in options.items()}
    x, weight = (t.to(memory_format=torch.channels_last) for t in (x, weight))
    return plain(F.conv2d, x, weight, bias, options), (x, weight, bias)


def reference_partial(conv, x, mask, weight, bias, options, multi_channel):
    """The forward pass of NVIDIA's PartialConv2d/1d with return_mask=False, as published: the mask through a convolution of ones."""
    ones = torch.ones(weight.shape if multi_channel else (1, 1, *weight.shape[2:]), device=x.device, dtype=x.dtype)
    window = ones[0].numel()
    mask_options = options if multi_channel else {**options, "groups": 1}
    column = bias.view(1, -1, *[1] * (x.dim() - 2))
    # In float16, 1e-8 is 0 and a ratio by it infinite.
    wide = torch.float32 if x.dtype == torch.float16 else x.dtype

    def forward():
        with torch.no_grad():
            updated = conv(mask, ones, None, **mask_options).to(wide)
            ratio = window / (updated + 1e-8)
            updated = torch.clamp(updated, 0, 1)
            ratio, updated = torch.mul(ratio, updated).to(x.dtype), updated.to(x.dtype)
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


def prepare_conv(request):
    shape = request["x"]
    conv = F.conv2d if len(shape) == 4 else F.conv1d
    leaves = x, weight, bias = tuple(load(request, name, request[name]) for name in ("x", "weight", "bias"))
    if request["op"] == "partial":
        mask = load(request, "mask", request["mask"])
        return reference_partial(conv, x, mask, weight, bias, request["options"], request["multiChannel"]), leaves
    if request.get("channelsLast"):
        return channels_last(x, weight, bias, request["options"])
    return plain(conv, x, weight, bias, request["options"]), leaves


def prepare(request):
    """What gives a result to look at, and what is timed."""
    torch.set_num_threads(request["threads"])
    wrap = lambda f: f
    if request.get("compile"):
        torch._dynamo.reset()  # it stops compiling a function that it compiled for many shapes
        wrap = torch.compile
    if request["op"] == "unet":
        return torch_ops.unet(request, load, wrap)
    if request["op"] not in ("conv", "partial"):
        forward = wrap(torch_ops.pointwise(request["op"], request, load))
        return forward, forward
    forward, leaves = prepare_conv(request)
    forward = wrap(forward)
    return forward, training_step(forward, leaves) if request["pass"] == "training" else forward


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


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
                    answer["values"] = forward().detach().float().flatten()[:: request["stride"]].tolist()
                else:
                    synchronize()
                    start = time.perf_counter()
                    for _ in range(request["iterations"]):
                        run()
                    synchronize()
                    answer["seconds"] = time.perf_counter() - start
        print(json.dumps(answer), flush=True)


main()
