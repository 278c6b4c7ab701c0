// Where this Node's own headers are, so that building an addon downloads nothing.
const { existsSync, readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');

/** node-gyp's --nodedir argument where include/node of exactly this Node stands beside it; else none: node-gyp downloads the headers once. */
function nodedirArguments() {
  const prefix = join(dirname(process.execPath), '..');
  const header = join(prefix, 'include', 'node', 'node_version.h');
  if (!existsSync(header) || !existsSync(join(prefix, 'include', 'node', 'common.gypi'))) return [];
  const text = readFileSync(header, 'utf8');
  const version = ['MAJOR', 'MINOR', 'PATCH'].map((part) => new RegExp(`NODE_${part}_VERSION (\\d+)`).exec(text)?.[1]);
  return version.join('.') === process.versions.node ? [`--nodedir=${prefix}`] : [];
}

module.exports = { nodedirArguments };
