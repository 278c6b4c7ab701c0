// What scripts/pack_gpu.cjs packs runs in an empty folder, with no Node in PATH: here with the addon on the fake in place of the real one.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect } from 'chai';
import { cmakeFolder, needsCMakeBuild, root } from '../support/cmake_build';
import { fakePath } from './on_fake';
import { describeOnFake } from './on_gpu';

const folder = join(root, 'build', 'cuda_tests', 'carried');
const tools = join(folder, 'tools');

/** A folder with the programs that run.sh needs, alone. */
function makeTools(): void {
  mkdirSync(tools);
  const python = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim();
  for (const name of ['bash', 'dirname']) {
    const found = (process.env.PATH ?? '').split(delimiter).map((place) => join(place, name));
    symlinkSync(found.find((path) => existsSync(path)) ?? name, join(tools, name));
  }
  symlinkSync(python, join(tools, 'python3'));
}

function runCarried(args: readonly string[], env: Record<string, string> = {}) {
  const home = { HOME: folder, XDG_CACHE_HOME: join(folder, 'cache'), PATH: tools, ...env };
  const { status, signal, stdout, stderr } = spawnSync(join(tools, 'bash'), [join(folder, 'run.sh'), ...args], {
    encoding: 'utf8',
    env: home,
  });
  return { ended: signal ?? status, stdout, stderr, all: `${stdout}${stderr}` };
}

describeOnFake('a carried tree', function () {
  this.timeout(600_000);
  needsCMakeBuild();

  before(() => {
    execFileSync('npm', ['run', '--silent', 'build:examples'], { cwd: root, stdio: 'pipe' });
    const args = [join(root, 'scripts', 'pack_gpu.cjs'), '--folder', folder, '--no-archive'];
    execFileSync(process.execPath, args, { env: { ...process.env, PARTIALCONV_CUDA_ADDON: fakePath }, stdio: 'pipe' });
    makeTools();
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const what of ['test', 'bench']) {
    it(`without a GPU: "${what}" fails and says why`, () => {
      const { ended, stderr } = runCarried([what], { PARTIALCONV_CUDA_ADDON: join(cmakeFolder, 'partialconv.node') });
      expect(ended, stderr).to.equal(1);
      expect(stderr).to.match(
        /:gpu: no CUDA device can be used here, and nothing was (tested|measured): .*partialconv\.node is no CUDA addon/,
      );
    });
  }

  it('runs the cases of a GPU, and says which of its parts cannot run', () => {
    const { ended, all } = runCarried(['test'], { MOCHA_OPTIONS: '--grep on..cuda', PARTIALCONV_FUZZ_SECONDS: '1' });
    expect(ended, all).to.equal(0);
    const [, passed, failed, skipped] = /(\d+) passed, (\d+) failed, (\d+) skipped/.exec(all) ?? [];
    expect(Number(passed), all).to.be.above(100);
    expect([failed, skipped]).to.deep.equal(['0', '0']);
    if (!all.includes('== test:gpu: memcheck\n')) expect(all).to.match(/compute-sanitizer is NOT installed here .*: racecheck did NOT run/);
  });

  it('runs the op tests in compute-sanitizer, here in a stand-in that checks nothing', () => {
    const sanitizer = join(tools, 'compute-sanitizer');
    writeFileSync(sanitizer, '#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do shift 2; done\nexec "$@"\n', { mode: 0o755 });
    const { ended, all } = runCarried(['test', 'memcheck'], { MOCHA_OPTIONS: '--grep maskBits|fuzzed', PARTIALCONV_FUZZ_SECONDS: '1' });
    expect(ended, all).to.equal(0);
    expect(all).to.match(/== test:gpu: memcheck\n[\s\S]*\n3 passed, 0 failed, 0 skipped\n/);
  });

  it('benchmarks: every row has our time, PyTorch or why it is absent', () => {
    const json = join(folder, 'bench.json');
    const { ended, all } = runCarried(['bench', '--small', '--torch-device', 'cpu', '--precision', 'TF32,float16', '--json', json]);
    expect(ended, all).to.equal(0);
    const { results, missing } = JSON.parse(readFileSync(json, 'utf8'));
    expect(results).to.have.length.above(20);
    for (const { title, entries } of results) {
      expect(entries[0].ms, title).to.be.above(0);
      for (const { who, ms, absent } of entries)
        expect(absent ?? ms, `${title}, ${who}: ${missing}`).to.satisfy((v: unknown) => Boolean(v));
    }
  });
});
