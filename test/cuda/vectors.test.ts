// Vectors of 16 bytes on 'cuda': the CPU's bits for every length round one and for slices that begin off one (of sums, nearly), and the
// threads of a launch.
import { expect } from 'chai';
import type { Device, DType, Tensor } from '../../ts';
import * as api from '../../ts';
import { DTYPES } from '../../ts/dtype';
import { generate } from '../goldens/load';
import { expectSame, onDevice, testDevice, toTensor, toValues } from '../support/tensors';
import { counted, fake } from './on_fake';
import { describeOnFake, expectNear, needsCuda, onGpu, type Precision, TOLERANCE } from './on_gpu';

const ALL = Object.keys(DTYPES) as DType[];
const COMPLEX: readonly DType[] = ['complex64', 'complex128'];
const REALS: readonly DType[] = ['float64', 'float32', 'float16', 'bfloat16'];

const LOSSES = [
  [api.mseLoss, api.maskedMseLoss],
  [api.l1Loss, api.maskedL1Loss],
] as const;

const fine = (shape: readonly number[], dtype: DType, seed = 3): Tensor =>
  api.cast(toTensor(generate('fine', seed, shape, COMPLEX.includes(dtype)), COMPLEX.includes(dtype) ? dtype : 'float64'), dtype);

const mask = (shape: readonly number[]): Tensor => toTensor(generate('mask', 5, shape), 'bool');

/** The same tensors on both devices, bit for bit; on a GPU, whose compiler joins a product and a sum into one rounding, nearly. */
function expectSameBits(what: string, make: () => readonly Tensor[]): void {
  const on = (device: Device) => onDevice(device, make);
  const expected = on('cpu');
  for (const [i, t] of on('cuda').entries()) {
    const e = expected[i] as Tensor;
    if (onGpu) expectNear(toValues(t).data, toValues(e).data, TOLERANCE[DTYPES[e.dtype].real as Precision] ?? 0, `${what}, result ${i}`);
    else expectSame(t.to('cpu'), e, `${what}, result ${i}`);
  }
}

/** The same tensors on both devices, but for another order of sums. */
function expectNearCpu(what: string, make: () => readonly Tensor[]): void {
  const on = (device: Device) => onDevice(device, make);
  const expected = on('cpu');
  for (const [i, t] of on('cuda').entries()) {
    const e = expected[i] as Tensor;
    expectNear(toValues(t).data, toValues(e).data, TOLERANCE[e.dtype as Precision], `${what}, result ${i}`);
  }
}

/** y = f(inputs) and the gradients of the inputs. */
function withGradients(inputs: readonly Tensor[], f: () => Tensor): Tensor[] {
  for (const t of inputs) t.requiresGrad = true;
  const y = f();
  y.backward(fine(y.shape, y.dtype, 7));
  return [y.detach(), ...inputs.map((t) => t.grad as Tensor)];
}

/** What the ops of ops/elementwise.cc and ops/copy.cc make of x. */
function elementwise(x: Tensor, y: Tensor): Tensor[] {
  const { dtype } = x;
  const arithmetic = dtype === 'bool' ? [] : [api.add(x, y), api.mul(x, 3), api.sub(x, y), api.neg(x)];
  const casts = COMPLEX.includes(dtype) ? COMPLEX : ALL;
  const fill = api.full([...x.shape], 1, { dtype, device: testDevice() });
  return [...arithmetic, ...casts.map((to) => api.cast(x, to)), api.clone(x), fill];
}

describe("vectors on 'cuda'", () => {
  needsCuda();

  for (const dtype of ALL) {
    it(`${dtype}: 0 to 40 elements have the CPU's bits`, () => {
      for (let n = 0; n <= 40; n++) {
        expectSameBits(`${n} elements`, () => elementwise(fine([n], dtype), fine([n], dtype, 4)));
      }
    });

    it(`${dtype}: slices of rows, from every column and to every one, and rows beside a column have the CPU's bits`, () => {
      for (let n = 1; n <= 20; n++) {
        expectSameBits(`${n} columns`, () => {
          const x = fine([3, n], dtype);
          const parts = [0, 1, 2].filter((from) => from < n).flatMap((from) => [api.slice(x, 1, from), api.slice(x, 1, 0, n - from)]);
          const row = api.expand(fine([1, n], dtype), [3, n]);
          return dtype === 'bool' ? [...parts, row] : [...parts, row, api.add(x, fine([3, 1], dtype, 4)), api.mul(x, fine([n], dtype, 4))];
        });
      }
    });
  }

  for (const dtype of REALS) {
    it(`${dtype}: masks of 1 to 40 columns have the CPU's bits`, () => {
      for (let n = 1; n <= 40; n++) {
        expectSameBits(`${n} columns`, () => {
          const [x, m] = [fine([2, 3, n], dtype), mask([2, 1, n])];
          return [api.applyMask(x, m), api.unMask(x, m)];
        });
      }
    });

    it(`${dtype}: norms and PReLU of rows of 2 to 17 elements, and of more than a chunk, have the CPU's numbers`, () => {
      for (const n of [...Array.from({ length: 16 }, (_, i) => i + 2), 264, 521]) {
        for (const m of [null, mask([2, 1, n])]) {
          expectNearCpu(`${n} columns${m ? ', masked' : ''}`, () => {
            const [x, z, weight, bias] = [fine([2, 3, n], dtype), fine([2, 3, n], dtype), fine([3], dtype, 4), fine([3], dtype, 5)];
            const here = m?.to(testDevice()) ?? null;
            const norm = withGradients([x, weight, bias], () => api.batchNorm(x, { training: true, mask: here, weight, bias, eps: 0.1 }));
            return [...norm, ...withGradients([z], () => api.instanceNorm(z, { mask: here, eps: 0.1 }))];
          });
        }
        expectNearCpu(`PReLU, ${n} columns`, () => {
          const [x, weight] = [fine([2, 3, n], dtype), fine([3], dtype, 4)];
          return withGradients([x, weight], () => api.prelu(x, weight));
        });
      }
    });

    it(`${dtype}: losses of rows of 1 to 17 elements, and of more than a chunk, have the CPU's numbers`, () => {
      for (const n of [...Array.from({ length: 17 }, (_, i) => i + 1), 264]) {
        for (const m of [null, mask([2, 1, n]), mask([2, 3, 1]), mask([2, 3, n])]) {
          for (const [plain, masked] of LOSSES) {
            for (const reduction of ['none', 'mean'] as const) {
              expectNearCpu(`${plain.name}, ${reduction}, ${n} columns, mask [${m?.shape}]`, () => {
                const [x, target] = [fine([2, 3, n], dtype), fine([2, 3, n], dtype, 4)];
                const loss = () => (m ? masked(x, target, m.to(testDevice()), { reduction }) : plain(x, target, { reduction }));
                return withGradients([x, target], loss);
              });
            }
          }
        }
      }
    });

    it(`${dtype}: a step of SGD and one of Adam on 1 to 40 parameters have the CPU's bits`, () => {
      for (let n = 1; n <= 40; n++) {
        expectSameBits(`${n} parameters`, () => {
          const parameters = [fine([n], dtype), fine([n], dtype)];
          for (const p of parameters) p.requiresGrad = true;
          const [first, second] = parameters as [Tensor, Tensor];
          const optimizers = [new api.SGD([first], { lr: 0.1, momentum: 0.9 }), new api.Adam([second], { lr: 0.01 })];
          for (const p of parameters)
            api
              .mul(p, fine([n], dtype, 4))
              .sum()
              .backward();
          for (const optimizer of optimizers) optimizer.step();
          return parameters.map((p) => p.detach());
        });
      }
    });
  }
});

describeOnFake("the launches of element-wise ops on 'cuda'", () => {
  needsCuda();

  const launched = (fn: () => void) => {
    let threads = 0;
    const launches = counted('launches', () => {
      threads = counted('threads', fn);
    });
    return { launches, threads };
  };

  it('a sum of n elements is one launch, with a thread for each 16 bytes', () => {
    for (const dtype of REALS) {
      const lanes = 16 / DTYPES[dtype].bytes;
      for (const n of [1, 7, 8, 9, 1000, 1003, 4096]) {
        const [a, b] = onDevice('cuda', () => [fine([n], dtype), fine([n], dtype, 4)] as const);
        expect(
          launched(() => api.add(a, b)),
          `${n} of ${dtype}`,
        ).to.deep.equal({ launches: 1, threads: Math.ceil(n / lanes) });
      }
    }
  });

  it('so is the sum of [rows, n] and [rows, 1] where a row is whole vectors; else there is a thread for each element', () => {
    for (const [n, threads] of [
      [64, 24],
      [63, 189],
    ] as const) {
      const [a, b] = onDevice('cuda', () => [fine([3, n], 'float16'), fine([3, 1], 'float16', 4)] as const);
      expect(
        launched(() => api.add(a, b)),
        `${n}`,
      ).to.deep.equal({ launches: 1, threads });
    }
  });

  it('a convolution that keeps channels last: x in tiles into the image, the epilogue in vectors of channels, y in tiles out of it', () => {
    for (const [dtype, lanes] of [
      ['float16', 8],
      ['float32', 4],
    ] as const) {
      onDevice('cuda', () => {
        const [x, weight, bias] = [fine([2, 16, 64], dtype), fine([16, 16, 3], dtype, 4), fine([16], dtype, 5)];
        bias.readSync(); // all that came before has run
        const epilogues = fake.launchesOf('FromImage');
        const vectors = counted('vectors', () => api.conv1d(x, weight, bias, { padding: 1 }).readSync());
        expect(fake.launchesOf('FromImage') - epilogues, dtype).to.be.above(0);
        // A tile reads and writes its vectors; the epilogue also passes its result's memory to registers.
        expect(vectors, dtype).to.equal(((2 + 3 + 2) * 2 * 16 * 64) / lanes);
      });
    }
  });
});
