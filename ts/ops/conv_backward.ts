// The two gradients of a convolution, plain or with holes. With q = dy * ratio * updated they are those of a plain convolution.
import { backend } from '../device';
import { DTYPES, type DType } from '../dtype';
import { type Fields, PASS_BACKWARD_WEIGHT } from '../native';
import { empty, sizeOf, type Tensor, zeroed } from '../tensor';
import { type ConvShapes, type ConvSpec, geometryFields, type HoleSizes } from './conv_geometry';
import { castTo } from './kernels';
import { channelsLastBuffer, formatsOf } from './memory_format';
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
}

const operand = (t: Tensor | null, op: string) => [t?.raw(op) ?? null, t?.code ?? 0] as const;

/** Gives the weight packed for a geometry and tensors of a dtype. */
export type FindPacked = (g: Fields, dtype: DType) => Tensor;

/** dx, exactly 0 in holes. */
export function backwardInput(call: BackwardCall, packed: FindPacked): Tensor {
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

function inputGradient({ spec, shapes, dy, mask, ratio, updated, sizes }: BackwardCall, packed: FindPacked): Tensor {
  const { batched, n, c, input } = shapes;
  const g = geometryFields(spec, shapes, sizes);
  const dx = empty(batched ? [n, c, ...input] : [c, ...input], dy.dtype, dy.device, spec.op);
  const [w, wd] = operand(packed(g, dy.dtype), spec.op);
  const holes = [...operand(mask, spec.op), ...operand(ratio, spec.op), ...operand(updated, spec.op)] as const;
  backend(dy.device).convBackwardInput(g, dy.raw(spec.op), dy.code, w, wd, ...holes, dx.raw(spec.op), dx.code);
  return dx;
}

/** The call without input channels: db does not depend on them. */
function withoutInput(call: BackwardCall): BackwardCall & { x: Tensor } {
  const { shapes, sizes, dy, spec } = call;
  const x = empty([0], dy.dtype, dy.device, spec.op);
  return { ...call, x, mask: null, shapes: { ...shapes, c: 0 }, sizes: sizes && { ...sizes, maskN: 0, maskC: 0 } };
}

/** [dw, db]; a weight of null shape, or a bias that is not needed, gives null. x may be null if no dw is needed. */
export function backwardWeight(
  call: BackwardCall,
  input: Tensor | null,
  weight: readonly number[] | null,
  needsBias: boolean,
): [Tensor | null, Tensor | null] {
  const { spec, shapes, dy, mask, ratio, updated, sizes, x } = input === null ? withoutInput(call) : { ...call, x: input };
  const dw = weight && sizeOf(weight) > 0 ? empty(weight, dy.dtype, dy.device, spec.op) : null;
  const db = needsBias ? empty([shapes.o], dy.dtype, dy.device, spec.op) : null;
  const formats = formatsOf(geometryFields(spec, shapes, sizes), PASS_BACKWARD_WEIGHT, x);
  const { g } = formats;
  const from = formats.x ? channelsLastBuffer(x) : x.raw(spec.op);
  const inputs = [from, x.code, ...operand(mask, spec.op), dy.raw(spec.op), dy.code] as const;
  const holes = [...operand(ratio, spec.op), ...operand(updated, spec.op)] as const;
  backend(dy.device).convBackwardWeight(g, ...inputs, ...holes, ...operand(dw, spec.op), ...operand(db, spec.op));
  return [dw ?? (weight && zeroed(weight, dy.dtype, dy.device, spec.op)), db];
}
