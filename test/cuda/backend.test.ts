// The CUDA backend without a GPU: its decisions everywhere; cuDNN's real planner, for described GPUs, where cuDNN and nvcc are found.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { cmakeFolder, needsCMakeBuild } from '../support/cmake_build';
import { stubSource } from './libcuda_stub';
import { planFolder } from './on_fake';
import { buildTest, cuda, cudnnMissing, PLAN_PARTS, runWithCudnn } from './toolkit';

const root = join(__dirname, '..', '..');
const PLAN_TEST = 'test/cuda/plan_test.cc';

/** Runs a program to its end, which must be a good one. */
function runTest(program: string, ...args: string[]): void {
  const env = { ...process.env, XDG_CACHE_HOME: planFolder };
  const { status, signal, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env });
  expect(status, `${signal ?? ''}\n${stdout}${stderr}`).to.equal(0);
}

describe('CUDA backend', function () {
  this.timeout(600_000);
  needsCMakeBuild();

  it('routes, shapes, plan keys and the plan cache', () => {
    runTest(buildTest('test/cuda/route_test.cc', ['native/cuda/route.cc', 'native/cuda/plan_cache.cc']));
  });

  it('the three passes on a fake cuDNN, every dtype, route and option, against plain loops', () => {
    runTest(join(cmakeFolder, 'conv_test'), '1000', '1', '2');
  });

  it('injected failures: out of memory, launches, cuDNN; memory, launches and plans are counted', () => {
    runTest(join(cmakeFolder, 'failures_test'));
  });

  it('every call of the runtime and of cuDNN, failing in turn: its name is told, all goes on, nothing is left', () => {
    runTest(join(cmakeFolder, 'every_call_test'));
  });

  it('vectors: every length, alignment and dtype gives the bits of single elements, and as many threads as it should', () => {
    runTest(join(cmakeFolder, 'vectors_test'));
  });

  it('vectors of rows and of sums over them: the bits of single elements, and vectors wherever rows are whole ones', () => {
    runTest(join(cmakeFolder, 'rows_test'));
  });

  it('sums over groups, chunk by chunk, by the lanes of blocks: plain sums, and the bits of single elements', () => {
    runTest(join(cmakeFolder, 'sums_test'));
  });

  it('gradients of biases, and of depthwise weights: plain sums, and the bits of single elements', () => {
    runTest(join(cmakeFolder, 'gradients_test'));
  });

  it('vectors and tiles of layout changes: the bits of single elements, and vectors wherever whole ones fit', () => {
    runTest(join(cmakeFolder, 'images_test'));
  });

  it('traffic: the vectors of a warp fill the sectors of memory that they touch', () => {
    runTest(join(cmakeFolder, 'traffic_test'));
  });

  it('vectors of padding and of resizing: the bits of single elements, and vectors wherever whole ones fit', () => {
    runTest(join(cmakeFolder, 'spatial_test'));
  });

  it('plans: tiers, the disk, wrong ones that are dropped, the fastest that is taken', () => {
    runTest(join(cmakeFolder, 'plans_test'));
  });

  it('PARTIALCONV_VERIFY=1 finds every plan of the three passes right', () => {
    const env = { ...process.env, XDG_CACHE_HOME: planFolder, PARTIALCONV_VERIFY: '1' };
    const { status, stdout, stderr } = spawnSync(join(cmakeFolder, 'conv_test'), ['200', '5', '2'], { encoding: 'utf8', env });
    expect([status, stderr], stdout).to.deep.equal([0, '']);
  });

  it("cuDNN's absence is explained, with what was tried and what to do", () => {
    const program = buildTest(PLAN_TEST, PLAN_PARTS);
    const { status, stdout } = spawnSync(program, ['0'], {
      encoding: 'utf8',
      env: { CUDNN_PATH: join(root, 'test'), LD_LIBRARY_PATH: '' },
    });
    if (status !== 2) return; // cuDNN is in the loader's own path
    expect(stdout)
      .to.include('pip install nvidia-cudnn-cu13')
      .and.include('CUDNN_PATH')
      .and.include(join(root, 'test', 'lib', 'libcudnn.so.9'));
  });

  it('the declarations of cuDNN are those of its headers', function () {
    if (cuda.cudnnInclude === null || cuda.include === null) {
      console.warn('      skipped: no cuDNN headers, or no CUDA headers');
      this.skip();
    }
    const includes = ['-I', join(root, 'native'), '-isystem', cuda.cudnnInclude as string, '-isystem', cuda.include as string];
    const source = join(__dirname, 'cudnn_api_check.cc');
    const { status, stderr } = spawnSync(
      process.env.CXX ?? 'g++',
      ['-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', ...includes, source],
      {
        encoding: 'utf8',
      },
    );
    expect(status, stderr).to.equal(0);
  });

  it('a libcuda stub has the functions of cuda.h', () => {
    const header =
      'CUresult CUDAAPI cuInit(unsigned int Flags);\n#define cuMemAlloc cuMemAlloc_v2\nCUresult CUDAAPI cuMemAlloc(void **p);\n';
    const source = stubSource(header);
    for (const name of ['cuMemAlloc', 'cuMemAlloc_v2']) expect(source).to.include(`int ${name}(void) { return 100; }`);
    expect(source.match(/int cuInit\(/g)).to.have.length(1);
  });

  it('the plan suite: each pass, dtype and geometry has a plan for each described GPU, fused ones without workspace', function () {
    const missing = cudnnMissing();
    if (missing !== null) {
      console.warn(`      skipped: ${missing}`);
      this.skip();
    }
    const { status, signal, stdout, stderr } = runWithCudnn(buildTest(PLAN_TEST, PLAN_PARTS), ['20']);
    expect(status, `${signal ?? ''}\n${stdout}${stderr}`).to.equal(0);
  });
});
