// summary: lines, sizes and side effects; the documentation's tables are in conv_modern.test.ts.
import { expect } from 'chai';
import {
  BatchNorm1d,
  Conv1d,
  MaskedConv1d,
  MaskedSequential,
  Module,
  PartialConv1d,
  ReLU,
  Sequential,
  summary,
  type Tensor,
} from '../../ts';
import { expectTyped } from '../support/typed_errors';

class Model extends Module {
  first = new Conv1d(2, 4, 3);
  aVeryLongLayer = new AVeryLongLayersName();
  rest = new Sequential(new BatchNorm1d(4), new ReLU());

  forward(x: Tensor): Tensor {
    return this.rest.forward(this.aVeryLongLayer.forward(this.first.forward(x)));
  }
}

class AVeryLongLayersName extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}

const lines = (text: string) => text.split('\n').map((line) => line.trim().replace(/\s+/g, ' '));

describe('summary', () => {
  it('has a line for each layer in the order in which they finish, none for containers', () => {
    const table = lines(summary(new Model(), [2, 10]));
    expect(table.slice(3, 9)).to.deep.equal([
      'Conv1d-1 [-1, 4, 8] 28',
      'AVeryLon...ersName-2 [-1, 4, 8] 0',
      'BatchNorm1d-3 [-1, 4, 8] 8',
      'ReLU-4 [-1, 4, 8] 0',
      'Model-5 [-1, 4, 8] 0',
      '================================================================',
    ]);
    expect(table.slice(9, 12)).to.deep.equal(['Total params: 36', 'Trainable params: 36', 'Non-trainable params: 0']);
  });

  it('counts parameters without a gradient apart, and prints large numbers in groups', () => {
    const layer = new Conv1d(100, 200, 10);
    layer.weight.requiresGrad = false;
    const table = lines(summary(layer, [100, 50]));
    expect(table.slice(3, 8)).to.deep.equal([
      'Conv1d-1 [-1, 200, 41] 200,200',
      '================================================================',
      'Total params: 200,200',
      'Trainable params: 200',
      'Non-trainable params: 200,000',
    ]);
    expect(table.slice(9, 13)).to.deep.equal([
      'Input size (MB): 0.02',
      'Forward/backward pass size (MB): 0.06',
      'Params size (MB): 0.76',
      'Estimated Total Size (MB): 0.85',
    ]);
  });

  it('takes several inputs and shows several outputs', () => {
    const model = new MaskedSequential(new MaskedConv1d(2, 3, 3), new PartialConv1d(3, 4, 1, { multiChannel: true }));
    const table = lines(
      summary(model, [
        [2, 8],
        [2, 8],
      ]),
    );
    expect(table.slice(3, 7)).to.deep.equal(['MaskedConv1d-1 [-1, 3, 6] 21', '[-1, 3, 6]', 'PartialConv1d-2 [-1, 4, 6] 16', '[-1, 4, 6]']);
    expect(lines(summary(model, [2, 8])).slice(3, 5)).to.deep.equal(['MaskedConv1d-1 [-1, 3, 6] 21', 'PartialConv1d-2 [-1, 4, 6] 16']);
  });

  it('leaves state, mode and methods of the model as they were, also where it fails', () => {
    const model = new Model();
    model.first.training = false;
    const before = Object.values(model.stateDict()).map((t) => t.toArray());
    summary(model, [2, 10]);
    expect(() => summary(model, [3, 10])).to.throw('expected input[2, 3, 10] to have 2 channels');
    expect(Object.values(model.stateDict()).map((t) => t.toArray())).to.deep.equal(before);
    expect([model.training, model.first.training, model.rest.at(0)?.training]).to.deep.equal([true, false, true]);
    expect(Object.hasOwn(model, 'forward') || Object.hasOwn(model.first, 'forward')).to.equal(false);
  });

  it('leaves a forward() that is a property of the model', () => {
    class Own extends Module {
      forward = (x: Tensor) => x;
    }
    const model = new Own();
    const { forward } = model;
    expect(summary(model, [3])).to.include('Own-1');
    expect(model.forward).to.equal(forward);
  });

  it('counts what the model prints in MB as C does, ties to even', () => {
    // 32,768 parameters are exactly 0.125 MB.
    const layer = new Conv1d(128, 256, 1, { bias: false });
    expect(summary(layer, [128, 1])).to.include('Params size (MB): 0.12\n');
  });

  it('rejects what is no model and no shape', () => {
    expect(expectTyped(() => summary(3 as unknown as Module, [1])).message).to.equal(
      'summary: expected a module with forward(), but got 3',
    );
    expect(expectTyped(() => summary(new ReLU(), ['a'] as unknown as number[])).message).to.include('summary: expected a shape');
  });
});
