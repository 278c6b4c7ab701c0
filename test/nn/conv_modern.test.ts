// ConvModern1d and ConvModern2d against MDNC's numbers, its documentation's two tables, and its quirks.
import { expect } from 'chai';
import { ConvModern1d, ConvModern2d, type ConvModernOptions, ones, rand, summary } from '../../ts';
import { load } from '../goldens/load';
import { GOLDEN, runCase, SINGLE } from '../support/layer_case';
import { expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

describe('ConvModern against MDNC', () => {
  for (const golden of load('conv_modern').cases) {
    it(golden.name, () => {
      runCase(golden, 'float64', GOLDEN);
      runCase(golden, 'float32', SINGLE);
    });
  }
});

describe('ConvModern', () => {
  const layers = (options: ConvModernOptions) => [...new ConvModern1d(3, 4, options).mconv].map((layer) => layer.constructor.name);

  it('puts the layers together as the code does', () => {
    expect(layers({})).to.deep.equal(['InstanceNorm1d', 'PReLU', 'Conv1d']);
    expect(layers({ layerOrder: 'old', normalizer: 'batch', activator: 'relu' })).to.deep.equal(['Conv1d', 'BatchNorm1d', 'ReLU']);
    expect(layers({ scaler: 'up', stride: 2 })).to.deep.equal(['InstanceNorm1d', 'PReLU', 'Upsample1d', 'Conv1d']);
    expect(layers({ scaler: 'up', outputSize: 9, layerOrder: 'old' })).to.deep.equal(['Upsample1d', 'Conv1d', 'InstanceNorm1d', 'PReLU']);
    expect(layers({ activator: null, normalizer: null })).to.deep.equal(['Conv1d']);
    expect([...new ConvModern2d(3, 4, { scaler: 'up', stride: [1, 2] }).mconv].map(String)).to.deep.equal([
      'InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=False)',
      'PReLU(num_parameters=3)',
      "Upsample(scale_factor=(1.0, 2.0), mode='bilinear')",
      'Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)',
    ]);
  });

  it('ignores layerOrder without a normalizer, and outputSize and the resize where the code does', () => {
    for (const layerOrder of ['new', 'old'] as const) {
      expect(layers({ normalizer: 'null', layerOrder, activator: 'relu' })).to.deep.equal(['Conv1d', 'ReLU']);
      expect(layers({ normalizer: null, layerOrder, scaler: 'up', stride: 3 })).to.deep.equal(['Upsample1d', 'Conv1d', 'PReLU']);
    }
    expect(layers({ outputSize: 9 })).to.deep.equal(['InstanceNorm1d', 'PReLU', 'Conv1d']);
    expect(layers({ scaler: 'up' })).to.deep.equal(['InstanceNorm1d', 'PReLU', 'Conv1d']);
    expect(String(new ConvModern1d(3, 4, { normalizer: null }).mconv.at(0))).not.to.include('bias=False');
  });

  it('has the state names of the original, and the activations of its channels', () => {
    const names = (options: ConvModernOptions) => Object.keys(new ConvModern1d(3, 4, options).stateDict());
    expect(names({})).to.deep.equal(['mconv.0.weight', 'mconv.0.bias', 'mconv.1.weight', 'mconv.2.weight']);
    expect(names({ normalizer: 'inst', scaler: 'up', outputSize: 5 })).to.deep.equal(['mconv.1.weight', 'mconv.3.weight']);
    expect([...(new ConvModern1d(3, 4, { layerOrder: 'old' }).stateDict()['mconv.2.weight']?.shape ?? [])]).to.deep.equal([4]);
  });

  it('takes snake_case options, and gives the same off the event loop', async () => {
    const layer = new ConvModern1d(3, 4, {
      kernel_size: 5,
      layer_order: 'old',
      output_size: 12,
      scaler: 'up',
      padding: 2,
    } as ConvModernOptions);
    const x = rand([2, 3, 7]);
    expect([...layer.forward(x).shape]).to.deep.equal([2, 4, 12]);
    expectSame(await layer.forwardAsync(x), layer.forward(x));
  });

  it('rejects unknown names with the nearest known one', () => {
    const cases: [Record<string, unknown>, string][] = [
      [
        { normalizer: 'bach' },
        "ConvModern1d: expected normalizer to be one of 'batch', 'inst', 'pinst', 'null', but got \"bach\"; did you mean 'batch'?",
      ],
      [
        { activator: 'PReLU' },
        "ConvModern1d: expected activator to be one of 'prelu', 'relu', 'null', but got \"PReLU\"; did you mean 'prelu'?",
      ],
      [{ activator: 'gelu!?' }, "ConvModern1d: expected activator to be one of 'prelu', 'relu', 'null', but got \"gelu!?\""],
      [{ layerOrder: 'neww' }, "ConvModern1d: expected layerOrder to be one of 'new', 'old', but got \"neww\"; did you mean 'new'?"],
      [{ scaler: 3 }, "ConvModern1d: expected scaler to be one of 'down', 'up', but got 3"],
      [{ normaliser: 'batch' }, 'ConvModern1d: unknown option "normaliser"; did you mean "normalizer"?'],
    ];
    for (const [options, message] of cases) expect(expectTyped(() => new ConvModern1d(3, 4, options)).message).to.equal(message);
  });

  it('fails as the original where it fails', () => {
    expect(expectTyped(() => new ConvModern1d(3, 4).forward(ones([3, 5]))).message).to.include(
      'Mismatch of parameter numbers and input channel size',
    );
    expect(expectTyped(() => new ConvModern1d(4, 4).forward(ones([2, 4, 1]))).message).to.include(
      'Expected more than 1 spatial element when training, got input size [2, 4, 1]',
    );
    expect(expectTyped(() => new ConvModern1d(4, 4, { normalizer: 'batch' }).forward(ones([1, 4, 1]))).message).to.include(
      'Expected more than 1 value per channel when training, got input size [1, 4, 1]',
    );
  });
});

// The two tables of the documentation of ConvModern1d.
const DOWN = `
----------------------------------------------------------------
        Layer (type)               Output Shape         Param #
================================================================
    InstanceNorm1d-1              [-1, 16, 255]              32
             PReLU-2              [-1, 16, 255]              16
            Conv1d-3              [-1, 32, 128]           1,536
      ConvModern1d-4              [-1, 32, 128]               0
================================================================
Total params: 1,584
Trainable params: 1,584
Non-trainable params: 0
----------------------------------------------------------------
Input size (MB): 0.02
Forward/backward pass size (MB): 0.12
Params size (MB): 0.01
Estimated Total Size (MB): 0.15
----------------------------------------------------------------`;

const UP = `
----------------------------------------------------------------
        Layer (type)               Output Shape         Param #
================================================================
    InstanceNorm1d-1              [-1, 32, 128]              64
             PReLU-2              [-1, 32, 128]              32
          Upsample-3              [-1, 32, 255]               0
            Conv1d-4              [-1, 16, 255]           1,536
      ConvModern1d-5              [-1, 16, 255]               0
================================================================
Total params: 1,632
Trainable params: 1,632
Non-trainable params: 0
----------------------------------------------------------------
Input size (MB): 0.02
Forward/backward pass size (MB): 0.19
Params size (MB): 0.01
Estimated Total Size (MB): 0.21
----------------------------------------------------------------`;

describe('summary of ConvModern1d', () => {
  it("prints the documentation's first table", () => {
    const layer = new ConvModern1d(16, 32, { kernelSize: 3, stride: 2, padding: 1, scaler: 'down' });
    expect(`\n${summary(layer, [16, 255])}`).to.equal(DOWN);
  });

  it("prints the documentation's second table", () => {
    const layer = new ConvModern1d(32, 16, { kernelSize: 3, outputSize: 255, padding: 1, scaler: 'up' });
    expect(`\n${summary(layer, [32, 128])}`).to.equal(UP);
  });
});
