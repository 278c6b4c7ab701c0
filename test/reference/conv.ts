// Plain convolution, real and complex, forward and backward, by its definition.

import { type ConvOptions, geometry, products } from './geometry';
import { at, joined, minus, part, plus, type Values, values } from './values';

export interface ConvGradients {
  readonly dx: Values;
  readonly dw: Values;
  readonly db: Values;
}

/** y[n,o,i,j] = sum over c, p, q of w[o,c,p,q] * x[n,c,I(i,p),J(j,q)]; cross-correlation, no bias. */
function forward(x: Values, weight: Values, options: ConvOptions): Values {
  const g = geometry(x.shape, weight.shape, options);
  const y = values(g.outShape);
  products(g, (yi, wi, xi) => {
    y.data[yi] = at(y.data, yi) + at(weight.data, wi) * at(x.data, xi);
  });
  return y;
}

/** dx[n,c,t] = sum of w * dy over all products in which x[n,c,t] occurs; padding folds back onto its source. */
function backwardInput(weight: Values, dy: Values, x: readonly number[], options: ConvOptions): Values {
  const dx = values(x);
  products(geometry(x, weight.shape, options), (yi, wi, xi) => {
    dx.data[xi] = at(dx.data, xi) + at(weight.data, wi) * at(dy.data, yi);
  });
  return dx;
}

/** dw[o,c,p,q] = sum of x * dy over all products in which w[o,c,p,q] occurs. */
function backwardWeight(x: Values, dy: Values, weight: readonly number[], options: ConvOptions): Values {
  const dw = values(weight);
  products(geometry(x.shape, weight, options), (yi, wi, xi) => {
    dw.data[wi] = at(dw.data, wi) + at(x.data, xi) * at(dy.data, yi);
  });
  return dw;
}

/** A real bilinear f of complex arguments: (ar + i ai)(br + i bi). */
function bilinear(a: Values, b: Values, f: (a: Values, b: Values) => Values): Values {
  const [ar, ai, br, bi] = [part(a, 0), part(a, 1), part(b, 0), part(b, 1)];
  return joined(minus(f(ar, br), f(ai, bi)), plus(f(ar, bi), f(ai, br)));
}

function conjugate(v: Values): Values {
  return values(
    v.shape,
    v.data.map((value, i) => (i % 2 ? -value : value)),
    true,
  );
}

/** The channel of every element, given [N, C, ...] or [C, ...] with `dims` spatial axes. */
export function channelOf(shape: readonly number[], dims: number, index: number): number {
  const inner = shape.slice(shape.length - dims).reduce((size, n) => size * n, 1);
  return Math.floor(index / inner) % at(shape, shape.length - dims - 1);
}

/** y = conv(x, w) + b; complex when x is. */
export function conv(x: Values, weight: Values, bias: Values | null, options: ConvOptions = {}): Values {
  const y = x.complex ? bilinear(x, weight, (a, b) => forward(a, b, options)) : forward(x, weight, options);
  if (!bias) return y;
  const width = x.complex ? 2 : 1;
  for (let i = 0; i < y.data.length; i++) {
    const o = channelOf(y.shape, weight.shape.length - 2, Math.floor(i / width));
    y.data[i] = at(y.data, i) + at(bias.data, o * width + (i % width));
  }
  return y;
}

/** db[o] = sum of dy over batch and space. */
export function biasGradient(dy: Values, dims: number): Values {
  const width = dy.complex ? 2 : 1;
  const db = values([at(dy.shape, dy.shape.length - dims - 1)], undefined, dy.complex);
  for (let i = 0; i < dy.data.length; i++) {
    const at_ = channelOf(dy.shape, dims, Math.floor(i / width)) * width + (i % width);
    db.data[at_] = at(db.data, at_) + at(dy.data, i);
  }
  return db;
}

/** Gradients for dL/dy = dy. Complex: dx by conj(w), dw by conj(x), as PyTorch. */
export function convBackward(x: Values, weight: Values, dy: Values, options: ConvOptions = {}): ConvGradients {
  const db = biasGradient(dy, weight.shape.length - 2);
  const toX = (w: Values, g: Values) => backwardInput(w, g, x.shape, options);
  const toWeight = (a: Values, g: Values) => backwardWeight(a, g, weight.shape, options);
  if (!x.complex) return { dx: toX(weight, dy), dw: toWeight(x, dy), db };
  return { dx: bilinear(conjugate(weight), dy, toX), dw: bilinear(conjugate(x), dy, toWeight), db };
}
