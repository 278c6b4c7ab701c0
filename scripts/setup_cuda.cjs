// npm run setup:cuda: prepares a machine to build the CUDA addon and to run its tests: nvcc if there is none, cuDNN and NVRTC, by pip into .cuda/.
const { spawnSync } = require('node:child_process');
const { existsSync, readdirSync, symlinkSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const target = join(root, '.cuda');
const COMPILER = ['nvidia-cuda-nvcc', 'nvidia-cuda-runtime', 'nvidia-cuda-cccl', 'nvidia-nvvm', 'nvidia-cuda-crt'];
const CUDNN = ['nvidia-cudnn-cu13', 'nvidia-cuda-nvrtc'];

const works = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

/** Where nvcc is: PATH, CUDA_HOME, or what an earlier run put into .cuda/. */
function findCompiler() {
  const own = existsSync(join(target, 'nvidia'))
    ? readdirSync(join(target, 'nvidia')).map((name) => join(target, 'nvidia', name, 'bin', 'nvcc'))
    : [];
  const places = ['nvcc', ...(process.env.CUDA_HOME ? [join(process.env.CUDA_HOME, 'bin', 'nvcc')] : []), ...own];
  return places.find((place) => works(place, '--version')) ?? null;
}

const hasCudnn = () => existsSync(join(target, 'nvidia', 'cudnn', 'lib', 'libcudnn.so.9'));

/** What nvcc and CMake look for and the wheels lack: the folder lib64, and the library's name without a version. */
function linkLibraries() {
  const nvidia = join(target, 'nvidia');
  for (const name of existsSync(nvidia) ? readdirSync(nvidia) : []) {
    const folder = join(nvidia, name);
    if (!existsSync(join(folder, 'bin', 'nvcc')) || !existsSync(join(folder, 'lib'))) continue;
    if (!existsSync(join(folder, 'lib64'))) symlinkSync('lib', join(folder, 'lib64'));
    const runtime = readdirSync(join(folder, 'lib')).find((file) => /^libcudart\.so\.\d+$/.test(file));
    if (runtime && !existsSync(join(folder, 'lib', 'libcudart.so'))) symlinkSync(runtime, join(folder, 'lib', 'libcudart.so'));
  }
}

/** Installs wheels into .cuda/; false where pip cannot. */
function install(packages) {
  const python = ['python3', 'python'].find((name) => works(name, '-m', 'pip', '--version'));
  if (python === undefined) return false;
  console.log(`setup:cuda: pip install ${packages.join(' ')} into .cuda/`);
  const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', target, '--upgrade', ...packages];
  return spawnSync(python, args, { stdio: 'inherit' }).status === 0;
}

const missing = [];
if (findCompiler() === null) {
  install(COMPILER);
  linkLibraries();
}
const compiler = findCompiler();
if (compiler === null) {
  missing.push('nvcc: install the CUDA toolkit 12.8 or later and put its bin folder into PATH, or set CUDA_HOME');
}
if (!hasCudnn()) install(CUDNN);
if (!hasCudnn()) missing.push(`cuDNN 9: pip install --target .cuda ${CUDNN.join(' ')}, or set CUDNN_PATH to a folder that has it`);

console.log(`setup:cuda: nvcc: ${compiler ?? 'none'}; cuDNN: ${hasCudnn() ? '.cuda/nvidia/cudnn' : 'none'}`);
if (missing.length > 0) {
  console.error(
    `setup:cuda: missing, for the CUDA addon only:\n${missing.map((line) => `  ${line}`).join('\n')}\nThe CPU build is not touched.`,
  );
  process.exit(1);
}
console.log('setup:cuda: ready; build with "npm run build:cuda"');
