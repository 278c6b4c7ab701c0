// npm run sanitize: address and undefined-behaviour sanitizers under the op and layer tests and the native tests; then the thread
// sanitizer under the native tests. Any report ends its program with a failure.
const { spawnSync, execFileSync } = require('node:child_process');
const { existsSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const REPORT = /runtime error:|ERROR: AddressSanitizer|WARNING: ThreadSanitizer|ERROR: LeakSanitizer/;
let failed = false;

function run(title, command, args, env = {}) {
  console.log(`\n== ${title}`);
  const options = { cwd: root, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 1 << 28 };
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, options);
  process.stdout.write(stdout ?? '');
  process.stderr.write(stderr ?? '');
  if (status !== 0 || REPORT.test(`${stdout}${stderr}`)) {
    console.error(`sanitize: ${title} failed (${error?.message ?? signal ?? `status ${status}`})`);
    failed = true;
  }
  return status === 0;
}

function build(folder, sanitizers, ...args) {
  const options = ['--out', folder, `--CDPARTIALCONV_SANITIZE=${sanitizers}`, '--parallel', '4', '--log-level', 'error', ...args];
  return run(`build with ${sanitizers}`, process.execPath, [join(__dirname, 'cmake_js.cjs'), 'build', ...options]);
}

const nativeTests = readdirSync(join(root, 'test', 'native'))
  .filter((name) => name.endsWith('_test.cc'))
  .map((name) => name.replace('.cc', ''));

function runNativeTests(folder, env) {
  for (const name of nativeTests) run(`${name} in ${folder}`, join(root, folder, 'Release', name), [], env);
}

/** What the dynamic linker has to load before Node: the sanitizer's runtime, and the C++ library whose exceptions it intercepts. */
function preload() {
  const compiler = process.env.CXX || 'g++';
  const paths = ['libasan.so', 'libstdc++.so'].map((name) =>
    execFileSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).trim(),
  );
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length > 0) throw new Error(`sanitize: ${compiler} has no ${missing.join(', ')}`);
  return paths.join(' ');
}

const UNDEFINED = 'print_stacktrace=1:halt_on_error=1';

if (build('build/asan', 'address,undefined')) {
  runNativeTests('build/asan', { ASAN_OPTIONS: 'detect_leaks=1', UBSAN_OPTIONS: UNDEFINED });
  const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js');
  const specs = ['test/ops/**/*.test.ts', 'test/nn/**/*.test.ts'].flatMap((spec) => ['--spec', spec]);
  run(
    'op and layer tests under Node',
    process.execPath,
    [mocha, '--no-config', '--require', 'tsx', '--timeout', '0', '--reporter', 'dot', ...specs],
    {
      LD_PRELOAD: preload(),
      ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
      UBSAN_OPTIONS: UNDEFINED,
      PARTIALCONV_ADDON: join(root, 'build', 'asan', 'Release', 'partialconv.node'),
    },
  );
}
if (nativeTests.every((name) => build('build/tsan', 'thread', '--target', name)))
  runNativeTests('build/tsan', { TSAN_OPTIONS: 'halt_on_error=1' });
console.log(failed ? '\nsanitize: FAILED' : '\nsanitize: no report');
process.exit(failed ? 1 : 0);
