// What the goldens cannot show of the reference: holes are never read, mask forms, adjoints, and the loader's bit strings.

import { expect } from 'chai';
import { decodeBits, encodeBits, generate, load, unpack } from '../goldens/load';
import * as reference from '../reference';

const x = generate('exact', 1, [2, 3, 8]);
const weight = generate('exact', 2, [4, 3, 3]);
const bias = generate('exact', 3, [4]);

function dot(a: reference.Values, b: reference.Values): number {
  return reference.times(a, b).data.reduce((sum, value) => sum + value, 0);
}

describe('reference', () => {
  it('reads nothing under a hole, forward or backward (A6)', () => {
    const mask = generate('mask', 4, [2, 1, 8]);
    const poisoned = { shape: x.shape, data: x.data.slice() };
    for (let i = 0; i < 48; i++)
      if (reference.at(mask.data, Math.floor(i / 24) * 8 + (i % 8)) === 0) poisoned.data[i] = i % 2 ? Number.NaN : Number.NEGATIVE_INFINITY;
    expect(poisoned.data.some(Number.isNaN)).to.equal(true);
    const options = { padding: 1 };
    const y = reference.partialConv(x, mask, weight, bias, options).y;
    expect(reference.partialConv(poisoned, mask, weight, bias, options).y).to.deep.equal(y);
    const expected = reference.partialConvBackward(x, mask, weight, y, options);
    expect(reference.partialConvBackward(poisoned, mask, weight, y, options)).to.deep.equal(expected);
  });

  it('counts non-zero values of bool and integer masks as 1, and floats as they are', () => {
    const mask = reference.values([8], [0, 1, 2, -3, 0, 0, 5, 1]);
    const binary = reference.values([8], [0, 1, 1, 1, 0, 0, 1, 1]);
    const y = reference.partialConv(x, binary, weight, bias).y;
    expect(reference.partialConv(x, mask, weight, bias, {}, false).y).to.deep.equal(y);
    expect(reference.partialConv(x, mask, weight, bias, {}, true).y).not.to.deep.equal(y);
  });

  it('refuses masks of other forms', () => {
    const resolve = (mask: number[], input: number[], multiChannel: boolean) => () =>
      reference.resolveMask(reference.filled(mask, 1), input, 1, multiChannel);
    for (const mask of [[2, 3, 8], [3, 8], [7], [3, 1, 8], [2, 1, 7], [1, 2, 1, 8], []])
      expect(resolve(mask, [2, 3, 8], false), `single [${mask}]`).to.throw('does not fit');
    for (const mask of [[2, 1, 8], [3, 8], [8], [2, 8], [2, 4, 8]])
      expect(resolve(mask, [2, 3, 8], true), `multi [${mask}]`).to.throw('does not fit');
    for (const mask of [[8], [1, 8], [1, 1, 8]]) expect(resolve(mask, [3, 8], false), `unbatched [${mask}]`).not.to.throw();
    for (const mask of [
      [3, 8],
      [1, 3, 8],
    ])
      expect(resolve(mask, [3, 8], true), `unbatched multi [${mask}]`).not.to.throw();
  });

  it('has padBackward as the adjoint of pad', () => {
    for (const golden of load('init_printed').pad) {
      if (!golden.y) continue;
      const from = generate('exact', 5, golden.x.shape);
      const dy = generate('exact', 6, golden.y.shape);
      const dx = reference.padBackward(dy, golden.x.shape, golden.pads, golden.mode);
      expect(dot(reference.pad(from, golden.pads, golden.mode), dy)).to.equal(dot(from, dx));
    }
  });

  it("gives the masked batch norm's documented example, and beta where nothing is valid", () => {
    const values = reference.values([1, 2, 4], [1, 2, 3, 0, 4, 6, 0, 0]);
    const mask = reference.values([1, 2, 4], [1, 1, 1, 0, 1, 1, 0, 0]);
    const running = { mean: reference.filled([2], 0), variance: reference.filled([2], 1) };
    const y = reference.norm(values, mask, null, null, { scope: 'batch' }, running);
    const printed = [-1.2247356, 0, 1.2247356, -2.4494712, -0.999995, 0.999995, -4.999975, -4.999975];
    for (const [i, value] of printed.entries()) expect(y.data[i]).to.be.closeTo(value, 1e-6);
    expect([...running.mean.data]).to.deep.equal([0.2, 0.5]);
    expect(running.variance.data[0]).to.be.closeTo(0.9666667, 1e-7);
    const empty = reference.norm(values, reference.filled([1, 2, 4], 0), null, reference.filled([2], 3), { scope: 'batch' }, running);
    expect(empty.data.every((value) => value === 3)).to.equal(true);
    expect([...running.mean.data]).to.deep.equal([0.2, 0.5]);
  });

  it('decodes and encodes bit strings', () => {
    for (const { bits, dtype } of load('rng').draws) {
      if (bits === undefined) continue;
      const words = decodeBits(bits, dtype);
      if (words instanceof Uint16Array) expect(encodeBits(words)).to.equal(bits);
      else if (words instanceof Uint32Array) expect(encodeBits(new Float32Array(words.buffer))).to.equal(bits);
      else expect(encodeBits(new Float64Array(words.buffer))).to.equal(bits);
    }
    const first = load('rng').draws.find((draw) => draw.seed === '42' && draw.dtype === 'float32');
    const uniform = new Float32Array(decodeBits(first?.bits ?? '', 'float32').buffer);
    expect(uniform[0]).to.be.closeTo(0.8823, 1e-4);
    expect(unpack({ shape: [1], data: ['NaN'] }).data[0]).to.be.NaN;
  });
});
