// npm run test:gpu [-- suite memcheck racecheck]: on a machine with a GPU, the whole suite with its cases of 'cuda' on the GPU (a missing
// GPU is a failure), then compute-sanitizer's tools over the op tests. Names of parts run those alone. Works from a tree that
// scripts/pack_gpu.cjs made, too.
const { spawnSync } = require('node:child_process');
const { existsSync } = require('node:fs');
const { delimiter, join } = require('node:path');

const root = join(__dirname, '..');
const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js');
const PARTS = ['suite', 'memcheck', 'racecheck'];
const parts = process.argv.length > 2 ? process.argv.slice(2) : PARTS;
const failed = [];

function stop(reason) {
  console.error(`test:gpu: ${reason}`);
  process.exit(1);
}

/** Says what the tests run on. Ends the process where there is no GPU. */
function describeGpu() {
  const library = join(root, 'dist', 'index.js');
  if (!existsSync(library)) stop(`${library} is missing; run "npm run build" first`);
  const { version, node, cuda } = require(library).info();
  if (!cuda.available) stop(`no CUDA device can be used here, and nothing was tested: ${cuda.reason}`);
  console.log(`test:gpu: partialconv ${version}, Node ${node}, ${cuda.devices.join(', ')}, ${cuda.cudnn}, ${cuda.addon}`);
}

function run(part, command, args, env) {
  console.log(`\n== test:gpu: ${part}`);
  const options = { cwd: root, stdio: 'inherit', env: { ...process.env, PARTIALCONV_REQUIRE_CUDA: '1', ...env } };
  const { status, signal, error } = spawnSync(command, args, options);
  if (status === 0) return;
  console.error(`test:gpu: ${part} FAILED (${error?.message ?? signal ?? `status ${status}`})`);
  failed.push(part);
}

/** compute-sanitizer from PATH or from the CUDA toolkit that CUDA_HOME names, or null. */
function findSanitizer() {
  const toolkit = process.env.CUDA_HOME ? [join(process.env.CUDA_HOME, 'bin')] : [];
  const places = [...(process.env.PATH ?? '').split(delimiter), ...toolkit].map((folder) => join(folder, 'compute-sanitizer'));
  return places.find((place) => existsSync(place)) ?? null;
}

function sanitize(tool) {
  const sanitizer = findSanitizer();
  if (sanitizer === null) {
    console.error(
      `\n== test:gpu: compute-sanitizer is NOT installed here (it comes with the CUDA toolkit; PATH, CUDA_HOME): ${tool} did NOT run`,
    );
    return;
  }
  // mocha takes a name that has braces alone for a file's.
  const extension = existsSync(join(root, 'test', 'cuda', 'ops.test.ts')) ? 'ts' : 'js';
  const specs = ['ops', 'fuzz'].map((name) => `test/cuda/${name}.test.${extension}`);
  // Calls that fail are told by the tests; cuDNN tries some that may.
  const options = ['--error-exitcode', '86', '--report-api-errors', 'no', '--target-processes', 'all'];
  const args = ['--tool', tool, ...options, process.execPath, mocha, '--timeout', '0', ...specs];
  run(tool, sanitizer, args, { PARTIALCONV_FUZZ_SECONDS: process.env.PARTIALCONV_FUZZ_SECONDS ?? '20' });
}

const unknown = parts.filter((part) => !PARTS.includes(part));
if (unknown.length > 0) stop(`expected parts of ${PARTS.join(', ')}, but got ${unknown.join(', ')}`);
describeGpu();
if (parts.includes('suite')) run('suite', process.execPath, [mocha, 'test/**/*.test.{ts,js}'], {});
for (const tool of ['memcheck', 'racecheck']) if (parts.includes(tool)) sanitize(tool);
console.log(failed.length > 0 ? `\ntest:gpu: FAILED: ${failed.join(', ')}` : '\ntest:gpu: passed');
process.exit(failed.length > 0 ? 1 : 0);
