// The settings of devices: what their setters refuse.
import { expect } from 'chai';
import { ShapeError, setAllowTF32, setAutotune, setDeterministic, setNumThreads } from '../ts';
import { expectTyped } from './support/typed_errors';

describe('the settings of devices', () => {
  for (const setter of [setAllowTF32, setAutotune, setDeterministic]) {
    it(`${setter.name} takes a boolean alone`, () => {
      for (const [flag, shown] of [
        [1, '1'],
        ['true', '"true"'],
        [undefined, 'undefined'],
      ]) {
        const error = expectTyped(() => setter(flag as never));
        expect(error).to.be.instanceOf(ShapeError);
        expect(error.message).to.equal(`${setter.name}: expected a boolean, but got ${shown}`);
      }
    });
  }

  it('setNumThreads takes an integer from 1 to 1024 alone', () => {
    for (const n of [0, 1.5, 1025, Number.NaN, '2']) {
      const error = expectTyped(() => setNumThreads(n as number));
      expect(error).to.be.instanceOf(ShapeError);
      expect(error.message).to.match(/^setNumThreads: expected an integer from 1 to 1024 \(this machine has \d+ CPUs\), but got /);
    }
  });
});
