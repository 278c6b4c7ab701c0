// Reads test/goldens/tensor.json: PyTorch's element-wise ops, conversions and reductions (goldens_tensor.py says what is in it).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DType, type Tensor, tensor } from '../../ts';
import type { Numbers } from '../goldens/load';
import { values } from '../reference';
import { encode, expectClose, isComplex, type Tolerance } from './tensors';

interface Result {
  readonly error?: string;
  readonly yDtype: DType;
  readonly y: Numbers;
}

export interface TensorGolden {
  readonly unary: readonly (Result & {
    readonly op: string;
    readonly dtype: DType;
    readonly x: Numbers;
    readonly dy?: Numbers;
    readonly dx?: Numbers;
  })[];
  readonly binary: readonly (Result & {
    readonly op: string;
    readonly dtype: DType;
    readonly a: Numbers;
    readonly b: Numbers;
    readonly dy?: Numbers;
    readonly da?: Numbers;
    readonly db?: Numbers;
  })[];
  readonly mixed: readonly (Result & {
    readonly op: string;
    readonly dtypes: readonly [DType, DType];
    readonly a: Numbers;
    readonly b: Numbers;
    readonly dy: Numbers;
    readonly da: Numbers;
    readonly db: Numbers;
  })[];
  readonly promotion: readonly {
    readonly op: string;
    readonly shapes: readonly [number[], number[]];
    readonly columns: readonly DType[];
    readonly rows: Readonly<Record<DType, readonly (DType | 'error')[]>>;
  }[];
  readonly scalars: readonly {
    readonly scalar: number | boolean | { re: number; im: number };
    readonly columns: readonly string[];
    readonly rows: Readonly<Record<DType, readonly ('error' | readonly [DType, ...number[]])[]>>;
  }[];
  readonly casts: readonly { readonly dtype: DType; readonly x: Numbers; readonly to: Readonly<Partial<Record<DType, Numbers>>> }[];
  readonly reductions: readonly (Result & {
    readonly op: 'sum' | 'mean';
    readonly dtype: DType;
    readonly dims: number | number[] | null;
    readonly keepDims: boolean;
    readonly shape: number[];
  })[];
}

let loaded: TensorGolden | undefined;

export function tensorGolden(): TensorGolden {
  loaded ??= JSON.parse(readFileSync(join(__dirname, '..', 'goldens', 'tensor.json'), 'utf8')) as TensorGolden;
  return loaded;
}

const lanes = (dtype: DType) => (isComplex(dtype) ? 2 : 1);

/** Numbers of the file as a tensor. */
export function toTensor(list: Numbers, dtype: DType, shape: readonly number[] = [list.length / lanes(dtype)]): Tensor {
  return tensor(encode(list.map(Number), dtype), { shape, dtype });
}

/** Compares a tensor with numbers of the file. */
export function expectNumbers(actual: Tensor, list: Numbers, tolerance: Tolerance, what: string): void {
  expectClose(actual, values(actual.shape, Float64Array.from(list, Number), isComplex(actual.dtype)), tolerance, what);
}
