// Adam and AdamW: steps scaled by running means of the gradient and of its square.
import { ShapeError } from '../errors';
import { describe, type Tensor } from '../tensor';
import { type CommonOptions, checkRange, Optimizer, type ParameterList, type ParameterState } from './optimizer';

export interface AdamOptions extends CommonOptions {
  /** How much stays of the running mean of the gradient, and of its square, in each step. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the root in the denominator. Default 1e-8. */
  eps: number;
  /** Adam: adds so much of the parameter to its gradient; default 0. AdamW: shrinks the parameter by lr * weightDecay; default 0.01. */
  weightDecay: number;
  /** Divide by the largest mean square so far. Default false. */
  amsgrad: boolean;
}

abstract class AdamBase extends Optimizer<AdamOptions> {
  protected abstract readonly decoupled: boolean;

  protected checkGroup({ betas, eps, weightDecay, amsgrad }: AdamOptions): void {
    const op = this.constructor.name;
    checkRange(op, 'epsilon value', eps);
    if (!Array.isArray(betas) || betas.length !== 2)
      throw new ShapeError(`${op}: expected betas to be two numbers, but got ${describe(betas)}`);
    betas.forEach((beta, i) => void checkRange(op, `beta parameter at index ${i}`, beta, 0, 1));
    checkRange(op, 'weight_decay value', weightDecay);
    if (typeof amsgrad !== 'boolean') throw new ShapeError(`${op}: expected amsgrad to be a boolean, but got ${describe(amsgrad)}`);
  }

  protected update(param: Tensor, grad: Tensor, state: ParameterState, group: AdamOptions): void {
    const { lr, betas, eps, weightDecay, amsgrad } = group;
    const master = this.master(state, param, group);
    const step = ((state.step as number | undefined) ?? 0) + 1;
    state.step = step;
    const moments = ['expAvg', 'expAvgSq'].map((name) => this.moment(state, name, param));
    const largest = amsgrad ? this.moment(state, 'maxExpAvgSq', param) : null;
    const options = [lr, ...betas, eps, weightDecay, Number(this.decoupled), step];
    this.call('adamStep', options, param, grad, [master, ...moments, largest]);
  }
}

/**
 * Adam: p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps) with the running means m of g = grad + weightDecay p and v of
 * g^2. Source: PyTorch, torch.optim.Adam (Kingma and Ba 2015), in its order of operations. 16-bit parameters are computed in float32,
 * where their means and their master copy stay (option masterWeights); complex ones are optimized as their real views.
 */
export class Adam extends AdamBase {
  protected get decoupled(): boolean {
    return false;
  }

  /**
   * @param parameters leaves, or groups { params, ...options } with options of their own
   * @throws ShapeError for options out of range, unknown ones, parameters that are no leaves or given twice; DTypeError
   */
  constructor(parameters: ParameterList<AdamOptions>, options?: Partial<Readonly<AdamOptions>>) {
    super(parameters, options, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, amsgrad: false, masterWeights: true });
  }
}

/**
 * AdamW: Adam with weight decay apart from the gradient, p *= 1 - lr * weightDecay before each step. Otherwise as Adam.
 * Source: PyTorch, torch.optim.AdamW (Loshchilov and Hutter 2019).
 */
export class AdamW extends AdamBase {
  protected get decoupled(): boolean {
    return true;
  }

  /**
   * @param parameters leaves, or groups { params, ...options } with options of their own
   * @throws ShapeError for options out of range, unknown ones, parameters that are no leaves or given twice; DTypeError
   */
  constructor(parameters: ParameterList<AdamOptions>, options?: Partial<Readonly<AdamOptions>>) {
    super(parameters, options, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 1e-2, amsgrad: false, masterWeights: true });
  }
}
