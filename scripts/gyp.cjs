// What binding.gyp asks for: `sources` (globbed), a list of native/flags.json, or whether a prebuilt addon makes the build a no-op.
const { existsSync, readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const { platformTag } = require('./platform.cjs');

const root = join(__dirname, '..');

function answer(question) {
  if (question === 'prebuilt') return existsSync(join(root, 'prebuilds', platformTag(), 'partialconv.node')) ? 'yes' : 'no';
  if (question === 'sources') {
    const folders = ['addon', 'ops', 'cpu'].map((folder) => `native/${folder}`);
    return folders.flatMap((folder) => sourcesIn(folder)).join(' ');
  }
  const flags = JSON.parse(readFileSync(join(root, 'native', 'flags.json'), 'utf8'));
  return flags[question].join(' ').replaceAll('{root}', '..'); // the makefile runs in build/
}

function sourcesIn(folder) {
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith('.cc'));
  return names.sort().map((name) => `${folder}/${name}`);
}

console.log(answer(process.argv[2]));
