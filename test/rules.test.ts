// The rules of the architecture, grepped: who may include and import whom, names on both sides of the binding, the shape of files.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect } from 'chai';
import { native } from '../ts/native';

const root = join(__dirname, '..');
const SOURCE = /\.(ts|mts|cts|cjs|mjs|cc|h|inc|cu|cuh|py)$/;

const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Source files under folders of the repository, as paths from its root. */
function filesIn(...folders: string[]): string[] {
  return folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)))
    .filter((file) => SOURCE.test(file))
    .sort();
}

/** `file: text` for each match of a pattern in files; what a rule expects to be empty. */
function matches(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((file) => [...read(file).matchAll(pattern)].map(([text]) => `${file}: ${text.trim()}`));
}

describe('rules of the native sources', () => {
  const sources = filesIn('native');
  const outside = (folder: string) => sources.filter((file) => !file.startsWith(`native/${folder}/`));
  const inside = (folder: string) => sources.filter((file) => file.startsWith(`native/${folder}/`));

  it('only addon/ knows Node', () => {
    expect(matches(outside('addon'), /#\s*include\s*[<"](napi|node_api|js_native_api|node|v8|uv)\.h.*/g)).to.deep.equal([]);
    expect(matches(inside('addon'), /#\s*include\s*[<"](node|v8|uv)\.h.*/g)).to.deep.equal([]);
  });

  it('only cuda/ knows CUDA and cuDNN', () => {
    expect(matches(outside('cuda'), /#\s*include\s*[<"](cuda[_.]|cudnn|nvrtc|cublas|cub\/|thrust\/).*/g)).to.deep.equal([]);
  });

  it('the backends do not know each other, nor ops/ nor addon/', () => {
    expect(matches(inside('cpu'), /#\s*include\s*".*(cuda|ops|addon)\/.*/g)).to.deep.equal([]);
    expect(matches(inside('cuda'), /#\s*include\s*".*(cpu|ops|addon)\/.*/g)).to.deep.equal([]);
  });

  it('addon/ and ops/ reach a backend only through the headers of native/', () => {
    expect(matches([...inside('addon'), ...inside('ops')], /#\s*include\s*".*(cpu|cuda)\/.*/g)).to.deep.equal([]);
  });

  it('no op includes another op', () => {
    expect(matches(inside('ops'), /#\s*include\s*"(?!\.\.\/\w+\.h").*/g)).to.deep.equal([]);
  });

  it('the only switch between the backends is in device.h, and the only one between a GPU and its host in cuda/instructions.h', () => {
    const others = sources.filter((file) => !['native/device.h', 'native/cuda/instructions.h'].includes(file));
    expect(matches(others, /^\s*#\s*(if|ifdef|ifndef|elif)\b.*(PARTIALCONV_CUDA|__CUDACC__|__NVCC__|__CUDA_ARCH__).*/gm)).to.deep.equal([]);
    expect(read('native/device.h').match(/#\s*if/g)).to.have.length(1);
  });
});

describe('rules of the TypeScript sources', () => {
  /** From left to right; a file imports from its own group or from one further right. */
  const GROUPS = [
    ['index'],
    ['io/', 'optim/', 'nn/'],
    ['ops/'],
    ['autograd'],
    ['from_data'],
    ['create'],
    ['nested', 'random'],
    ['scalar'],
    ['tensor'],
    ['storage', 'context'],
    ['memory_pool', 'device'],
    ['native'],
    ['dtype', 'options'],
    ['describe', 'errors'],
  ];
  const sources = filesIn('ts').filter((file) => file.endsWith('.ts'));
  const moduleOf = (file: string) => file.replace(/^ts\//, '').replace(/\.ts$/, '');
  const groupOf = (module: string) =>
    GROUPS.findIndex((group) => group.some((name) => (name.endsWith('/') ? module.startsWith(name) : module === name)));
  const folderOf = (module: string) => (module.includes('/') ? dirname(module) : module);

  /** Every module's imports from the library itself. */
  const imports = new Map(
    sources.map((file) => {
      const names = [...read(file).matchAll(/(?:from|import|require\()\s*'(\.[^']*)'/g)].map(([, path = '']) => join(dirname(file), path));
      return [moduleOf(file), names.map(moduleOf).filter((module) => existsSync(join(root, 'ts', `${module}.ts`)))];
    }),
  );

  it('every file has its place', () => {
    expect([...imports.keys()].filter((module) => groupOf(module) < 0)).to.deep.equal([]);
  });

  it('imports point rightwards', () => {
    const wrong = [...imports].flatMap(([module, names]) =>
      names
        .filter((name) => (groupOf(name) === groupOf(module) ? folderOf(name) !== folderOf(module) : groupOf(name) < groupOf(module)))
        .map((name) => `${module} -> ${name}`),
    );
    expect(wrong).to.deep.equal([]);
  });

  it('imports make no circle', () => {
    const circles: string[] = [];
    const done = new Set<string>();
    const visit = (module: string, path: readonly string[]): void => {
      if (path.includes(module)) circles.push([...path.slice(path.indexOf(module)), module].join(' -> '));
      if (done.has(module) || path.includes(module)) return;
      for (const name of imports.get(module) ?? []) visit(name, [...path, module]);
      done.add(module);
    };
    for (const module of imports.keys()) visit(module, []);
    expect(circles).to.deep.equal([]);
  });

  it("only device.ts branches on a device's name", () => {
    const others = sources.filter((file) => file !== 'ts/device.ts');
    expect(matches(others, /([!=]==?\s*|case |startsWith\(|includes\()['"`](cpu|cuda).*/g)).to.deep.equal([]);
  });

  it('what comes from npm is bindings alone', () => {
    const packages = matches(sources, /(?:from|require\()\s*'(?!\.|node:).*/g);
    expect(packages).to.deep.equal(["ts/native.ts: require('bindings');"]);
  });
});

describe('the binding', () => {
  const camelCase = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  const ops = [...read('native/ops.h').matchAll(/^void (\w+)\(Context&/gm)].map(([, name = '']) => camelCase(name));
  const interfaceText = /export interface Native \{([\s\S]*?)\n\}/.exec(read('ts/native.ts'))?.[1] ?? '';
  const declared = [...interfaceText.matchAll(/^ {2}(?:readonly )?(\w+)[(:]/gm)].map(([, name = '']) => name);

  it('exports every op of ops.h', () => {
    expect(ops).to.include('convForward');
    expect(ops.filter((name) => !(name in native))).to.deep.equal([]);
  });

  it('exports exactly what ts/native.ts declares', () => {
    const path = 'path'; // bindings adds it
    expect(Object.keys(native).sort()).to.deep.equal([...declared, path].sort());
  });

  it('has one ABI number', () => {
    const numbers = [/kAbi = (\d+)/.exec(read('native/addon/addon.cc'))?.[1], /const ABI = (\d+)/.exec(read('ts/native.ts'))?.[1]];
    expect(numbers).to.deep.equal([String(native.abi), String(native.abi)]);
  });

  it('has a test for every file of native/ops', () => {
    const bases = filesIn('native/ops').map((file) => basename(file).replace(/\.\w+$/, ''));
    expect(bases.filter((base) => !existsSync(join(root, 'test', 'ops', `${base}.test.ts`)))).to.deep.equal([]);
  });
});

describe('rules of all files', () => {
  const sources = [...filesIn('ts', 'native', 'test', 'bench', 'examples', 'scripts'), '.ci/run', 'binding.gyp', 'CMakeLists.txt'];
  const manifest = JSON.parse(read('package.json'));

  it('the first line says what a file is for', () => {
    const firstLines = sources.map(
      (file) =>
        [
          file,
          read(file)
            .replace(/^#!.*\n/, '')
            .split('\n')[0] ?? '',
        ] as const,
    );
    expect(firstLines.filter(([, line]) => !/^(\/\/|#|"""|\/\*\*) ?\S.{10}/.test(line))).to.deep.equal([]);
  });

  it('a file of more than 300 lines says in its first line why it is long', () => {
    const long = sources.filter((file) => read(file).split('\n').length > 301);
    expect(long.filter((file) => !/\blong\b/i.test(read(file).split('\n')[0] ?? ''))).to.deep.equal([]);
  });

  it('no file names a folder or host of any one machine', () => {
    const here = /(?<![\w.:/])\/(home|root|work|Users|usr\/local|opt)\/\w|\b(192\.168|10\.\d+)\.\d+\.\d/g;
    const others = sources.filter((file) => file !== 'test/rules.test.ts' && file !== 'scripts/check_package.cjs');
    expect(matches([...others, 'package.json', 'biome.json', '.npmrc'], here)).to.deep.equal([]);
  });

  it('the lock file names no hosts to download from', () => {
    expect(read('package-lock.json').match(/"resolved": "[^"]*/g)).to.equal(null);
  });

  it('the lock file has the binaries for every platform', () => {
    const packages: Record<string, { optionalDependencies?: Record<string, string> }> = JSON.parse(read('package-lock.json')).packages;
    const needed = Object.values(packages).flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies));
    const present = Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, ''));
    expect(needed.filter((name) => !present.includes(name))).to.deep.equal([]);
  });

  it('the package needs bindings and node-addon-api and has no install script', () => {
    expect(Object.keys(manifest.dependencies)).to.deep.equal(['bindings', 'node-addon-api']);
    expect(manifest).to.not.have.any.keys('optionalDependencies', 'peerDependencies', 'bundleDependencies');
    expect(manifest.scripts).to.not.have.any.keys('preinstall', 'install', 'postinstall');
    expect(manifest.gypfile).to.equal(false);
  });

  it('README names every environment variable', () => {
    const reads = /(?:process\.env\.|getenv\("|environ(?:\.get)?[[(]['"])(PARTIALCONV_\w+)/g;
    const names = new Set(
      filesIn('ts', 'native', 'bench', 'test').flatMap((file) => [...read(file).matchAll(reads)].map(([, name]) => name)),
    );
    expect([...names].filter((name) => !read('README.md').includes(name as string))).to.deep.equal([]);
  });
});
