"""One golden case of a layer: generated state and input, forward, gradients, buffers. Used by the training goldens."""

import torch

from common import data, flat, pack

DIGITS = 10  # significant digits kept of float64 results: compare to 1e-8
SCALES = {"running_var": (0.25, 1.0), "running_mean": (0.25, 0.0)}  # name ending -> (scale, shift)


def generated(seed, index, name, shape, overrides=None):
    """State entry `index`: generate('exact', seed + 10 + index, shape) * scale + shift."""
    scale, shift = (overrides or {}).get(name) or SCALES.get(name.rsplit(".", 1)[-1], (1.0, 0.0))
    entry = {"name": name, "shape": list(shape), "scale": scale, "shift": shift}
    return data("exact", seed + 10 + index, shape) * scale + shift, entry


def load_state(module, seed, overrides=None):
    """Fills parameters and float buffers in state-dict order; returns their entries."""
    entries = []
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            value, entry = generated(seed, len(entries), name, tensor.shape, overrides)
            tensor.copy_(value)
            entries.append(entry)
    return entries


def record(name, layer, seed, x, options, call, state=None, entries=None, mask=None, masked=False, original=None,
           training=None, buffers=None):  # fmt: skip
    """call(x, mask) -> y or (y, updated); state: name -> parameter that gets a gradient; mask: (kind, shape)."""
    xt = data("exact", seed, x, grad=True)
    m = data(mask[0], seed + 4, mask[1]) if mask else None
    result = call(xt * m if masked else xt, m)
    y, updated = result if isinstance(result, tuple) else (result, None)
    y.backward(data("exact", seed + 3, y.shape))
    case = {"name": name, "layer": layer, "seed": seed, "x": list(x), "options": options}
    if training is not None:
        case["training"] = training
    if mask:
        case["mask"] = {"kind": mask[0], "shape": list(mask[1])}
        case["masked"] = masked
    if original is not None:
        case["original"] = original
    if entries:
        case["state"] = entries
    case["y"] = pack(y, DIGITS)
    if updated is not None:
        case["updated"] = pack(updated, DIGITS)
    case["dx"] = flat(xt.grad, DIGITS)
    if state:
        case["gradients"] = {k: flat(p.grad, DIGITS) for k, p in state.items() if p.grad is not None}
    if buffers:
        case["buffers"] = {k: flat(b, DIGITS) for k, b in buffers().items()}
    return case


def module_case(name, layer, seed, x, options, module, training=True, overrides=None):
    """A torch.nn module called on x alone."""
    module = module.double().train(training)
    entries = load_state(module, seed, overrides)
    floating = lambda: {k: b for k, b in module.named_buffers() if b.is_floating_point()}  # noqa: E731
    return record(name, layer, seed, x, options, lambda xt, _: module(xt), dict(module.named_parameters()), entries,
                  training=training, buffers=floating if floating() else None)  # fmt: skip
