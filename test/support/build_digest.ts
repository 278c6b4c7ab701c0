// A program: prints what the addon named by PARTIALCONV_ADDON exports, and the exact bits of a few convolutions. For build.test.ts.
import { createHash } from 'node:crypto';
import { Conv1d, Conv2d, info, manualSeed, PartialConv1d, randn, setNumThreads, type Tensor, tensor } from '../../ts/index';
import { native } from '../../ts/native';

manualSeed(1);
setNumThreads(2);
const holes = tensor(Array.from({ length: 100 }, (_, i) => (i % 7 < 3 ? 0 : 1)));
const outputs: Record<string, Tensor> = {
  conv1d: new Conv1d(16, 24, 5, { padding: 2 }).forward(randn([3, 16, 100])),
  strided: new Conv1d(6, 10, 3, { stride: 2, dilation: 2, groups: 2, dtype: 'float64' }).forward(randn([2, 6, 77], { dtype: 'float64' })),
  conv2d: new Conv2d(3, 8, 3, { padding: 'same', paddingMode: 'reflect' }).forward(randn([2, 3, 17, 19])),
  partial: new PartialConv1d(16, 16, 5, { padding: 2 }).forward(randn([2, 16, 100]), holes) as Tensor,
};
const digests = Object.entries(outputs).map(([name, y]) => {
  const { buffer, byteOffset, byteLength } = y.data;
  return [
    name,
    createHash('sha256')
      .update(new Uint8Array(buffer, byteOffset, byteLength))
      .digest('hex'),
  ];
});
console.log(JSON.stringify({ addon: info().addon, exports: Object.keys(native).sort(), digests: Object.fromEntries(digests) }));
