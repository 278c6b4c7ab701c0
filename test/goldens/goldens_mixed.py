"""mixed.json: networks under torch.autocast on the CPU, GradScaler's steps, and float32 runs for the master copies of 16-bit parameters."""

import torch
import torch.nn.functional as F

from common import DTYPES, data, flat, pack, write

ABOUT = (
    "nets: test/support/mixed_nets.ts has the networks. Parameter i is generate('fine', 10 + i, shape) * scales[i], x is "
    "generate('fine', 1), target generate('fine', 2), mask generate('mask', 3). dtypes: of each layer's result. training: losses of 20 steps "
    "of SGD with a GradScaler. scaler: two float32 parameters [2, 3], [4], start generate('exact', 1 + i); loss = sum of p * g with "
    "g = generate('exact', 50 + 2 step + i), its first number infinite in the steps of `infinite`; scale, backward, unscale, clip by norm 1, step, update. "
    "master: parameters [24] start generate('exact', 1), gradient generate('exact', 2) in every step; final parameters of a float32 run."
)
LOW = ("bfloat16", "float16")
SCALES = {"plain": (0.3, 0.3, 1, 0.3, 0.2, 0.3, 0.3), "shared": (0.3, 0.3), "partial": (0.4, 0.4, 0.4, 0.4)}
SHAPES = {
    "plain": ((8, 3, 3), (8,), (8,), (8,), (8,), (4, 8, 3), (4,)),
    "shared": ((4, 2, 3, 3), (4,)),
    "partial": ((6, 2, 5), (6,), (3, 6, 3), (3,)),
}
X = {"plain": (2, 3, 20), "shared": (2, 4, 7, 6), "partial": (2, 2, 24)}


def plain(x, mask, p, dtype):
    """conv, batch norm, PReLU, conv with stride"""
    h = F.conv1d(x, p[0], p[1], padding=1)
    n = F.batch_norm(h, torch.zeros(8), torch.ones(8), p[2], p[3], training=True)
    a = F.prelu(n, p[4])
    return [h, n, a, F.conv1d(a, p[5], p[6], stride=2)]


def shared(x, mask, p, dtype):
    """One weight twice, with groups; ReLU and instance norm between."""
    h = F.conv2d(x, p[0], p[1], padding=1, groups=2)
    n = F.instance_norm(h)
    return [h, n, F.conv2d(F.relu(n), p[0], p[1], padding=1, groups=2)]


def partial_conv(x, mask, weight, bias, dtype):
    """Operands rounded to 16 bits, everything else in float32, the result rounded once; mask [N, 1, L]."""
    with torch.autocast("cpu", enabled=False):
        pad = weight.shape[2] // 2
        count = F.conv1d(mask, torch.ones(1, 1, weight.shape[2]), padding=pad)
        ratio = torch.where(count > 0, weight.shape[2] / count.clamp(min=1), torch.zeros(()))
        updated = count.clamp(max=1)
        narrow = lambda t: t.to(dtype).float()  # noqa: E731
        raw = F.conv1d(torch.where(mask == 0, torch.zeros(()), narrow(x)), narrow(weight), padding=pad)
        return ((raw * ratio + narrow(bias)[:, None]) * updated).to(dtype), updated


def partial(x, mask, p, dtype):
    """Two partial convolutions, a ReLU between."""
    h, updated = partial_conv(x, mask, p[0], p[1], dtype)
    y, _ = partial_conv(F.relu(h), updated, p[2], p[3], dtype)
    return [h, y]


def parameters(name):
    return [(data("fine", 10 + i, s, torch.float32) * k).requires_grad_() for i, (s, k) in enumerate(zip(SHAPES[name], SCALES[name]))]


def loss_of(net, x, mask, p, dtype):
    with torch.autocast("cpu", dtype=dtype):
        results = net(x, mask, p, dtype)
        y = results[-1]
        return results, F.mse_loss(y, data("fine", 2, y.shape, torch.float32))


def case(name, net, low):
    dtype, p = DTYPES[low], parameters(name)
    x = data("fine", 1, X[name], torch.float32, grad=True)
    mask = data("mask", 3, (X[name][0], 1, *X[name][2:]), torch.float32)
    results, loss = loss_of(net, x, mask, p, dtype)
    loss.backward()
    record = {"net": name, "dtype": low, "x": list(X[name]), "shapes": [list(s) for s in SHAPES[name]], "scales": list(SCALES[name])}
    record |= {"dtypes": [str(r.dtype)[6:] for r in (*results, loss)], "loss": flat(loss)[0], "y": pack(results[-1])}
    record |= {"dx": flat(x.grad), "gradients": [flat(t.grad) for t in p]}
    return {**record, "training": training(name, net, dtype, x.detach(), mask)}


def training(name, net, dtype, x, mask):
    p = parameters(name)
    optimizer, scaler = torch.optim.SGD(p, lr=0.05, momentum=0.9), torch.amp.GradScaler("cpu")
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = loss_of(net, x, mask, p, dtype)[1]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(flat(loss)[0])
    return losses


def scaler_case():
    infinite, options = (3, 7, 8), {"initScale": 1024, "growthFactor": 2, "backoffFactor": 0.5, "growthInterval": 2}
    p = [data("exact", 1 + i, s, torch.float32, grad=True) for i, s in enumerate(((2, 3), (4,)))]
    optimizer = torch.optim.SGD(p, lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024, growth_factor=2, backoff_factor=0.5, growth_interval=2)
    steps = []
    for step in range(1, 13):
        optimizer.zero_grad()
        g = [data("exact", 50 + 2 * step + i, t.shape, torch.float32) for i, t in enumerate(p)]
        if step in infinite:
            g[0].view(-1)[0] = torch.inf
        scaler.scale(sum((a * b).sum() for a, b in zip(p, g))).backward()
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(p, 1.0)
        scaler.step(optimizer)
        scaler.update()
        state = scaler.state_dict()
        entry = {"step": step, "norm": flat(norm)[0], "scale": state["scale"], "growthTracker": state["_growth_tracker"]}
        steps.append({**entry, "parameters": [flat(t) for t in p]})
    return {"options": options, "infinite": list(infinite), "steps": steps}


def master(optimizer, steps=2000, **options):
    p = data("exact", 1, (24,), torch.float32, grad=True)
    named = {k.replace("weightDecay", "weight_decay"): v for k, v in options.items()}
    opt = getattr(torch.optim, optimizer)([p], **named)
    p.grad = data("exact", 2, (24,), torch.float32)
    for _ in range(steps):
        opt.step()
    return {"optimizer": optimizer, "options": options, "steps": steps, "parameters": flat(p)}


def main():
    nets = {"plain": plain, "shared": shared, "partial": partial}
    masters = [
        master("SGD", lr=2e-5),
        master("SGD", lr=2e-6, momentum=0.9, nesterov=True, weightDecay=0.01),
        master("Adam", lr=1e-5),
        master("AdamW", lr=1e-5, weightDecay=0.05, amsgrad=True),
    ]
    write("mixed", ABOUT, nets=[case(name, net, low) for low in LOW for name, net in nets.items()], scaler=scaler_case(), master=masters)
