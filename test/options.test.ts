// checkOptions: known names, snake_case, aliases, and the nearest name in the message.
import { expect } from 'chai';
import { ShapeError, zeros } from '../ts';
import { checkOptions } from '../ts/options';
import { expectTyped } from './support/typed_errors';

const KNOWN = ['stride', 'padding', 'dilation', 'groups', 'paddingMode', 'keepDims'];
const message = (options: unknown, known = KNOWN) => expectTyped(() => checkOptions('conv1d', options, known)).message;

describe('checkOptions', () => {
  it('gives a copy under the known names', () => {
    const given = { stride: 2, padding_mode: 'zeros', groups: undefined };
    const checked = checkOptions('conv1d', given, KNOWN);
    expect(checked).to.deep.equal({ stride: 2, paddingMode: 'zeros' });
    expect(checkOptions('conv1d', undefined, KNOWN)).to.deep.equal({});
    expect(checkOptions('conv1d', null, KNOWN)).to.deep.equal({});
    expect(checkOptions('conv1d', Object.assign(Object.create(null), { stride: 1 }), KNOWN)).to.deep.equal({ stride: 1 });
    expect(checkOptions('sum', { keepdim: true }, KNOWN, { keepdim: 'keepDims' })).to.deep.equal({ keepDims: true });
  });

  it('names the nearest known option', () => {
    expect(message({ strde: 1 })).to.equal('conv1d: unknown option "strde"; did you mean "stride"?');
    expect(message({ Stride: 1 })).to.equal('conv1d: unknown option "Stride"; did you mean "stride"?');
    expect(message({ dialtion: 1 })).to.equal('conv1d: unknown option "dialtion"; did you mean "dilation"?');
    expect(message({ padding_mod: 1 })).to.equal('conv1d: unknown option "padding_mod"; did you mean "paddingMode"?');
    expect(message({ colour: 1 })).to.equal(
      'conv1d: unknown option "colour"; the options are stride, padding, dilation, groups, paddingMode, keepDims',
    );
    expect(message({ colour: 1 }, [])).to.equal('conv1d: unknown option "colour"; it has no options');
    expect(message({ strde: undefined })).to.contain('unknown option "strde"');
    expect(message({ __proto__x: 1 })).to.contain('unknown option');
  });

  it('rejects an option given twice, and what is no options object', () => {
    expect(message({ paddingMode: 'zeros', padding_mode: 'zeros' })).to.equal(
      'conv1d: option "paddingMode" is given twice, once as "padding_mode"',
    );
    for (const wrong of [3, 'stride', true, [1], zeros([1]), () => 1, new Map(), 2n, Symbol('s')]) {
      expect(expectTyped(() => checkOptions('conv1d', wrong, KNOWN))).to.be.instanceOf(ShapeError);
    }
    expect(message([1])).to.equal('conv1d: expected an options object, but got [1]');
    expect(message(3)).to.equal('conv1d: expected an options object, but got 3');
  });
});
