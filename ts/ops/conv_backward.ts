// The two gradients of a convolution, plain or with holes. With q = dy * ratio * updated they are those of a plain convolution.
import { backend } from '../device';
import { DTYPES, type DType } from '../dtype';
import { type Fields, PASS_BACKWARD_INPUT, PASS_BACKWARD_WEIGHT } from '../native';
import { empty, sizeOf, type Tensor, zeroed } from '../tensor';
import { type ConvShapes, type ConvSpec, geometryFields, type HoleSizes } from './conv_geometry';
import { castTo } from './kernels';
import { channelsLastBuffer, emptyResult, formatsOf, liesAs, withFormats, xImage, yImage } from './memory_format';
import { foldPads, padAll } from './pad';

/** What both passes need. */
export interface BackwardCall {
  readonly spec: ConvSpec;
  readonly shapes: ConvShapes;
  readonly dy: Tensor;
  readonly mask: Tensor | null;
  readonly ratio: Tensor | null;
  readonly updated: Tensor | null;
  readonly sizes: HoleSizes | undefined;
  /** x is zero where the mask is. */
  readonly zeroInHoles: boolean;
  /** x lay with channels last, so dx shall, where the device can. */
  readonly xChannelsLast: boolean;
}

const operand = (t: Tensor | null, op: string) => [t?.raw(op) ?? null, t?.code ?? 0] as const;

/** An operand in one of its two forms. */
const inFormat = (t: Tensor, channelsLast: boolean, op: string) => [channelsLast ? channelsLastBuffer(t) : t.raw(op), t.code] as const;

/** Gives the weight packed for a geometry and tensors of a dtype. */
export type FindPacked = (g: Fields, dtype: DType) => Tensor;

/**
 * [dx, dw, db].
 * @param packed finds the weight for dx, null: dx is not needed
 * @param x for dw, which is not needed where `weight`, its shape, is null
 */
export function convGradients(
  call: BackwardCall,
  packed: FindPacked | null,
  x: Tensor | null,
  weight: readonly number[] | null,
  needsBias: boolean,
): [Tensor | null, Tensor | null, Tensor | null] {
  const zeros = call.spec.paddingMode === 'zeros';
  const passes = [...(packed && zeros ? [PASS_BACKWARD_INPUT] : []), ...(x && weight ? [PASS_BACKWARD_WEIGHT] : [])];
  const gated = gateOnce(call, passes, needsBias);
  const pass = gated?.pass ?? call;
  const [dw, db] = weight || (needsBias && !gated) ? backwardWeight(pass, x, weight, needsBias && !gated) : [null, null];
  const dx = packed && backwardInput(zeros ? pass : call, packed); // the last: other padding modes make dy dense
  if (pass.dy !== call.dy) pass.dy.dispose();
  return [dx, dw, gated?.db ?? db];
}

/** Where the passes take dy with channels last: q = dy * ratio * updated in that form, in place of the three, and db with it. Else null. */
function gateOnce(call: BackwardCall, passes: readonly number[], needsBias: boolean): { pass: BackwardCall; db: Tensor | null } | null {
  const { spec, shapes, dy, ratio, updated, sizes } = call;
  const { op } = spec;
  const g = geometryFields(spec, shapes, sizes);
  if (passes.length === 0 || !passes.every((pass) => formatsOf(g, pass, dy, false, true).y)) return null;
  const image = yImage(g);
  const given = liesAs(dy, image);
  const q = given && ratio === null && updated === null ? dy : emptyResult(dy.shape, image, dy);
  const db = needsBias ? empty([shapes.o], dy.dtype, dy.device, op) : null;
  if (q !== dy || db !== null) {
    const to = q === dy ? operand(null, op) : ([channelsLastBuffer(q), q.code] as const);
    const operands = [...inFormat(dy, given, op), ...operand(ratio, op), ...operand(updated, op), ...to, ...operand(db, op)] as const;
    backend(dy.device).convOutputGradient(withFormats(g, false, given), ...operands);
  }
  return { pass: { ...call, dy: q, ratio: null, updated: null }, db };
}

/** dx, 0 in holes. */
function backwardInput(call: BackwardCall, packed: FindPacked): Tensor {
  const { spec, shapes, dy, mask, sizes } = call;
  if (spec.paddingMode === 'zeros') return inputGradient(call, packed);
  // The gradient of the padded input, folded back onto the cells that the padding repeats; 16-bit floats are rounded after that.
  const { pads, paddingMode } = spec;
  const wide = castTo(dy, DTYPES[dy.dtype].accumulator, spec.op);
  const planes = mask?.view([sizes?.maskN ?? 1, sizes?.maskC ?? 1, ...shapes.input]);
  const padded = {
    ...call,
    dy: wide,
    spec: { ...spec, paddingMode: 'zeros' as const, pads: pads.map(() => [0, 0] as const) },
    shapes: { ...shapes, input: shapes.input.map((size, i) => size + (pads[i]?.[0] ?? 0) + (pads[i]?.[1] ?? 0)) },
    mask: planes ? padAll(planes, pads, paddingMode) : null,
  };
  const grown = inputGradient(padded, packed);
  const folded = foldPads(grown, shapes.input, pads, paddingMode);
  const dx = castTo(folded, dy.dtype, spec.op);
  for (const t of [wide, planes, padded.mask, grown, folded]) if (t !== dy && t !== dx) t?.dispose();
  return dx;
}

function inputGradient({ spec, shapes, dy, mask, ratio, updated, sizes, xChannelsLast }: BackwardCall, packed: FindPacked): Tensor {
  const { op } = spec;
  const { batched, n, c, input } = shapes;
  const plain = geometryFields(spec, shapes, sizes);
  const { g, x, y } = formatsOf(plain, PASS_BACKWARD_INPUT, dy, xChannelsLast, liesAs(dy, yImage(plain)));
  const shape = batched ? [n, c, ...input] : [c, ...input];
  const dx = x ? emptyResult(shape, xImage(g), dy) : empty(shape, dy.dtype, dy.device, op);
  const operands = [...inFormat(dy, y, op), ...operand(packed(g, dy.dtype), op)] as const;
  const holes = [...operand(mask, op), ...operand(ratio, op), ...operand(updated, op)] as const;
  backend(dy.device).convBackwardInput(g, ...operands, ...holes, ...inFormat(dx, x, op));
  return dx;
}

/** The call without input channels: db does not depend on them. */
function withoutInput(call: BackwardCall): BackwardCall & { x: Tensor } {
  const { shapes, sizes, dy, spec } = call;
  const x = empty([0], dy.dtype, dy.device, spec.op);
  return { ...call, x, mask: null, shapes: { ...shapes, c: 0 }, sizes: sizes && { ...sizes, maskN: 0, maskC: 0 } };
}

/** [dw, db]; a weight of null shape, or a bias that is not needed, gives null. x may be null if no dw is needed. */
function backwardWeight(
  call: BackwardCall,
  input: Tensor | null,
  weight: readonly number[] | null,
  needsBias: boolean,
): [Tensor | null, Tensor | null] {
  const { spec, shapes, dy, mask, ratio, updated, sizes, zeroInHoles, x } = input === null ? withoutInput(call) : { ...call, x: input };
  const { op } = spec;
  const dw = weight && sizeOf(weight) > 0 ? empty(weight, dy.dtype, dy.device, op) : null;
  const db = needsBias ? empty([shapes.o], dy.dtype, dy.device, op) : null;
  const plain = geometryFields(spec, shapes, sizes);
  const formats = formatsOf(plain, PASS_BACKWARD_WEIGHT, dy, liesAs(x, xImage(plain)), liesAs(dy, yImage(plain)));
  const inputs = [...inFormat(x, formats.x, op), ...operand(zeroInHoles ? null : mask, op), ...inFormat(dy, formats.y, op)] as const;
  const holes = [...operand(ratio, op), ...operand(updated, op)] as const;
  backend(dy.device).convBackwardWeight(formats.g, ...inputs, ...holes, ...operand(dw, op), ...operand(db, op));
  return [dw ?? (weight && zeroed(weight, dy.dtype, dy.device, op)), db];
}
