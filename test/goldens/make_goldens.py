"""Regenerates the golden files with PyTorch 2.13: python make_goldens.py [name ...]"""

import importlib
import os
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
NAMES = ["conv", "partial", "rng", "init_printed", "errors", "masked_layers", "conv_modern", "optim", "tensor", "mixed"]

if __name__ == "__main__":
    import torch

    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    if not torch.__version__.startswith("2.13."):
        print(f"warning: these goldens are PyTorch 2.13's, this is {torch.__version__}", file=sys.stderr)
    for name in sys.argv[1:] or NAMES:
        importlib.import_module(f"goldens_{name}").main()
