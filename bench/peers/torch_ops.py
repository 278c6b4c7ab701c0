# What bench/gpu compares beside convolutions: ops that move memory, and a training step of the demo's U-net (examples/unet.ts).
import torch
import torch.nn.functional as F


def pointwise(op, request, load):
    """y of an op on x [N, C, L], other of the same shape and mask [N, 1, L]."""
    x, other = (load(request, name, request["x"]) for name in ("x", "other"))
    mask = load(request, "mask", [x.shape[0], 1, x.shape[2]])
    ops = {
        "copy": lambda: x.clone(),
        "relu": lambda: F.relu(x),
        "add": lambda: x + other,
        "sum": lambda: x.sum(),
        "cast": lambda: x.to(torch.bfloat16),
        "applyMask": lambda: x * mask,
        "batchNorm": lambda: F.batch_norm(x, None, None, training=True),
        "loss": lambda: (mask * (x - other) ** 2).sum() / (mask.sum() * x.shape[1]),
    }
    return ops[op]


def partial_conv(layer, x, mask):
    """A layer of multi-channel masks, [N, 1 or C, L]: y = (conv(x * mask) * ratio + b) * updated; updated is one channel."""
    mask = mask.expand_as(x)
    with torch.no_grad():
        ones = torch.ones(1, *layer.weight.shape[1:], device=x.device, dtype=x.dtype)
        count = F.conv1d(mask, ones, stride=layer.stride, padding=layer.padding)
        ratio = torch.where(count > 0, ones.numel() / count.clamp(min=1), 0.0)
        updated = count.clamp(max=1)
    y = F.conv1d(x * mask, layer.weight, None, layer.stride, layer.padding)
    return F.relu((y * ratio + layer.bias[:, None]) * updated), updated


def doubled(x):
    return x.repeat_interleave(2, dim=2)


class UNet(torch.nn.Module):
    def __init__(self, channels, hints, width=16):
        super().__init__()
        conv = torch.nn.Conv1d
        down = [(channels, 7), (width, 5), (width, 5)]
        up = [(2 * width, 3), (2 * width, 3), (width + channels + hints, 7)]
        self.down = torch.nn.ModuleList(conv(c, width, k, stride=2, padding=k // 2) for c, k in down)
        self.up = torch.nn.ModuleList(conv(c, width, k, padding=k // 2) for c, k in up)
        self.last = conv(width + hints, channels, 3, padding=1)

    def forward(self, x, mask, hints):
        features = x, mask
        skipped = [[features, (hints, torch.ones_like(hints))]]
        for layer in self.down:
            features = partial_conv(layer, *features)
            skipped.append([features])
        skipped.pop()
        for layer in self.up:
            parts = [(doubled(features[0]), doubled(features[1])), *skipped.pop()]
            masks = torch.cat([m.expand_as(part) for part, m in parts], 1)
            features = partial_conv(layer, torch.cat([part for part, _ in parts], 1), masks)
        return hints[:, : x.shape[1]] + self.last(torch.cat([features[0], hints], 1))


def unet(request, load, wrap):
    """A loss to look at, and one step of training."""
    n, c, length = request["x"]
    x, mask, asked = (load(request, name, [n, c, length]) for name in ("x", "mask", "asked"))
    hints = load(request, "hints", [n, request["hints"], length])
    model = UNet(c, request["hints"]).to(x.device, x.dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(load(request, name, parameter.shape))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    forward = wrap(lambda: (asked * (model(x, mask, hints) - x).abs()).sum() / asked.sum())

    def step():
        optimizer.zero_grad()
        forward().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return forward, step
