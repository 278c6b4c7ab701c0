// complex(): values, broadcasting, gradients, messages.
import { expect } from 'chai';
import { complex, DTypeError, type Tensor, tensor, zeros } from '../../ts';
import { generate } from '../goldens/load';
import { checkGradients } from '../support/finite_differences';
import { expectTyped } from '../support/typed_errors';

describe('complex', () => {
  it('joins real and imaginary parts, broadcast', () => {
    const z = complex(tensor([[1], [2]]), tensor([3, 4]));
    expect([z.dtype, [...z.shape]]).to.deep.equal(['complex64', [2, 2]]);
    expect(z.readSync()).to.deep.equal(Float32Array.of(1, 3, 1, 4, 2, 3, 2, 4));
    expect(complex(tensor(1, { dtype: 'float64' }), tensor(2, { dtype: 'float64' })).dtype).to.equal('complex128');
    expect(complex(zeros([0]), zeros([1])).shape).to.deep.equal([0]);
  });

  it('agrees with finite differences', () => {
    checkGradients(([re, im]) => complex(re as Tensor, im as Tensor), [generate('fine', 1, [2, 1]), generate('fine', 2, [3])]);
    const x = tensor([1, 2], { requiresGrad: true });
    complex(x, zeros([2])).backward(
      tensor([
        { re: 5, im: 7 },
        { re: 6, im: 8 },
      ]),
    );
    expect(x.grad?.toArray()).to.deep.equal([5, 6]);
  });

  it('says what does not fit', () => {
    const [a, b] = [zeros([2]), zeros([2], { dtype: 'float64' })];
    expect(expectTyped(() => complex(a, b))).to.be.instanceOf(DTypeError);
    expect(expectTyped(() => complex(a, b)).message).to.equal(
      'complex: expected re and im to be both float32 or both float64, but got a float32 tensor of shape [2] and a float64 tensor of shape [2]',
    );
    expect(expectTyped(() => complex(a.to('float16'), a.to('float16'))).message).to.contain('both float32 or both float64');
    expect(expectTyped(() => complex(a, 1 as unknown as Tensor)).message).to.equal('complex: expected im to be a tensor, but got 1');
    expect(expectTyped(() => complex(a, zeros([3]))).message).to.contain('complex: shapes [2] and [3] cannot be broadcast');
  });
});
