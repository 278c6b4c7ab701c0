// Tensors without elements on 'cuda': a size of 0 in each place gives what it gives on the CPU, and no kernel touches memory for it.
import { expect } from 'chai';
import type { Device, Tensor } from '../../ts';
import * as api from '../../ts';
import { onDevice, toValues } from '../support/tensors';
import { needsCuda } from './on_gpu';

const SHAPES = [
  [0, 16, 24],
  [2, 0, 24],
  [2, 16, 0],
] as const;

type Op = (x: Tensor, shape: readonly number[]) => readonly Tensor[];

function backward(y: Tensor, ...inputs: Tensor[]): Tensor[] {
  y.sum().backward();
  return [y, ...inputs.flatMap((x) => (x.grad ? [x.grad] : []))];
}

const OPS: Record<string, Op> = {
  arithmetic: (x) => [x.mul(x).add(1).neg(), x.relu()],
  sums: (x) => [x.sum(), x.sum(0), x.sum(1), x.sum(2), x.mean(1)],
  losses: (x) => backward(api.mseLoss(x, x, { reduction: 'sum' }), x),
  'a masked loss': (x, shape) => backward(api.maskedL1Loss(x, x, api.ones(shape)), x),
  transposition: (x) => [x.transpose(1, 2), x.transpose(0, 2)],
  padding: (x) => backward(api.pad(x, [3, 5]), x),
  prelu: (x, shape) => backward(api.prelu(x, api.ones([shape[1] as number], { dtype: x.dtype })), x),
  'a mask': (x, shape) => [api.applyMask(x, api.ones([shape[0] as number, 1, shape[2] as number]))],
};
for (const multiChannel of [false, true]) {
  OPS[`partialConv1d, multiChannel ${multiChannel}`] = (x, shape) => {
    const [n, c, l] = shape as [number, number, number];
    const weight = api.ones([8, c, 3], { dtype: x.dtype, requiresGrad: true });
    const mask = api.ones([n, multiChannel ? c : 1, l]);
    const y = api.partialConv1d(x, mask, weight, api.ones([8], { dtype: x.dtype }), { padding: 2, multiChannel });
    return backward(Array.isArray(y) ? (y[0] as Tensor) : (y as Tensor), x, weight);
  };
}

/** What an op gives, or the error that it refuses the shape with. */
function outcome(op: Op, shape: readonly number[], device: Device, dtype: 'float32' | 'bfloat16'): unknown {
  return onDevice(device, () => {
    try {
      return op(api.ones(shape, { dtype, requiresGrad: true }), shape).map((y) => [y.shape, toValues(y).data]);
    } catch (error) {
      return (error as Error).message.replace(/cuda|cpu/g, 'device');
    }
  });
}

describe("tensors without elements on 'cuda'", () => {
  needsCuda();

  for (const [name, op] of Object.entries(OPS)) {
    it(name, () => {
      for (const shape of SHAPES) {
        for (const dtype of ['float32', 'bfloat16'] as const)
          expect(outcome(op, shape, 'cuda', dtype), `${shape} ${dtype}`).to.deep.equal(outcome(op, shape, 'cpu', dtype));
      }
    });
  }
});
