// Construction of layers: every bad argument and option is refused with a typed error that names it.
import { expect } from 'chai';
import { Conv1d, manualSeed, PartialConv1d, rand } from '../../ts';
import { expectTyped } from '../support/typed_errors';

describe('construction', () => {
  const build = (...args: unknown[]) => new (Conv1d as unknown as new (...a: unknown[]) => Conv1d)(...args);
  const partial = (...args: unknown[]) => new (PartialConv1d as unknown as new (...a: unknown[]) => PartialConv1d)(...args);

  it('refuses bad arguments of every kind, naming the argument and its value', () => {
    const cases: [unknown[], RegExp][] = [
      [[], /inChannels to be an integer, but got undefined/],
      [[1], /outChannels to be an integer, but got undefined/],
      [[1, 2], /kernelSize.*undefined/],
      [[null, 2, 3], /inChannels.*null/],
      [['1', 2, 3], /inChannels.*"1"/],
      [[1, Number.NaN, 3], /outChannels.*NaN/],
      [[1, Number.POSITIVE_INFINITY, 3], /outChannels.*Infinity/],
      [[1, 2, '3'], /kernelSize.*"3"/],
      [[1, 2, Number.NaN], /kernelSize.*NaN/],
      [[1, 2, 2.5], /kernelSize.*2\.5/],
      [[1, 2, []], /kernelSize.*\[\]/],
      [[1, 2, [3, 3]], /kernelSize.*\[3, 3\]/],
      [[1, 2, {}], /kernelSize.*object/],
      [[1, 2, [null]], /kernelSize.*null/],
      [[1, 2, 2 ** 53], /kernelSize/],
      [[2 ** 40, 2 ** 40, 3], /too many elements/],
      [[1, 2, 3, { stride: 0 }], /non-positive stride/],
      [[1, 2, 3, { stride: Number.NaN }], /stride.*NaN/],
      [[1, 2, 3, { stride: null }], /stride.*null/],
      [[1, 2, 3, { stride: '2' }], /stride.*"2"/],
      [[1, 2, 3, { stride: [] }], /stride.*\[\]/],
      [[1, 2, 3, { stride: true }], /stride.*true/],
      [[1, 2, 3, { padding: 1.5 }], /padding.*1\.5/],
      [[1, 2, 3, { padding: 'SAME' }], /Invalid padding string 'SAME'/],
      [[1, 2, 3, { padding: null }], /padding.*null/],
      [[1, 2, 3, { padding: [1, 2] }], /padding=\[1, 2\]/],
      [[1, 2, 3, { dilation: 0 }], /dilation should be greater than zero, but got \[0\]/],
      [[1, 2, 3, { dilation: Number.NEGATIVE_INFINITY }], /dilation.*-Infinity/],
      [[1, 2, 3, { groups: 1.5 }], /groups.*1\.5/],
      [[1, 2, 3, { groups: Number.NaN }], /groups.*NaN/],
      [[1, 2, 3, { groups: '1' }], /groups.*"1"/],
      [[1, 2, 3, { groups: null }], /groups.*null/],
      [[1, 2, 3, { bias: 1 }], /bias to be a boolean, but got 1/],
      [[1, 2, 3, { bias: null }], /bias to be a boolean, but got null/],
      [
        [1, 2, 3, { paddingMode: 'Zeros' }],
        /padding_mode must be one of \{'zeros', 'reflect', 'replicate', 'circular'\}, but got padding_mode='Zeros'/,
      ],
      [[1, 2, 3, { paddingMode: null }], /padding_mode must be one of/],
      [[1, 2, 3, { paddingMode: ['zeros'] }], /padding_mode must be one of/],
      [[1, 2, 3, 4], /options object, but got 4/],
      [[1, 2, 3, [1]], /options object/],
      [[1, 2, 3, 'same'], /options object/],
    ];
    for (const [args, message] of cases) {
      for (const f of [build, partial]) {
        expect(() => f(...args), String(message))
          .to.throw(RangeError, message)
          .with.property('code', 'ERR_SHAPE');
      }
    }
  });

  it('refuses bad dtypes and devices', () => {
    for (const dtype of ['float8', 'Float32', 'constructor', null, 7, {}]) {
      expect(() => build(1, 2, 3, { dtype }), String(dtype))
        .to.throw(TypeError, /dtype/)
        .with.property('code', 'ERR_DTYPE');
    }
    for (const dtype of ['int32', 'uint8', 'bool']) {
      expect(() => build(1, 2, 3, { dtype })).to.throw(TypeError, /Only Tensors of floating point and complex dtype can require gradients/);
    }
    for (const device of ['gpu', 'cuda:99', 'cuda:7', 3, {}, 'CPU']) {
      expect(() => build(1, 2, 3, { device }), String(device))
        .to.throw(Error, /device/)
        .with.property('code', 'ERR_DEVICE');
    }
  });

  it('refuses the options of partial layers out of range', () => {
    const cases: [object, RegExp][] = [
      [{ multiChannel: 1 }, /multiChannel to be a boolean, but got 1/],
      [{ multiChannel: null }, /multiChannel to be a boolean, but got null/],
      [{ countGroups: 'yes' }, /countGroups to be a boolean, but got "?yes/],
      [{ returnMask: 0 }, /returnMask to be a boolean, but got 0/],
      [{ eps: -1e-9 }, /eps to be a finite number of at least 0/],
      [{ eps: Number.NaN }, /eps.*NaN/],
      [{ eps: Number.POSITIVE_INFINITY }, /eps.*Infinity/],
      [{ eps: '1e-8' }, /eps/],
      [{ eps: null }, /eps.*null/],
    ];
    for (const [options, message] of cases) {
      expect(() => partial(1, 2, 3, options), String(message))
        .to.throw(RangeError, message)
        .with.property('code', 'ERR_SHAPE');
    }
  });

  it('names the nearest option for an unknown one, and takes snake_case', () => {
    const cases: [string, string | null][] = [
      ['strides', 'stride'],
      ['pading', 'padding'],
      ['dialation', 'dilation'],
      ['group', 'groups'],
      ['paddingmode', 'paddingMode'],
      ['padding_modes', 'paddingMode'],
      ['multi_chanel', 'multiChannel'],
      ['returnmask', 'returnMask'],
      ['xyzzyplugh', null],
      ['__proto__x', null],
    ];
    for (const [name, nearest] of cases) {
      expect(() => partial(1, 2, 3, { [name]: 1 }), name).to.throw(
        RangeError,
        nearest ? `unknown option "${name}"; did you mean "${nearest}"?` : `unknown option "${name}"`,
      );
    }
    expect(() => build(1, 2, 3, { multiChannel: true })).to.throw(RangeError, /unknown option "multiChannel"/);
    expect(() => build(1, 2, 3, { padding_mode: 'zeros', paddingMode: 'zeros' })).to.throw(RangeError, /given twice/);
    const layer = partial(2, 2, 3, { padding_mode: 'reflect', multi_channel: true, return_mask: true, count_groups: false, padding: 1 });
    expect([layer.paddingMode, layer.multiChannel, layer.returnMask, layer.countGroups]).to.deep.equal(['reflect', true, true, false]);
  });

  it('survives hostile option objects', () => {
    const trap = (f: () => never) => new Proxy({}, { ownKeys: f, get: f, getPrototypeOf: f });
    const boom = () => {
      throw new Error('boom');
    };
    expect(() => build(1, 2, 3, trap(boom))).to.throw(Error);
    const getter = Object.defineProperty({}, 'stride', { enumerable: true, get: boom });
    expect(() => build(1, 2, 3, getter)).to.throw('boom');
    expect(String(build(1, 2, 3, Object.assign(Object.create(null), { stride: 2 })))).to.include('stride=(2,)');
    expect(String(build(1, 2, 3, { stride: undefined, padding: undefined }))).to.equal('Conv1d(1, 2, kernel_size=(3,), stride=(1,))');
    expect(String(build(1, 2, 3, null))).to.equal('Conv1d(1, 2, kernel_size=(3,), stride=(1,))');
    const list = [3];
    const layer = build(1, 2, list, { stride: list });
    list[0] = 99;
    expect([layer.kernelSize, layer.stride]).to.deep.equal([[3], [3]]);
  });

  it('draws nothing for a layer that it refuses', () => {
    manualSeed(5);
    const first = rand([1]).item();
    manualSeed(5);
    const bad = [
      { stride: 0 },
      { dtype: 'int32' },
      { bias: 3 },
      { eps: -1 },
      { returnMask: 1 },
      { multiChannel: 0 },
      { device: 'cuda:99' },
      { typo: 1 },
    ];
    for (const options of bad) expectTyped(() => partial(1, 2, 3, options));
    expect(rand([1]).item()).to.equal(first);
  });
});
