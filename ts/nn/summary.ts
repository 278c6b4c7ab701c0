// summary: the table of a model's layers, output shapes and parameters that torchsummary prints.
import { noGrad } from '../autograd';
import { tidy } from '../context';
import { ones } from '../create';
import { DTypeError, ShapeError } from '../errors';
import { checkShape, describe, sizeOf, Tensor } from '../tensor';
import { Module } from './module';
import { MaskedSequential, Sequential } from './sequential';

interface LayerLine {
  readonly name: string;
  readonly shapes: readonly (readonly number[])[];
  readonly parameters: number;
  readonly trainable: number;
}

type Forward = (...args: unknown[]) => unknown;
type WithForward = Module & { forward: Forward };

const BATCH = 2; // of the trial run; the table shows -1

/** Output shapes with -1 in place of the batch size. */
function shapesOf(result: unknown): number[][] {
  const list: unknown[] = Array.isArray(result) ? result : [result];
  return list.flatMap((item) => (item instanceof Tensor ? [[-1, ...item.shape.slice(1)]] : []));
}

function lineOf(module: Module, index: number, result: unknown): LayerLine {
  const own = module.namedParameters().filter(([name]) => !name.includes('.'));
  const count = (list: typeof own) => list.reduce((total, [, t]) => total + t.size, 0);
  return {
    name: `${module.typeName}-${index + 1}`,
    shapes: shapesOf(result),
    parameters: count(own),
    trainable: count(own.filter(([, t]) => t.requiresGrad)),
  };
}

/** Runs the model once with every layer's forward() watched; containers get no line. */
function trial(model: WithForward, inputs: readonly Tensor[]): LayerLine[] {
  const lines: LayerLine[] = [];
  const watched = [...new Set(model.modules())].filter(
    (m) => !(m instanceof Sequential) && !(m instanceof MaskedSequential),
  ) as WithForward[];
  const before = watched.map((module) => ({ mode: module.training, own: Object.getOwnPropertyDescriptor(module, 'forward') }));
  try {
    for (const module of watched) {
      if (typeof module.forward !== 'function') continue;
      const { forward } = module;
      const watch: Forward = (...args) => {
        const result = forward.apply(module, args);
        lines.push(lineOf(module, lines.length, result));
        return result;
      };
      Object.defineProperty(module, 'forward', { value: watch, configurable: true, enumerable: false });
      module.training = false; // running statistics stay as they are
    }
    tidy(() => void noGrad(() => model.forward(...inputs)));
  } finally {
    watched.forEach((module, i) => {
      const { mode = true, own } = before[i] ?? {};
      Reflect.deleteProperty(module, 'forward');
      if (own !== undefined) Object.defineProperty(module, 'forward', own);
      module.training = mode;
    });
  }
  return lines;
}

const grouped = (n: number) => n.toLocaleString('en-US');

/** Two decimals, ties to even, as C prints them. */
function megabytes(numbers: number): string {
  const hundredths = ((numbers * 4) / 2 ** 20) * 100;
  const low = Math.floor(hundredths);
  const up = hundredths - low > 0.5 || (hundredths - low === 0.5 && low % 2 === 1);
  return ((low + Number(up)) / 100).toFixed(2);
}

function formatLine({ name, shapes, parameters }: LayerLine): string {
  const title = name.length > 20 ? `${name.slice(0, 8)}...${name.slice(-9)}` : name;
  return shapes
    .map(
      (shape, i) =>
        `${(i === 0 ? title : '').padStart(20)}  ${`[${shape.join(', ')}]`.padStart(25)} ${(i === 0 ? grouped(parameters) : '').padStart(15)}`,
    )
    .join('\n');
}

function checkInputShapes(inputShape: unknown): number[][] {
  const several = Array.isArray(inputShape) && inputShape.length > 0 && inputShape.every((s) => Array.isArray(s));
  return (several ? (inputShape as unknown[]) : [inputShape]).map((shape) => checkShape(shape, 'summary'));
}

/**
 * The table that torchsummary prints: a line for each layer with the shape of its output (-1 for the batch size) and the number of its
 * own parameters, in the order in which they finish; totals; and sizes in MB, at 4 bytes a number, outputs counted twice for their
 * gradients. Source: sksq96/pytorch-summary as revised in MDNC. The model runs once, without gradients, in eval mode (the original leaves
 * the mode, and so changes running statistics), on ones; its state and mode do not change.
 * @param model a layer or model with forward()
 * @param inputShape shape of the input without the batch size, or several (x and mask)
 * @throws DTypeError if model is not a module with forward(), ShapeError if inputShape is no shape; and what forward() throws
 */
export function summary(model: Module, inputShape: readonly number[] | readonly (readonly number[])[]): string {
  if (!(model instanceof Module) || !('forward' in model) || typeof model.forward !== 'function') {
    throw new DTypeError(`summary: expected a module with forward(), but got ${describe(model)}`);
  }
  const inputs = checkInputShapes(inputShape);
  if (inputs.length === 0) throw new ShapeError('summary: expected the shape of at least one input');
  const [parameter] = model.parameters();
  const options = { dtype: parameter?.dtype ?? 'float32', device: parameter?.device ?? 'cpu' } as const;
  const lines = tidy(() =>
    trial(
      model as WithForward,
      inputs.map((shape) => ones([BATCH, ...shape], options)),
    ),
  );

  const add = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const parameters = add(lines.map((line) => line.parameters));
  const trainable = add(lines.map((line) => line.trainable));
  const sizes = [add(inputs.map(sizeOf)), 2 * add(lines.flatMap((line) => line.shapes.map((shape) => sizeOf(shape.slice(1))))), parameters];
  const [thin, thick] = ['-'.repeat(64), '='.repeat(64)];
  return [
    thin,
    `${'Layer (type)'.padStart(20)}  ${'Output Shape'.padStart(25)} ${'Param #'.padStart(15)}`,
    thick,
    ...lines.map(formatLine),
    thick,
    `Total params: ${grouped(parameters)}`,
    `Trainable params: ${grouped(trainable)}`,
    `Non-trainable params: ${grouped(parameters - trainable)}`,
    thin,
    `Input size (MB): ${megabytes(sizes[0] as number)}`,
    `Forward/backward pass size (MB): ${megabytes(sizes[1] as number)}`,
    `Params size (MB): ${megabytes(sizes[2] as number)}`,
    `Estimated Total Size (MB): ${megabytes(add(sizes))}`,
    thin,
  ].join('\n');
}
