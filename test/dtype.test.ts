// The table of dtypes: sizes as native code has them, promotion rules, names.
import { expect } from 'chai';
import { DTypeError, zeros } from '../ts';
import { checkDType, checkFits, DTYPES, type DType, isDifferentiable, isDType, promote } from '../ts/dtype';
import { expectTyped } from './support/typed_errors';

const NAMES = Object.keys(DTYPES) as DType[];

describe('dtypes', () => {
  it('have arrays of their size', () => {
    for (const dtype of NAMES) {
      const { array: ArrayType, bytes, lanes, real } = DTYPES[dtype];
      const { data } = zeros([3], { dtype });
      expect(data).to.be.instanceOf(ArrayType);
      expect(data.byteLength, dtype).to.equal(3 * bytes);
      expect(DTYPES[real].bytes * lanes, dtype).to.equal(bytes);
    }
    expect(NAMES.map((name) => DTYPES[name].code)).to.deep.equal(NAMES.map((_, i) => i));
  });

  it('promote symmetrically, upwards, and the same again', () => {
    for (const a of NAMES) {
      expect(promote(a, a)).to.equal(a);
      for (const b of NAMES) {
        const c = promote(a, b);
        expect(promote(b, a), `${a} ${b}`).to.equal(c);
        expect(promote(c, a), `${a} ${b}`).to.equal(c);
        expect(promote(c, b), `${a} ${b}`).to.equal(c);
      }
    }
  });

  it('know which carry gradients', () => {
    expect(NAMES.filter(isDifferentiable)).to.deep.equal(['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128']);
  });

  it('are checked by name', () => {
    expect(checkDType('op', 'float16')).to.equal('float16');
    expect(isDType('toString')).to.equal(false);
    const names = 'float32, float64, float16, bfloat16, complex64, complex128, int32, uint8, bool';
    expect(expectTyped(() => checkDType('op', 'half')).message).to.equal(`op: expected a dtype (${names}), but got "half"`);
    for (const wrong of [null, 3, {}, [], Symbol('float32')])
      expect(expectTyped(() => checkDType('op', wrong))).to.be.instanceOf(DTypeError);
  });

  it('have ranges', () => {
    checkFits('op', 255.9, 'uint8');
    checkFits('op', -0.9, 'uint8');
    checkFits('op', -(2 ** 31), 'int32');
    checkFits('op', Number.NaN, 'float16');
    for (const [value, dtype] of [
      [256, 'uint8'],
      [-1, 'uint8'],
      [2 ** 31, 'int32'],
      [Number.NaN, 'int32'],
      [Number.POSITIVE_INFINITY, 'uint8'],
    ] as const) {
      expect(expectTyped(() => checkFits('op', value, dtype)).message).to.contain(
        `op: ${value} cannot be converted to ${dtype} without overflow`,
      );
    }
  });
});
