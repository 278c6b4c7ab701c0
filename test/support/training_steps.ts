// A program: trains a small network for 10,000 steps in one synchronous loop, and prints after each thousand the resident memory, and V8's heap in it, in MiB.
import { Adam, manualSeed, maskedMseLoss, PartialConv1d, rand, tensor, tidy } from '../../ts';

const [mode = 'plain', length = '256', steps = '10000'] = process.argv.slice(2);

manualSeed(1);
const layer = new PartialConv1d(4, 8, 5, { padding: 2 });
const last = new PartialConv1d(8, 4, 5, { padding: 2, multiChannel: true });
const optimizer = new Adam([...layer.parameters(), ...last.parameters()], { lr: 1e-3 });
const target = rand([8, 4, Number(length)]);

/** A mask, a forward pass, a loss, a backward pass and an optimizer step, all on tensors made in this step. */
function step(i: number): void {
  const x = rand([8, 4, Number(length)]);
  const mask = tensor(Array.from({ length: Number(length) }, (_, t) => Number((t + i) % 11 > 3)));
  const [h, updated] = layer.forward(x, mask, { returnMask: true });
  const y = last.forward(h.relu(), updated);
  const loss = maskedMseLoss(y, target, mask);
  optimizer.zeroGrad();
  loss.backward();
  optimizer.step();
}

const mebi = (bytes: number) => Math.round((bytes / 2 ** 20) * 10) / 10;
const seen: { resident: number; heap: number }[] = [];
for (let i = 1; i <= Number(steps); i++) {
  if (mode === 'tidy') tidy(() => step(i));
  else step(i);
  if (i % 1000 !== 0) continue;
  const { rss, heapTotal } = process.memoryUsage();
  seen.push({ resident: mebi(rss), heap: mebi(heapTotal) });
}
console.log(JSON.stringify(seen));
