// Builds the CPU addon with node-gyp, incrementally.
const { spawnSync } = require('node:child_process');
const { availableParallelism } = require('node:os');
const { join } = require('node:path');
const { nodedirArguments } = require('./headers.cjs');

const args = ['configure', 'build', '--silent', `--jobs=${availableParallelism()}`, ...nodedirArguments()];
const { status, error } = spawnSync(process.execPath, [require.resolve('node-gyp/bin/node-gyp.js'), ...args], {
  cwd: join(__dirname, '..'),
  stdio: 'inherit',
  env: { ...process.env, MAKEFLAGS: '--no-print-directory' },
});
if (status !== 0) {
  console.error(`partialconv: the native build failed${error ? `: ${error.message}` : ''} (it needs a C++20 compiler, make and python3)`);
  process.exit(status ?? 1);
}
