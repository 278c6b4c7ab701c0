// Formats the native sources with the npm package clang-format (the lock file pins its binary); --check only reports what would change.
const { spawnSync } = require('node:child_process');
const { existsSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const mode = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i'];

function nativeSources(folder) {
  if (!existsSync(join(root, folder))) return [];
  const names = readdirSync(join(root, folder), { recursive: true }).filter((name) => /\.(cc|h|inc|cu|cuh)$/.test(name));
  return names.map((name) => join(folder, name));
}

const files = ['native', 'test/native', 'bench/native'].flatMap(nativeSources);
const clangFormat = require.resolve('clang-format/index.js');
const { status } = spawnSync(process.execPath, [clangFormat, ...mode, '--style=file', ...files], { cwd: root, stdio: 'inherit' });
process.exit(status ?? 1);
