// One convolution with everything checked: what the steps of a convolution hand to each other.
import type { Tensor } from '../tensor';
import type { ConvShapes, ConvSpec } from './conv_geometry';
import type { Holes } from './mask_ratio';

export interface ConvCall {
  readonly spec: ConvSpec;
  readonly shapes: ConvShapes;
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  /** null: a plain convolution. */
  readonly holes: Holes | null;
  /** x is zero where the mask is: it need not be selected. */
  readonly zeroInHoles: boolean;
}
