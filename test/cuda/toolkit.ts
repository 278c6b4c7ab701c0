// Where CUDA's and cuDNN's parts are on this machine, and the native CUDA tests, which need no GPU: built with the host compiler alone.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { buildStub } from './libcuda_stub';

const root = join(__dirname, '..', '..');
const folder = join(root, 'build', 'cuda_tests');

/** The first folder that exists. */
const first = (places: string[]): string | null => places.find((place) => existsSync(place)) ?? null;

/** CUDA's include folder, as nvcc names it. */
function cudaInclude(): string | null {
  const { stderr, status } = spawnSync('nvcc', ['--dryrun', '-x', 'cu', '-E', 'none.cu'], { encoding: 'utf8' });
  const top = status === null ? undefined : /^#\$ TOP=(.*)$/m.exec(stderr)?.[1];
  return first([...(top ? [join(top, 'include')] : []), join(process.env.CUDA_HOME ?? 'none', 'include')]);
}

const nvidia = join(root, '.cuda', 'nvidia');

export const cuda = {
  include: cudaInclude(),
  cudnnInclude: first([join(nvidia, 'cudnn', 'include'), join(process.env.CUDNN_PATH ?? 'none', 'include')]),
  cudnn: first([join(nvidia, 'cudnn'), process.env.CUDNN_PATH ?? 'none']),
  nvrtc: first([join(nvidia, 'cu13', 'lib')]),
};

/** Why the tests that need cuDNN cannot run here; null: they can. */
export function cudnnMissing(): string | null {
  if (cuda.cudnn === null) return 'no cuDNN (npm run setup:cuda fetches it)';
  if (cuda.include === null) return 'no nvcc, and so no cuda.h to make a libcuda stub from';
  return null;
}

const modified = (file: string): number => statSync(file).mtimeMs;

/** Every header that a native CUDA test may include. */
const headers = (): string[] =>
  [join(root, 'native'), __dirname].flatMap((dir) =>
    readdirSync(dir, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.h'))
      .map((file) => join(dir, file)),
  );

/** The parts of the backend that need neither CUDA nor cuDNN to compile. */
export const PLAN_PARTS = ['cudnn_api.cc', 'graph.cc', 'route.cc', 'plan.cc'].map((part) => `native/cuda/${part}`);

/** Builds a program of test/cuda from its source and parts, with the host compiler; what is up to date is not compiled again. */
export function buildTest(source: string, parts: string[]): string {
  const objects = join(folder, 'plain');
  mkdirSync(objects, { recursive: true });
  const flags = ['-std=c++20', '-O1', '-Wall', '-Wextra', '-Werror', '-pthread'];
  const compiler = process.env.CXX ?? 'g++';
  const newestHeader = Math.max(...headers().map(modified));
  const built = [source, ...parts].map((part) => {
    const object = join(objects, `${basename(part).replace('.', '_')}.o`);
    const input = join(root, part);
    if (existsSync(object) && modified(object) > Math.max(newestHeader, modified(input))) return object;
    execFileSync(compiler, [...flags, '-I', join(root, 'native'), '-x', 'c++', '-c', input, '-o', object], { encoding: 'utf8' });
    return object;
  });
  const program = join(objects, basename(source).replace('.cc', ''));
  if (!existsSync(program) || modified(program) < Math.max(...built.map(modified)))
    execFileSync(compiler, ['-o', program, ...built, '-pthread', '-ldl']);
  return program;
}

/** Runs a program with cuDNN, NVRTC and the stub in the loader's path. */
export function runWithCudnn(program: string, args: string[], env: Record<string, string> = {}) {
  const stub = buildStub(cuda.include ?? '', join(folder, 'stub'));
  const libraries = [stub, cuda.nvrtc, process.env.LD_LIBRARY_PATH].filter((path) => path);
  return spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { ...process.env, CUDNN_PATH: cuda.cudnn ?? '', LD_LIBRARY_PATH: libraries.join(delimiter), ...env },
  });
}
