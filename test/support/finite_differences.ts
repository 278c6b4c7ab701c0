// Gradients against central differences, in float64 or complex128.
import { expect } from 'chai';
import { noGrad, type Tensor } from '../../ts';
import { generate } from '../goldens/load';
import { at, type Values } from '../reference';
import { toTensor, toValues } from './tensors';

const STEP = 2 ** -10;

/**
 * Compares the gradients of L = sum of dy * f(inputs) with (L(v + h) - L(v - h)) / 2h for every number of every input (for complex
 * inputs: real and imaginary parts apart, which is PyTorch's convention).
 */
export function checkGradients(f: (inputs: Tensor[]) => Tensor, inputs: readonly Values[], tolerance = 1e-7): void {
  const dtypeOf = (v: Values) => (v.complex ? 'complex128' : 'float64');
  const tensors = inputs.map((v) => toTensor(v, dtypeOf(v), true));
  const y = f(tensors);
  const dy = generate('fine', 77, y.shape, y.dtype === 'complex128');
  const loss = (changed: readonly Values[]) => {
    const result = toValues(noGrad(() => f(changed.map((v) => toTensor(v, dtypeOf(v))))));
    return result.data.reduce((sum, value, i) => sum + value * at(dy.data, i), 0);
  };
  y.backward(toTensor(dy, y.dtype));
  inputs.forEach((input, k) => {
    const grad = toValues(tensors[k]?.grad ?? expect.fail(`input ${k} has no gradient`));
    expect([...grad.shape]).to.deep.equal([...input.shape]);
    for (let i = 0; i < input.data.length; i++) {
      const moved = (h: number) => inputs.map((v, j) => (j === k ? { ...v, data: v.data.map((x, n) => (n === i ? x + h : x)) } : v));
      const expected = (loss(moved(STEP)) - loss(moved(-STEP))) / (2 * STEP);
      const got = at(grad.data, i);
      if (!(Math.abs(got - expected) <= tolerance * (1 + Math.abs(expected)))) {
        expect.fail(`gradient of input ${k}, number ${i}: ${got}, by differences ${expected}`);
      }
    }
  });
}
