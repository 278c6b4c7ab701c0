// The masked layers, norms, activations, resize and mask helpers against PyTorch's numbers.
import { load } from '../goldens/load';
import { GOLDEN, runCase, SINGLE } from '../support/layer_case';

describe('layers against PyTorch', () => {
  for (const golden of load('masked_layers').cases.filter(({ layer }) => !layer.endsWith('Loss'))) {
    it(golden.name, () => {
      runCase(golden, 'float64', GOLDEN);
      runCase(golden, 'float32', SINGLE);
    });
  }
});
