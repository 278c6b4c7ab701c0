"""PyTorch's twin of unet.ts: trains the same network on the same data from the same seed and writes golden.json (the losses).

    OMP_NUM_THREADS=1 python twin.py && npm run format        (PyTorch 2.13, CPU)
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

STEPS, BATCH, LENGTH, SEED = 200, 4, 64, 42


def triangle(k):
    return abs(k % 32 - 16) / 8 - 1


def batch(step):
    """Triangle waves of changing period and phase; observed: what the record has; visible: the part of it that the network sees."""
    x, observed, visible = [], [], []
    for b in range(BATCH):
        i = step * BATCH + b
        x.append([triangle(t * (1 + i % 3) + 5 * i) + t / 64 for t in range(LENGTH)])
        observed.append([int((t + 11 * i) % 29 >= 4) for t in range(LENGTH)])
        visible.append([int((t + 11 * i) % 29 >= 4 and (3 * t + 7 * i) % 31 >= 9) for t in range(LENGTH)])
    return [torch.tensor(rows, dtype=torch.float32)[:, None] for rows in (x, observed, visible)]


def partial_conv(layer, x, mask):
    """y = (conv(select(mask, x)) * ratio + b) * updated; a mask of one channel is counted once, one per channel over channels."""
    ones = torch.ones(1, mask.shape[1], *layer.kernel_size)
    with torch.no_grad():
        count = F.conv1d(mask, ones, stride=layer.stride, padding=layer.padding)
        ratio = torch.where(count > 0, ones.numel() / count.clamp(min=1), torch.zeros(()))
        updated = count.clamp(max=1)
    selected = torch.where(mask == 0, torch.zeros(()), x * mask)
    y = F.conv1d(selected, layer.weight, None, layer.stride, layer.padding)
    return (y * ratio + layer.bias[:, None]) * updated, updated


def upsampled(x):
    return x.repeat_interleave(2, dim=2)


def joined(deep, deep_mask, skip, skip_mask):
    """Features side by side, with a mask per channel."""
    masks = [upsampled(deep_mask).expand(-1, deep.shape[1], -1), skip_mask.expand(-1, skip.shape[1], -1)]
    return torch.cat([upsampled(deep), skip], 1), torch.cat(masks, 1)


class UNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.down1 = torch.nn.Conv1d(1, 8, 7, stride=2, padding=3)
        self.down2 = torch.nn.Conv1d(8, 16, 5, stride=2, padding=2)
        self.up2 = torch.nn.Conv1d(24, 8, 3, padding=1)
        self.up1 = torch.nn.Conv1d(9, 1, 3, padding=1)

    def forward(self, x, mask):
        h1, m1 = partial_conv(self.down1, x, mask)
        h2, m2 = partial_conv(self.down2, F.relu(h1), m1)
        h3, m3 = partial_conv(self.up2, *joined(F.relu(h2), m2, F.relu(h1), m1))
        return partial_conv(self.up1, *joined(F.relu(h3), m3[:, :1], x, mask))[0]


def main():
    torch.manual_seed(SEED)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)
    losses, norms = [], []
    for step in range(STEPS):
        x, observed, visible = batch(step)
        optimizer.zero_grad()
        loss = (observed * (model(x, visible) - x) ** 2).sum() / observed.sum()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    about = "Losses and gradient norms of 200 steps of the U-net in unet.ts, float32, by twin.py"
    golden = {"about": about, "torch": torch.__version__.split("+")[0], "losses": losses, "norms": norms}
    Path(__file__).with_name("golden.json").write_text(json.dumps(golden) + "\n")
    print(losses[::20], losses[-1])


if __name__ == "__main__":
    main()
