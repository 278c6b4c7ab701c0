// npm run check:package: packs the package, looks at what is in it, and uses it from empty folders: prebuilt, and built from source.
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { nodedirArguments } = require('./headers.cjs');
const { platformTag } = require('./platform.cjs');

const root = join(__dirname, '..');
const builtHere = join(root, 'build', 'Release', 'partialconv.node');

function run(cwd, command, ...args) {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 });
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}\n${error.stdout}${error.stderr}`);
  }
}

const runNode = (cwd, ...args) => run(cwd, process.execPath, ...args);
const tool = (name) => join(root, 'node_modules', '.bin', name);
const lines = (text) => text.split('\n').filter((line) => line !== '');

const BELONGS = [
  /^(package\.json|README\.md|LICENSE|binding\.gyp|CMakeLists\.txt|native\/flags\.json|native\/addon\/exports\.map)$/,
  /^scripts\/(gyp|platform)\.cjs$/,
  /^dist\/[\w/]+\.(js|mjs|d\.ts|d\.mts)$/,
  /^native\/[\w/]+\.(cc|h|inc|cu|cuh)$/,
];
const NEEDED = ['LICENSE', 'README.md', 'binding.gyp', 'dist/index.js', 'dist/index.mjs', 'dist/index.d.ts', 'dist/index.d.mts'];

/** The package holds what its user needs, and nothing that tells where it was made. */
function checkContents(folder) {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const strangers = names.filter((name) => !BELONGS.some((pattern) => pattern.test(name)));
  assert.deepEqual(strangers, [], 'files that do not belong into the package');
  const missing = NEEDED.filter((name) => !names.includes(name));
  assert.deepEqual(missing, [], 'files that the package lacks');
  for (const name of names) {
    const place = /(?<![\w.:/])\/(home|root|work|tmp|Users)\/[\w./-]+/.exec(readFileSync(join(folder, name), 'utf8'));
    assert.equal(place?.[0], undefined, `${name} names a folder of the machine it was made on`);
  }
  const { dependencies, scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  assert.deepEqual(Object.keys(dependencies).sort(), ['bindings', 'node-addon-api']);
  for (const script of ['preinstall', 'install', 'postinstall']) assert.equal(scripts[script], undefined, `script ${script}`);
}

const SYSTEM_LIBRARIES = /^(libc|libm|libpthread|libdl|ld-linux[\w-]*)\.so\.\d$/;
const ENTRY_POINTS = /^(napi_register_module_v1|node_api_module_get_api_version_v1|_init|_fini)$/;

/** The addon needs no library that a slim container lacks, exports only Node's entry points, and stays loaded. */
function checkLinking(addon) {
  if (process.platform !== 'linux') return;
  const dynamic = run(root, 'readelf', '-dW', addon);
  const libraries = [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]);
  assert.ok(libraries.includes('libc.so.6'), `unexpected answer of readelf: ${dynamic}`);
  assert.deepEqual(
    libraries.filter((name) => !SYSTEM_LIBRARIES.test(name)),
    [],
    'libraries that the addon needs',
  );
  assert.match(dynamic, /NODELETE/);
  const symbols = lines(run(root, 'nm', '-D', '--defined-only', '--format=posix', addon)).map((line) => line.split(/[ @]/)[0]);
  assert.deepEqual(
    symbols.filter((name) => !ENTRY_POINTS.test(name)),
    [],
    'symbols that the addon exports',
  );
}

const USE = `
const layer = new pc.PartialConv1d(1, 1, 3, { padding: 1, bias: false });
layer.loadStateDict({ weight: pc.tensor([[[1, 1, 1]]]) });
const x = pc.tensor([[1, 2, NaN, 4, 5]]);
const y = layer.forward(x, pc.maskFromNaN(x)) as pc.Tensor;
if (JSON.stringify(y.toArray()) !== '[[4.5,4.5,9,13.5,13.5]]') throw new Error('wrong result ' + JSON.stringify(y.toArray()));
console.log(pc.info().addon);
`;
const SAME = `
import * as esm from 'partialconv';
import { createRequire } from 'node:module';
const cjs = createRequire(import.meta.url)('partialconv');
const names = Object.keys(cjs).filter((name) => name !== 'default' && name !== '__esModule');
const different = names.filter((name) => cjs[name] !== esm[name]);
if (names.length < 20 || different.length > 0) throw new Error('import and require differ in ' + (different.join() || 'everything'));
`;

/** The installed package computes through require and import, with the addon `expected`. */
function checkUse(folder, expected) {
  const script = USE.replace(' as pc.Tensor', '');
  writeFileSync(join(folder, 'use.cjs'), `const pc = require('partialconv');${script}`);
  writeFileSync(join(folder, 'use.mjs'), `import * as pc from 'partialconv';${script}`);
  writeFileSync(join(folder, 'same.mjs'), SAME);
  for (const program of ['use.cjs', 'use.mjs']) assert.equal(runNode(folder, program).trim(), expected, `the addon loaded by ${program}`);
  runNode(folder, 'same.mjs');
}

/** A program of the package's user compiles, as CommonJS and as an ES module, with every declaration checked. */
function checkTypes(folder) {
  writeFileSync(join(folder, 'types.cts'), `import pc = require('partialconv');${USE}`);
  writeFileSync(join(folder, 'types.mts'), `import * as pc from 'partialconv';${USE}`);
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable'];
  run(folder, tool('tsc'), ...options, '--types', 'node', '--typeRoots', join(root, 'node_modules', '@types'), 'types.cts', 'types.mts');
}

/** Installs as npm 12, pnpm and others do: without any script. */
function install(parent, name, tarball) {
  const folder = join(parent, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  run(folder, 'npm', 'install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--silent', tarball);
  return { folder, installed: join(folder, 'node_modules', 'partialconv') };
}

const rebuild = (installed) => runNode(installed, require.resolve('node-gyp/bin/node-gyp.js'), 'rebuild', ...nodedirArguments());

const checks = {
  'publint and attw find nothing'({ tarball }) {
    run(root, tool('publint'), 'run', '--strict', tarball);
    run(root, tool('attw'), '--no-color', tarball);
  },

  contents({ parent, tarball }) {
    run(parent, 'tar', '-xzf', tarball);
    checkContents(join(parent, 'package'));
  },

  'with a prebuilt addon: usable, typed, and a rebuild does nothing'({ parent, tarball }) {
    const { folder, installed } = install(parent, 'prebuilt', tarball);
    const prebuilt = join(installed, 'prebuilds', platformTag(), 'partialconv.node');
    mkdirSync(join(prebuilt, '..'), { recursive: true });
    copyFileSync(builtHere, prebuilt);
    checkUse(folder, prebuilt);
    checkTypes(folder);
    rebuild(installed);
    assert.ok(!existsSync(join(installed, 'build', 'Release', 'partialconv.node')), 'an addon was built beside the prebuilt one');
    checkUse(folder, prebuilt);
  },

  'without an addon: one diagnosis; then built from source'({ parent, tarball }) {
    const { folder, installed } = install(parent, 'source', tarball);
    const built = join(installed, 'build', 'Release', 'partialconv.node');
    const program =
      "try { require('partialconv'); } catch (e) { console.log(JSON.stringify({ name: e.name, code: e.code, message: e.message })); }";
    const error = JSON.parse(runNode(folder, '-e', program));
    assert.equal(error.name, 'DeviceError');
    assert.equal(error.code, 'ERR_DEVICE');
    const told = [
      built,
      join(installed, 'prebuilds', platformTag(), 'partialconv.node'),
      'no such file',
      'npx node-gyp rebuild',
      process.version,
    ];
    assert.deepEqual(
      told.filter((text) => !error.message.includes(text)),
      [],
      `missing in the message: ${error.message}`,
    );
    rebuild(installed);
    checkUse(folder, built);
    checkLinking(built);
  },

  'the addon needs only the C library'() {
    checkLinking(builtHere);
  },
};

const parent = mkdtempSync(join(tmpdir(), 'partialconv-package-'));
let failed = 0;
try {
  const [{ filename }] = JSON.parse(run(root, 'npm', 'pack', '--ignore-scripts', '--json', '--silent', '--pack-destination', parent));
  for (const [title, check] of Object.entries(checks)) {
    try {
      check({ parent, tarball: join(parent, filename) });
      console.log(`ok   ${title}`);
    } catch (error) {
      console.error(`FAIL ${title}\n${error.message}`);
      failed++;
    }
  }
} finally {
  rmSync(parent, { recursive: true, force: true });
}
process.exit(failed > 0 ? 1 : 0);
