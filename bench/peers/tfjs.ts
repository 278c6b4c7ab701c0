// tfjs on its WebAssembly backend (SIMD). Node offers it one thread.
import { dirname, join } from 'node:path';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { type Case, type Operands, type Peer, type Runner, sampleOf, Unsupported } from './peer';

/** [O, C, kH, kW] -> [kH, kW, C, O] */
function filterOf({ shape }: Case, { weight }: Operands, perGroup: number): tf.Tensor4D {
  const height = shape.x.length === 4 ? shape.kernel : 1;
  return tf.transpose(tf.tensor(weight, [shape.out, perGroup, height, shape.kernel]), [2, 3, 1, 0]) as tf.Tensor4D;
}

function prepare(what: Case, operands: Operands): Runner {
  const { shape, op, threads, pass } = what;
  if (op !== 'conv' || pass !== 'forward') throw new Unsupported('only the forward pass of a plain convolution is compared');
  if (threads !== 1) throw new Unsupported('its WebAssembly backend has one thread in Node');
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = shape;
  const [n = 1, c = 1, ...size] = shape.x;
  const [h, w] = size.length === 2 ? (size as [number, number]) : [1, size[0] as number];
  const depthwise = groups === c && shape.out === c && groups > 1;
  if (groups > 1 && !depthwise) throw new Unsupported('it has no grouped convolution');
  const x = tf.transpose(tf.tensor(operands.x, [n, c, h, w]), [0, 2, 3, 1]) as tf.Tensor4D;
  const filter = filterOf(what, operands, c / groups);
  const vertical = size.length === 2 ? padding : 0;
  const options = {
    x,
    filter: depthwise ? (tf.transpose(filter, [0, 1, 3, 2]) as tf.Tensor4D) : filter,
    strides: (size.length === 2 ? [stride, stride] : [1, stride]) as [number, number],
    pad: [
      [0, 0],
      [vertical, vertical],
      [padding, padding],
      [0, 0],
    ] as tf.backend_util.ExplicitPadding,
    dataFormat: 'NHWC' as const,
    dilations: (size.length === 2 ? [dilation, dilation] : [1, dilation]) as [number, number],
    bias: tf.tensor1d(operands.bias),
  };
  const same = stride === 1 && 2 * padding === dilation * (shape.kernel - 1);
  if (depthwise && !same) throw new Unsupported("its depthwise convolution has the padding 'same' only");
  const forward = (): tf.Tensor => (depthwise ? tf.fused.depthwiseConv2d({ ...options, pad: 'same' }) : tf.fused.conv2d(options));
  return {
    time(iterations) {
      const start = process.hrtime.bigint();
      for (let i = 0; i < iterations; i++) forward().dispose();
      return Number(process.hrtime.bigint() - start) / 1e9;
    },
    sample: () => tf.tidy(() => sampleOf(shape, tf.transpose(forward(), [0, 3, 1, 2]).dataSync() as Float32Array)),
    close: () => tf.dispose([x, options.filter, options.bias]),
  };
}

export async function tfjs(): Promise<Peer> {
  setWasmPaths(`${join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist')}/`);
  if (!(await tf.setBackend('wasm'))) throw new Error('the WebAssembly backend did not start');
  return { name: 'tfjs wasm', version: tf.version_core, prepare, close() {} };
}
