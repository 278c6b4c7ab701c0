#!/usr/bin/env bash
# bash run.sh test [parts] | bench [options]: npm run test:gpu or bench:gpu from what scripts/pack_gpu.cjs packed, beside this file.
# cuDNN and NVRTC are those of Python's packages (python3, or what PARTIALCONV_TORCH_PYTHON names).
set -eu
cd "$(dirname "$0")"
python=${PARTIALCONV_TORCH_PYTHON:-python3}
command -v "$python" >/dev/null || { echo "run.sh: $python is not there; PARTIALCONV_TORCH_PYTHON names another" >&2; exit 1; }

[ -d tree ] || "$python" -c 'import tarfile; tarfile.open("tree.tar.xz").extractall(".")'

libraries=$("$python" -c '
import glob, os, sys
found = [f for d in sys.path for f in sorted(glob.glob(os.path.join(d, "nvidia", "*", "lib")))]
print(os.pathsep.join(found))')
[ -n "$libraries" ] || echo "run.sh: $python has no packages of NVIDIA: cuDNN must be in the loader's path" >&2
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export PARTIALCONV_TORCH_PYTHON="$python"
export PATH="$PWD/tree/bin:$PATH"

what=${1:-}
[ $# -eq 0 ] || shift
cd tree
case $what in
  test) exec node scripts/test_gpu.cjs "$@" ;;
  bench) exec node bench/gpu/run.js "$@" ;;
  *) echo 'run.sh: expected "test" or "bench"' >&2; exit 1 ;;
esac
