// cmake-js with the arguments given; where the machine has no CMake, with one from PyPI in build/tools (by pip, or without it).
const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } = require('node:fs');
const { delimiter, dirname, join } = require('node:path');
const { platformTag } = require('./platform.cjs');

const root = join(__dirname, '..');
const tools = join(root, 'build', 'tools');
const fetched = join(tools, 'cmake', 'data', 'bin', process.platform === 'win32' ? 'cmake.exe' : 'cmake');
const LEAST = [3, 19]; // as in CMakeLists.txt

const output = (command, ...args) => spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
const works = (command, ...args) => output(command, ...args).status === 0;

function isRecent(cmake) {
  const [, major, minor] = /version (\d+)\.(\d+)/.exec(output(cmake, '--version').stdout ?? '') ?? [];
  return Number(major) > LEAST[0] || (Number(major) === LEAST[0] && Number(minor) >= LEAST[1]);
}

/** A Python that has pip: the machine's, or one of a virtual environment; null where neither can be had. */
function pythonWithPip(python) {
  if (works(python, '-m', 'pip', '--version')) return python;
  const own = join(tools, 'python');
  const venv = join(own, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  return works(python, '-m', 'venv', '--clear', own) && works(venv, '-m', 'pip', '--version') ? venv : null;
}

function installByPip(python) {
  const pip = pythonWithPip(python);
  if (pip === null) return false;
  const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--retries', '0', '--upgrade', '--target', tools];
  const env = { ...process.env, PIP_ROOT_USER_ACTION: 'ignore' };
  return spawnSync(pip, [...args, 'cmake'], { env, stdio: ['ignore', 2, 2] }).status === 0 && existsSync(fetched);
}

/** How the wheels for this machine end. */
function wheelTag() {
  const arch = { x64: 'x86_64', arm64: 'aarch64' }[process.arch] ?? process.arch;
  if (process.platform === 'darwin') return /-macosx_[^-]*\.whl$/;
  if (process.platform === 'win32') return process.arch === 'x64' ? /-win_amd64\.whl$/ : /-win_arm64\.whl$/;
  return new RegExp(`-${platformTag().endsWith('musl') ? 'musl' : 'many'}linux[^-]*_${arch}\\.whl$`);
}

const versionOf = ({ filename }) => (/^cmake-(\d+)\.(\d+)\.(\d+)-/.exec(filename) ?? []).slice(1).map(Number);

/** The newest wheel for this machine, from the index that pip would ask. */
async function findWheel() {
  const index = `${(process.env.PIP_INDEX_URL ?? 'https://pypi.org/simple').replace(/\/+$/, '')}/cmake/`;
  const response = await fetch(index, { headers: { Accept: 'application/vnd.pypi.simple.v1+json' } });
  if (!response.ok) throw new Error(`${index}: ${response.status} ${response.statusText}`);
  const tag = wheelTag();
  const { files } = await response.json();
  const [newest] = files
    .filter((file) => !file.yanked && versionOf(file).length === 3 && tag.test(file.filename))
    .sort((a, b) => versionOf(a).reduce((order, v, i) => order || versionOf(b)[i] - v, 0));
  if (newest === undefined) throw new Error(`${index} has no wheel of CMake for ${process.platform} ${process.arch}`);
  return { filename: newest.filename, url: new URL(newest.url, index), sha256: newest.hashes.sha256 };
}

/** The wheel, checked and unpacked without pip: a wheel is a zip file. */
async function installByHand(python) {
  const { filename, url, sha256 } = await findWheel();
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  const wheel = Buffer.from(await response.arrayBuffer());
  if (createHash('sha256').update(wheel).digest('hex') !== sha256) throw new Error(`${url}: the checksum is not the index's`);
  mkdirSync(tools, { recursive: true });
  const file = join(tools, filename);
  writeFileSync(file, wheel);
  const unpacked = spawnSync(python, ['-m', 'zipfile', '-e', file, tools], { stdio: ['ignore', 2, 2] });
  if (unpacked.status !== 0) throw new Error(`${python} could not unpack ${file}`);
  for (const name of readdirSync(dirname(fetched))) chmodSync(join(dirname(fetched), name), 0o755); // zipfile drops the mode
}

/** The folder of a CMake that is recent enough, or null for the one in PATH. */
async function cmakeFolder() {
  if (isRecent('cmake')) return null;
  if (existsSync(fetched) && isRecent(fetched)) return dirname(fetched);
  const python = ['python3', 'python'].find((name) => works(name, '--version'));
  if (python === undefined) throw new Error('there is no python3 to get it with');
  console.error(`No CMake of version ${LEAST.join('.')} or later: getting one into build/tools`);
  if (!installByPip(python)) await installByHand(python);
  if (!isRecent(fetched)) throw new Error(`${fetched} does not run on this machine`);
  return dirname(fetched);
}

async function main() {
  const folder = await cmakeFolder();
  const env = folder === null ? process.env : { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH ?? ''}` };
  const cmakeJs = join(root, 'node_modules', 'cmake-js', 'bin', 'cmake-js');
  const { status, error } = spawnSync(process.execPath, [cmakeJs, ...process.argv.slice(2)], { cwd: root, env, stdio: 'inherit' });
  if (error) throw error;
  process.exitCode = status ?? 1;
}

main().catch((error) => {
  const reason = error.cause ? `${error.message}: ${error.cause.message}` : error.message;
  console.error(`CMake ${LEAST.join('.')} or later could not be had: ${reason}. Install it and put it into PATH.`);
  process.exitCode = 1;
});
