// A program: prints the bytes of resident memory that the first forward pass of a PartialConv1d needs at its peak beyond operands and y.
// Argument: a Case as JSON. Linux only (the peak is reset through /proc).
import { readFileSync, writeFileSync } from 'node:fs';
import { layerOf, pc } from './peers/ours';
import { type Case, operandsOf } from './peers/peer';
import { outputShape, product } from './shapes';

const status = (field: string): number =>
  1024 * Number(new RegExp(`${field}:\\s*(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

const what = JSON.parse(process.argv[2] as string) as Case;
const operands = operandsOf(what);
pc.setNumThreads(what.threads);
// A small layer first, so that code, threads and compiled JavaScript are there already.
const small: Case = {
  ...what,
  shape: { ...what.shape, x: [1, what.shape.groups ?? 1, ...what.shape.x.slice(2).map(() => 32)], out: what.shape.groups ?? 1 },
};
const smallOperands = operandsOf(small);
const smallMask = pc.tensor(smallOperands.mask, { shape: [...smallOperands.maskShape] });
pc.noGrad(() => layerOf(small, smallOperands).forward(pc.tensor(smallOperands.x, { shape: [...small.shape.x] }), smallMask));

const layer = layerOf(what, operands);
const x = pc.tensor(operands.x, { shape: [...what.shape.x] });
const mask = pc.tensor(operands.mask, { shape: [...operands.maskShape] });

function measure(): void {
  writeFileSync('/proc/self/clear_refs', '5');
  const before = status('VmHWM');
  const y = pc.noGrad(() => layer.forward(x, mask));
  const peak = status('VmHWM');
  console.log(JSON.stringify({ bytes: peak - before - 4 * product(outputShape(what.shape)), alive: y.size }));
}

/** Measures once memory is at rest: what a collection finds is freed some time later, by another thread. */
function settle(last: number, looks: number): void {
  globalThis.gc?.();
  const now = status('VmRSS');
  if (looks === 0) measure();
  else setTimeout(settle, 100, now, Math.abs(now - last) < 1 << 16 ? looks - 1 : 3);
}

settle(0, 3);
