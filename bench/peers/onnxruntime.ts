// onnxruntime-node: a model of one Conv node, run on its CPU provider.
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { outputShape } from '../shapes';
import { convModel } from './onnx_model';
import { type Peer, sampleOf, Unsupported } from './peer';

const { version } = require('onnxruntime-node/package.json') as { version: string };

export const onnxruntime = (): Peer => ({
  name: 'onnxruntime',
  version,
  async prepare({ shape, op, pass, threads }, { x, weight, bias }) {
    if (op !== 'conv' || pass !== 'forward') throw new Unsupported('only the forward pass of a plain convolution is compared');
    const options = {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
    } as const;
    const session = await InferenceSession.create(convModel(shape, outputShape(shape), weight, bias), options);
    const feeds = { x: new Tensor('float32', x, shape.x) };
    return {
      async time(iterations) {
        const start = process.hrtime.bigint();
        for (let i = 0; i < iterations; i++) await session.run(feeds);
        return Number(process.hrtime.bigint() - start) / 1e9;
      },
      async sample() {
        const { y } = await session.run(feeds);
        return sampleOf(shape, y?.data as Float32Array);
      },
      close: () => session.release(),
    };
  },
  close() {},
});
