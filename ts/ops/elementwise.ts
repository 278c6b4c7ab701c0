// Element-wise arithmetic: broadcasting as NumPy, dtypes promoted as PyTorch, gradients with PyTorch's convention for complex numbers.
import { needsNode, record } from '../autograd';
import { untracked } from '../context';
import { backend, onHost } from '../device';
import { DTYPES, type DType, isComplex, promote, promoteTensors, type TypedArray } from '../dtype';
import { DeviceError, DTypeError } from '../errors';
import { BINARY, type Memory, UNARY } from '../native';
import { isScalar, partsOf, type Scalar } from '../scalar';
import { checkTensor, describe, empty, Tensor } from '../tensor';
import { autocastWide } from './autocast';
import { broadcastFields, broadcastShapes, castTo, sumGradient } from './kernels';
import { binaryInFormat, unaryInFormat } from './memory_format';

export type UnaryName = Exclude<keyof typeof UNARY, 'isNotNaN' | 'conj'>;
export type BinaryName = 'add' | 'sub' | 'mul' | 'div' | 'pow';

// --- unary --------------------------------------------------------------------------------------------------------------

/** y = op(x); y may be x. */
function unaryKernel(op: keyof typeof UNARY, x: Tensor, y: Tensor): Tensor {
  backend(x.device).unary(UNARY[op], x.raw(op), x.code, y.raw(op), y.code);
  return y;
}

const KEEP_ZERO: readonly UnaryName[] = ['neg', 'abs', 'sqrt', 'tanh', 'relu'];

/** op(x) in x's form, where that is channels last and stays so; else null. */
const unaryKept = (op: UnaryName, x: Tensor) => (KEEP_ZERO.includes(op) ? unaryInFormat(UNARY[op], x) : null);

// How the gradient is made: from x or y of the forward pass and gradOutput, by one kernel; keepsZero: it is 0 where both are.
const UNARY_GRADIENTS: Record<Exclude<UnaryName, 'neg'>, { saves: 'x' | 'y'; kernel: keyof typeof BINARY; keepsZero?: true }> = {
  abs: { saves: 'x', kernel: 'absGrad', keepsZero: true },
  sqrt: { saves: 'y', kernel: 'sqrtGrad' },
  exp: { saves: 'y', kernel: 'mulConj' },
  log: { saves: 'x', kernel: 'divConj' },
  tanh: { saves: 'y', kernel: 'tanhGrad', keepsZero: true },
  sigmoid: { saves: 'y', kernel: 'sigmoidGrad' },
  relu: { saves: 'y', kernel: 'reluGrad', keepsZero: true },
};

const ON_INTEGERS: readonly UnaryName[] = ['neg', 'abs', 'relu'];

/** The dtype that op computes x in. */
function unaryDtype(op: UnaryName, x: Tensor): DType {
  const { kind } = DTYPES[x.dtype];
  if (op === 'relu' && kind === 'complex') throw new DTypeError(`relu: complex numbers have no order, but got ${describe(x)}`);
  if (kind === 'float' || kind === 'complex') return x.dtype;
  if (!ON_INTEGERS.includes(op)) return 'float32';
  if (kind === 'bool') throw new DTypeError(`${op}: bool is not supported, but got ${describe(x)}`);
  return x.dtype;
}

function unary(op: UnaryName, given: Tensor): Tensor {
  const value = op === 'exp' || op === 'log' ? autocastWide(given) : given;
  const x = castTo(checkTensor(value, op), unaryDtype(op, value), op);
  const y = unaryKept(op, x) ?? unaryKernel(op, x, empty(x.shape, op === 'abs' ? DTYPES[x.dtype].real : x.dtype, x.device, op));
  if (op === 'neg') return record(op, y, [x], [], (g) => [unaryKept(op, g) ?? unaryKernel(op, g, empty(g.shape, g.dtype, g.device, op))]);
  const { saves, kernel, keepsZero } = UNARY_GRADIENTS[op];
  return record(op, y, [x], [saves === 'x' ? x : y], (g, _, [kept]) => {
    const saved = kept as Tensor;
    const dx = keepsZero ? binaryInFormat(BINARY[kernel], saved, g) : null;
    if (dx !== null) return [dx];
    const wide = castTo(g, saved.dtype, op); // |x| of a complex x has a real gradient
    const gradient = binaryKernel(op, kernel, saved, wide);
    if (wide !== g) wide.dispose();
    return [gradient];
  });
}

/** -x. Not for bool. */
export const neg = (x: Tensor): Tensor => unary('neg', x);

/** |x|; of a complex x the modulus, in the real dtype. Not for bool. The gradient at 0 is 0. */
export const abs = (x: Tensor): Tensor => unary('abs', x);

/** The square root; integers and bools give float32. */
export const sqrt = (x: Tensor): Tensor => unary('sqrt', x);

/** e to the x; integers and bools give float32. */
export const exp = (x: Tensor): Tensor => unary('exp', x);

/** The natural logarithm; integers and bools give float32. */
export const log = (x: Tensor): Tensor => unary('log', x);

/** The hyperbolic tangent; integers and bools give float32. */
export const tanh = (x: Tensor): Tensor => unary('tanh', x);

/** 1 / (1 + exp(-x)); integers and bools give float32. */
export const sigmoid = (x: Tensor): Tensor => unary('sigmoid', x);

/** max(x, 0), NaN where x is NaN. Not for bool and complex. */
export const relu = (x: Tensor): Tensor => unary('relu', x);

/**
 * A bool tensor of x's shape: false where x is NaN (for complex numbers: in either part), true elsewhere; the mask of a signal whose
 * holes are NaN. Of any dtype.
 */
export function maskFromNaN(x: Tensor): Tensor {
  checkTensor(x, 'maskFromNaN');
  return unaryKernel('isNotNaN', x, empty(x.shape, 'bool', x.device, 'maskFromNaN'));
}

// --- binary -------------------------------------------------------------------------------------------------------------

/** The right side of a binary kernel. */
type Right = Tensor | Scalar;

// Native code reads an operand during the call, so that one array of each class serves for all scalars.
const SCALAR_ARRAYS = new Map(Object.values(DTYPES).map(({ array: ArrayType }) => [ArrayType, new ArrayType(2)]));

/** A scalar beside tensors of a dtype, which it is not rounded to where that has 16 bits. Valid until the next call. */
function scalarArray(value: Scalar, dtype: DType): { array: TypedArray; wide: DType } {
  const { bytes, kind } = DTYPES[dtype];
  const wide = kind === 'float' && bytes === 2 ? 'float32' : dtype;
  const { array: ArrayType } = DTYPES[wide];
  const { re, im } = partsOf(value);
  const array = SCALAR_ARRAYS.get(ArrayType) as TypedArray;
  array[0] = kind === 'bool' ? Number(re !== 0) : re; // out of range, integers wrap
  array[1] = im;
  return { array, wide };
}

const NO_DIMENSIONS: readonly number[] = [];

/** A scalar does not widen within its kind: float32 + 1.5 stays float32, an integer + 1.5 becomes float32, + 1 stays. */
function scalarDtype(dtype: DType, value: Scalar): DType {
  const { kind } = DTYPES[dtype];
  if (typeof value === 'object') return kind === 'complex' ? dtype : promote(dtype, 'complex64');
  if (kind === 'float' || kind === 'complex' || typeof value === 'boolean') return dtype;
  if (!Number.isInteger(value)) return 'float32';
  return kind === 'bool' ? 'int32' : dtype;
}

const shapeOf = (b: Right): readonly number[] => (b instanceof Tensor ? b.shape : NO_DIMENSIONS);

/** memory = op(a, b), broadcast to `shape`; tensors are of one dtype. */
function binaryRaw(op: string, kernel: keyof typeof BINARY, a: Tensor, b: Right, shape: readonly number[], memory: Memory): void {
  const run = (right: Memory, code: number) =>
    backend(a.device).binary(BINARY[kernel], broadcastFields(shape, a.shape, shapeOf(b)), a.raw(op), a.code, right, code, memory, a.code);
  if (b instanceof Tensor) {
    run(b.raw(op), b.code);
    return;
  }
  const { array, wide } = scalarArray(b, a.dtype);
  if (onHost(a.device)) {
    run(array, DTYPES[wide].code);
    return;
  }
  const scalar = untracked(() => empty([], wide, a.device, op));
  backend(a.device).fill(array[0] as number, isComplex(wide) ? (array[1] as number) : 0, scalar.raw(op), scalar.code);
  run(scalar.raw(op), scalar.code);
  scalar.dispose();
}

/** op(a, b), broadcast, in a new tensor or `into`. */
function binaryKernel(op: string, kernel: keyof typeof BINARY, a: Tensor, b: Right, into?: Tensor): Tensor {
  const y = into ?? empty(broadcastShapes(op, a.shape, shapeOf(b)), a.dtype, a.device, op);
  binaryRaw(op, kernel, a, b, y.shape, y.raw(op));
  return y;
}

interface BinaryRule {
  /** What of a, b and the result the two gradients need. */
  readonly saves: Readonly<Record<'gradA' | 'gradB', readonly ('a' | 'b' | 'y')[]>>;
  gradA(g: Tensor, a: Tensor, b: Right, y: Tensor): Tensor;
  gradB(g: Tensor, a: Tensor, b: Right, y: Tensor): Tensor;
}

const negated = (x: Tensor) => unaryKernel('neg', x, empty(x.shape, x.dtype, x.device, 'neg'));

/** g * conj(factor). */
const times = (g: Tensor, factor: Tensor, into?: Tensor) => binaryKernel('backward', 'mulConj', factor, g, into);

/** g * conj(b) or g / conj(b); the kernels take a scalar on the right only. */
function conjugated(g: Tensor, kernel: 'mulConj' | 'divConj', b: Right): Tensor {
  if (b instanceof Tensor) return binaryKernel('backward', kernel, b, g);
  const { re, im } = partsOf(b);
  return binaryKernel('backward', kernel === 'mulConj' ? 'mul' : 'div', g, { re, im: -im });
}

const intoFactor = (g: Tensor, factor: Tensor) => times(g, factor, factor);

// Gradients in the result's dtype and shape; a and b come in its dtype. Those of an operand that was broadcast are summed afterwards.
const BINARY_RULES: Record<BinaryName, BinaryRule> = {
  add: { saves: { gradA: [], gradB: [] }, gradA: (g) => g, gradB: (g) => g },
  sub: { saves: { gradA: [], gradB: [] }, gradA: (g) => g, gradB: negated },
  mul: {
    saves: { gradA: ['b'], gradB: ['a'] },
    gradA: (g, _, b) => conjugated(g, 'mulConj', b),
    gradB: (g, a) => times(g, a),
  },
  div: {
    saves: { gradA: ['b'], gradB: ['b', 'y'] },
    gradA: (g, _, b) => conjugated(g, 'divConj', b),
    gradB: (g, _, b, y) => {
      const quotient = conjugated(g, 'divConj', b);
      return unaryKernel('neg', times(quotient, y, quotient), quotient);
    },
  },
  pow: {
    saves: { gradA: ['a', 'b'], gradB: ['a', 'b'] },
    gradA: (g, a, b) => intoFactor(g, binaryKernel('pow', 'powBaseGrad', a, b)),
    gradB: (g, a, b) => intoFactor(g, binaryKernel('pow', 'powExponentGrad', a, b)),
  },
};

/** @internal The dtype that op computes in. */
export function resultDtype(op: BinaryName, a: Tensor, b: Tensor | Scalar): DType {
  const dtype = b instanceof Tensor ? promoteTensors(a, b) : scalarDtype(a.dtype, b);
  const { kind } = DTYPES[dtype];
  if (op === 'div' && (kind === 'int' || kind === 'bool')) return 'float32';
  if (kind === 'bool' && (op === 'sub' || op === 'pow')) {
    throw new DTypeError(`${op}: bool is not supported, but got ${describe(a)} and ${describe(b)}`);
  }
  if (op === 'pow' && kind === 'int' && typeof b === 'number' && b < 0) {
    throw new DTypeError(`pow: integers to negative integer powers are not allowed, but got ${describe(a)} and the exponent ${b}`);
  }
  return dtype;
}

/** @internal The right operand as a tensor on a's device or a scalar. */
export function checkRight(op: string, a: Tensor, b: unknown): Tensor | Scalar {
  if (isScalar(b)) return b;
  if (!(b instanceof Tensor)) throw new DTypeError(`${op}: expected a tensor or a number on the right, but got ${describe(b)}`);
  const right = checkTensor(b, op);
  if (right.device !== a.device)
    throw new DeviceError(`${op}: expected both operands on one device, but they are on ${a.device} and ${right.device}`);
  return right;
}

const converted = (op: string, value: Right, dtype: DType): Right => (value instanceof Tensor ? castTo(value, dtype, op) : value);

/** @internal op(a, b), not recorded, with the operands as the kernel took them. */
export function binaryForward(op: BinaryName, left: Tensor, right: unknown): { y: Tensor; a: Tensor; b: Right; other: Tensor | null } {
  checkTensor(left, op);
  const value = checkRight(op, left, right);
  const dtype = resultDtype(op, left, value);
  const a = castTo(left, dtype, op);
  const b = converted(op, value, dtype);
  const square = op === 'pow' && value === 2; // the same number, faster
  return { y: square ? binaryKernel(op, 'mul', a, a) : binaryKernel(op, op, a, b), a, b, other: value instanceof Tensor ? value : null };
}

/** @internal Writes op(x, b) into x's memory; b broadcasts to x's shape, and the result has x's dtype. */
export const binaryInto = (op: BinaryName, x: Tensor, b: Tensor | Scalar, memory: Memory): void =>
  binaryRaw(op, op, x, converted(op, b, x.dtype), x.shape, memory);

function binary(op: BinaryName, left: Tensor, right: Tensor | Scalar): Tensor {
  const { y, a, b, other } = binaryForward(op, left, right);
  const inputs = [left, other];
  if (!needsNode(inputs)) return y;
  const rule = BINARY_RULES[op];
  const needed = new Set([...(left.requiresGrad ? rule.saves.gradA : []), ...(other?.requiresGrad ? rule.saves.gradB : [])]);
  const saved = [needed.has('a') ? a : null, needed.has('b') && b instanceof Tensor ? b : null, needed.has('y') ? y : null];
  // The closure keeps no tensor alive: what it needs of them is saved.
  const scalar = b instanceof Tensor ? null : partsOf(b);
  const [to, toOther] = inputs.map((t) => t && { shape: t.shape, dtype: t.dtype });
  return record(op, y, inputs, saved, (g, needs, [savedA, savedB, savedY]) => {
    const operands = [savedA as Tensor, scalar ?? (savedB as Tensor), savedY as Tensor] as const;
    return [
      needs[0] && to ? sumGradient(g, rule.gradA(g, ...operands), to) : null,
      needs[1] && toOther ? sumGradient(g, rule.gradB(g, ...operands), toOther) : null,
    ];
  });
}

/**
 * a + b with broadcasting. The result has the promoted dtype: the higher kind of bool < integer < float < complex, within a kind the
 * wider one. A scalar widens the kind only: float32 + 1.5 is float32, int32 + 1 is int32, int32 + 1.5 is float32; and so does a tensor
 * without dimensions beside one that has some: float16 [2] + float32 [] is float16. bool + bool is "or".
 * @throws ShapeError if the shapes cannot be broadcast, DTypeError if b is neither tensor nor scalar, DeviceError if they are apart
 */
export const add = (a: Tensor, b: Tensor | Scalar): Tensor => binary('add', a, b);

/** a - b; as add. Not for two bools. */
export const sub = (a: Tensor, b: Tensor | Scalar): Tensor => binary('sub', a, b);

/** a * b, element by element; as add. bool * bool is "and". */
export const mul = (a: Tensor, b: Tensor | Scalar): Tensor => binary('mul', a, b);

/** a / b; as add, but integers and bools give float32. */
export const div = (a: Tensor, b: Tensor | Scalar): Tensor => binary('div', a, b);

/**
 * a to the power b; as add. Integers stay integers and wrap; a negative integer exponent gives 0 (1 and -1 aside), as a scalar it is a
 * DTypeError. Not for two bools.
 */
export const pow = (a: Tensor, b: Tensor | Scalar): Tensor => binary('pow', autocastWide(a), autocastWide(b));
