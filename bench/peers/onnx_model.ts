// The bytes of an ONNX model with one Conv node: just enough of the protobuf format (onnx.proto3) to write it in memory.
import { kernelOf, type Shape, weightShape } from '../shapes';

type Field = Uint8Array | string | number | bigint;

function varint(value: number | bigint): number[] {
  const out: number[] = [];
  let rest = BigInt(value);
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  out.push(Number(rest));
  return out;
}

/** A message from [field number, value] pairs: numbers as varints, strings, bytes and nested messages with their length. */
function message(...fields: readonly (readonly [number, Field])[]): Uint8Array {
  const chunks = fields.map(([number, value]) => {
    if (typeof value === 'number' || typeof value === 'bigint') return Buffer.from([...varint(number << 3), ...varint(value)]);
    const body = typeof value === 'string' ? Buffer.from(value) : value;
    return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(body.length)]), body]);
  });
  return Buffer.concat(chunks);
}

const FLOAT = 1;
const [ATTRIBUTE_INT, ATTRIBUTE_INTS] = [2, 7];

const intAttribute = (name: string, value: number) => message([1, name], [3, value], [20, ATTRIBUTE_INT]);
const intsAttribute = (name: string, values: readonly number[]) =>
  message([1, name], ...values.map((value) => [8, value] as const), [20, ATTRIBUTE_INTS]);

const tensor = (name: string, shape: readonly number[], data: Float32Array) =>
  message(...shape.map((d) => [1, d] as const), [2, FLOAT], [8, name], [9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);

function valueInfo(name: string, shape: readonly number[]): Uint8Array {
  const dims = shape.map((d) => [1, message([1, d])] as const);
  return message([1, name], [2, message([1, message([1, FLOAT], [2, message(...dims)])])]);
}

/** Input x, output y, weight and bias as constants. */
export function convModel(shape: Shape, y: readonly number[], weight: Float32Array, bias: Float32Array): Uint8Array {
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = shape;
  const kernel = kernelOf(shape);
  const attributes = [
    intsAttribute('kernel_shape', kernel),
    intsAttribute(
      'strides',
      kernel.map(() => stride),
    ),
    intsAttribute(
      'pads',
      [...kernel, ...kernel].map(() => padding),
    ),
    intsAttribute(
      'dilations',
      kernel.map(() => dilation),
    ),
    intAttribute('group', groups),
  ];
  const node = message([1, 'x'], [1, 'w'], [1, 'b'], [2, 'y'], [4, 'Conv'], ...attributes.map((each) => [5, each] as const));
  const constants = [tensor('w', weightShape(shape), weight), tensor('b', [shape.out], bias)];
  const graph = message(
    [1, node],
    [2, 'conv'],
    ...constants.map((each) => [5, each] as const),
    [11, valueInfo('x', shape.x)],
    [12, valueInfo('y', y)],
  );
  const opset17 = message([1, ''], [2, 17]);
  return message([1, 8], [7, graph], [8, opset17]);
}
