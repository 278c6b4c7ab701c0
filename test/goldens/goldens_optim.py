"""optim.json: parameter trajectories of SGD, Adam and AdamW over 100 steps, with clipping and schedules."""

import torch

from common import DTYPES, data, flat, write

ABOUT = (
    "Two parameters p0 [2, 3], p1 [4], start generate('exact', 1 + i, shape). loss = sum over all elements of "
    "0.5 h (p - c)^2 + 0.05 p^4, gradient h (p - c) + 0.2 p^3, with h = |generate('exact', 11 + i)| + 0.25 and c = "
    "generate('exact', 21 + i). Per step: loss, gradient, clip by norm, optimizer step, schedule step. steps: after that many; "
    "loss and norm (before clipping) of that step, lr that it used. rates: lr of every step."
)
SHAPES = [(2, 3), (4,)]
STEPS = 100
SNAKE = {"weightDecay": "weight_decay", "stepSize": "step_size", "tMax": "T_max", "etaMin": "eta_min"}
named = lambda o: {SNAKE.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in o.items()}  # noqa: E731


def case(name, optimizer, dtype="float64", clip=None, schedule=None, **options):
    t = DTYPES[dtype]
    params = [data("exact", 1 + i, s, t, grad=True) for i, s in enumerate(SHAPES)]
    stiff = [data("exact", 11 + i, s, t).abs() + 0.25 for i, s in enumerate(SHAPES)]
    centre = [data("exact", 21 + i, s, t) for i, s in enumerate(SHAPES)]
    opt = getattr(torch.optim, optimizer)(params, **named(options))
    schedulers = {"step": torch.optim.lr_scheduler.StepLR, "cosine": torch.optim.lr_scheduler.CosineAnnealingLR}
    scheduler = schedulers[schedule[0]](opt, **named(schedule[1])) if schedule else None
    steps, rates = [], []
    for step in range(1, STEPS + 1):
        opt.zero_grad()
        loss = sum((0.5 * h * (p - c) ** 2 + 0.05 * p**4).sum() for p, h, c in zip(params, stiff, centre))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params, clip) if clip else None
        rates.append(float(opt.param_groups[0]["lr"]))
        opt.step()
        if scheduler:
            scheduler.step()
        if step % 10 == 0 or step <= 3:
            entry = {"step": step, "loss": flat(loss)[0], "lr": rates[-1]}
            if norm is not None:
                entry["norm"] = flat(norm)[0]
            steps.append({**entry, "parameters": [flat(p) for p in params]})
    record = {"name": f"{name} {dtype}", "optimizer": optimizer, "dtype": dtype, "options": options}
    if clip:
        record["clip"] = clip
    if schedule:
        record["schedule"] = {"kind": schedule[0], "options": schedule[1]}
        record["rates"] = rates
    return {**record, "steps": steps}


def main():
    cases = []
    for dtype in ("float64", "float32"):
        d = {"dtype": dtype}
        cases += [
            case("SGD", "SGD", lr=0.05, **d),
            case("SGD momentum", "SGD", lr=0.02, momentum=0.9, **d),
            case("SGD momentum dampening", "SGD", lr=0.02, momentum=0.9, dampening=0.5, **d),
            case("SGD nesterov", "SGD", lr=0.02, momentum=0.9, nesterov=True, **d),
            case("SGD weight decay", "SGD", lr=0.05, weightDecay=0.1, **d),
            case("SGD all", "SGD", lr=0.01, momentum=0.8, weightDecay=0.05, nesterov=True, **d),
            case("Adam", "Adam", lr=0.05, **d),
            case("Adam options", "Adam", lr=0.03, betas=[0.8, 0.95], eps=1e-4, weightDecay=0.1, **d),
            case("AdamW", "AdamW", lr=0.05, **d),
            case("AdamW options", "AdamW", lr=0.03, betas=[0.8, 0.95], eps=1e-4, weightDecay=0.2, **d),
            case("SGD clipped", "SGD", lr=0.05, momentum=0.9, clip=0.5, **d),
            case("Adam clipped", "Adam", lr=0.05, clip=1.0, **d),
            case("SGD step schedule", "SGD", lr=0.05, schedule=("step", {"stepSize": 20, "gamma": 0.5}), **d),
            case("SGD cosine", "SGD", lr=0.05, momentum=0.9, schedule=("cosine", {"tMax": 60, "etaMin": 0.001}), **d),
            case("Adam cosine", "Adam", lr=0.05, schedule=("cosine", {"tMax": 100}), **d),
            case("AdamW step schedule clipped", "AdamW", lr=0.05, clip=0.7, schedule=("step", {"stepSize": 15}), **d),
        ]
    write("optim", ABOUT, cases=cases)
