// SGD: stochastic gradient descent with momentum.
import { ShapeError } from '../errors';
import { describe, type Tensor } from '../tensor';
import { type CommonOptions, checkRange, Optimizer, type ParameterList, type ParameterState } from './optimizer';

export interface SgdOptions extends CommonOptions {
  /** How much of the last step's velocity stays. Default 0. */
  momentum: number;
  /** How much of the gradient is kept out of the velocity. Default 0. */
  dampening: number;
  /** Look ahead along the velocity; needs momentum and no dampening. Default false. */
  nesterov: boolean;
  /** Adds so much of the parameter to its gradient. Default 0. */
  weightDecay: number;
}

/**
 * Stochastic gradient descent. With g = grad + weightDecay p: b = momentum b + (1 - dampening) g (g itself in the first step), then
 * p -= lr b, or with nesterov p -= lr (g + momentum b). Source: PyTorch, torch.optim.SGD, in its order of operations; 16-bit parameters
 * are computed in float32, where their velocity and their master copy stay (option masterWeights); complex ones are optimized as their
 * real views.
 */
export class SGD extends Optimizer<SgdOptions> {
  /**
   * @param parameters leaves, or groups { params, ...options } with options of their own
   * @throws ShapeError for options out of range, unknown ones, parameters that are no leaves or given twice; DTypeError
   */
  constructor(parameters: ParameterList<SgdOptions>, options?: Partial<Readonly<SgdOptions>>) {
    super(parameters, options, { lr: 1e-3, momentum: 0, dampening: 0, nesterov: false, weightDecay: 0, masterWeights: true });
  }

  protected checkGroup({ momentum, dampening, nesterov, weightDecay }: SgdOptions): void {
    checkRange('SGD', 'momentum value', momentum);
    checkRange('SGD', 'dampening value', dampening, -Infinity);
    checkRange('SGD', 'weight_decay value', weightDecay);
    if (typeof nesterov !== 'boolean') throw new ShapeError(`SGD: expected nesterov to be a boolean, but got ${describe(nesterov)}`);
    if (nesterov && (momentum <= 0 || dampening !== 0)) {
      throw new ShapeError(
        `SGD: Nesterov momentum requires a momentum and zero dampening, but momentum is ${momentum} and dampening ${dampening}`,
      );
    }
  }

  protected update(param: Tensor, grad: Tensor, state: ParameterState, group: SgdOptions): void {
    const { lr, momentum, dampening, weightDecay, nesterov } = group;
    const master = this.master(state, param, group);
    const first = state.momentumBuffer === undefined;
    const buffer = momentum === 0 ? null : this.moment(state, 'momentumBuffer', param);
    this.call('sgdStep', [lr, momentum, dampening, weightDecay, Number(nesterov), Number(first)], param, grad, [master, buffer]);
  }
}
