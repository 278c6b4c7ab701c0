// npm run pack:gpu [-- --folder <folder> --no-archive]: build/gpu/, to be carried to a machine with a GPU that has Python but neither Node nor
// a compiler: run.sh, and in one archive the addons, the tests and benchmarks as plain JavaScript, what they need, and this Node.
const { spawnSync } = require('node:child_process');
const { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } = require('node:fs');
const { join, resolve } = require('node:path');
const { parseArgs } = require('node:util');

const root = join(__dirname, '..');
const { values: options } = parseArgs({
  options: { folder: { type: 'string', default: join(root, 'build', 'gpu') }, archive: { type: 'boolean', default: true } },
  allowNegative: true,
});
const folder = resolve(options.folder);
const tree = join(folder, 'tree');
const MOST_MIB = 56; // a carried tree may have 64 MiB, the sources among them

// Tests of what is not carried: compilers, TypeScript sources, tsx, examples.
const LEFT_OUT = [
  ...['build', 'native', 'process', 'readme', 'rules'].map((name) => `test/${name}.test.js`),
  ...['gradient_coverage', 'nn/async', 'ops/random', 'training/memory'].map((name) => `test/${name}.test.js`),
  ...['cuda/backend', 'cuda/carried', 'cuda/failures'].map((name) => `test/${name}.test.js`),
  'test/examples',
  'examples',
];

const CARRIED = [
  ...[
    'package.json',
    'dist',
    'build/Release/partialconv.node',
    'test/goldens',
    'test/training/golden.json',
    'bench/peers',
    'build/examples/unet.js',
  ],
  ...['platform', 'test_gpu', 'mocha_reporter'].map((name) => `scripts/${name}.cjs`),
];

function stop(reason) {
  console.error(`pack:gpu: ${reason}`);
  process.exit(1);
}

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) stop(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`);
}

/** Tests, benchmarks and the library as JavaScript, in the folders of their sources. */
function compile() {
  const tsc = require.resolve('typescript/bin/tsc');
  run(process.execPath, tsc, '--noEmit', 'false', '--declaration', 'false', '--rootDir', root, '--outDir', tree);
  for (const path of LEFT_OUT) rmSync(join(tree, path), { recursive: true });
  writeFileSync(
    join(tree, '.mocharc.cjs'),
    `module.exports = { ...${JSON.stringify({ ...require('../.mocharc.cjs'), require: ['./test/support/poison.js'] })} };\n`,
  );
}

function copy(path, to = path) {
  const source = resolve(root, path);
  if (!existsSync(source)) stop(`${source} is missing; run "npm run build" first`);
  cpSync(source, join(tree, to), { recursive: true, dereference: true, filter: (file) => !file.endsWith('.ts') || file.endsWith('.d.ts') });
}

/** A package and what it depends on. */
function copyPackage(name, done = new Set()) {
  if (done.has(name)) return;
  done.add(name);
  copy(`node_modules/${name}`);
  const { dependencies = {} } = require(join(root, 'node_modules', name, 'package.json'));
  for (const other of Object.keys(dependencies)) copyPackage(other, done);
}

function copyAddon() {
  const addon = resolve(process.env.PARTIALCONV_CUDA_ADDON || join(root, 'build', 'cuda', 'Release', 'partialconv.node'));
  if (!existsSync(addon))
    stop(`${addon} is missing; for the GPU's architecture alone: npm run build:cuda -- --CDCMAKE_CUDA_ARCHITECTURES=90a-real`);
  copy(addon, 'build/cuda/Release/partialconv.node');
}

function archive() {
  const file = join(folder, 'tree.tar.xz');
  run(
    process.env.PYTHON || 'python3',
    '-c',
    'import sys, tarfile\nwith tarfile.open(sys.argv[1], "w:xz") as archive: archive.add(sys.argv[2], "tree")',
    file,
    tree,
  );
  rmSync(tree, { recursive: true });
  const mib = statSync(file).size / 2 ** 20;
  if (mib > MOST_MIB) stop(`${file} has ${mib.toFixed(1)} MiB, more than ${MOST_MIB}; is the CUDA addon built for one architecture?`);
  console.log(`pack:gpu: ${folder}: ${mib.toFixed(1)} MiB; carry it, and there: bash run.sh test, bash run.sh bench`);
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(join(tree, 'bin'), { recursive: true });
compile();
for (const path of CARRIED) copy(path);
for (const name of ['mocha', 'chai', 'fast-check', 'bindings']) copyPackage(name);
copyAddon();
copyFileSync(process.execPath, join(tree, 'bin', 'node'));
chmodSync(join(tree, 'bin', 'node'), 0o755);
copyFileSync(join(__dirname, 'run_gpu.sh'), join(folder, 'run.sh'));
if (options.archive) archive();
