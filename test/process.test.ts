// The addon in a process: loading and its failures, worker threads, and ends while a job runs. Each case is a process of its own.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { cmakeFolder, needsCMakeBuild, root } from './support/cmake_build';

interface Ending {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

const LIBRARY = join(root, 'ts', 'index.ts');
const JOB = 'new pc.Conv1d(64, 64, 9).forwardAsync(pc.zeros([16, 64, 20000]))'; // some 10^10 multiply-adds

/** Runs JavaScript in which `pc()` loads the library and `worker(code)` starts a thread that has `pc`. */
function run(code: string, env: Record<string, string> = {}): Ending {
  const prelude = `
    const { Worker } = require('node:worker_threads');
    const load = () => require(${JSON.stringify(LIBRARY)});
    const ended = (worker) => new Promise((resolve, reject) => worker.on('error', reject).on('exit', resolve));
    const worker = (code) => new Worker('const { parentPort } = require("node:worker_threads"); require("tsx/cjs"); const pc = require(' +
      ${JSON.stringify(JSON.stringify(LIBRARY))} + ');' + code, { eval: true });
    (async () => {${code}})().catch((error) => { console.error(error); process.exit(99); });`;
  const options = { cwd: root, env: { ...process.env, ...env }, encoding: 'utf8' as const };
  return spawnSync(process.execPath, ['--import', 'tsx', '--eval', prelude], options);
}

function expectSilentEnd(ending: Ending, status = 0): void {
  expect(ending).to.include({ status, signal: null, stdout: '' }, ending.stderr);
}

describe('a process', () => {
  it('loads the library without a word on stdout or stderr', () => {
    expect(run('load()')).to.include({ status: 0, stderr: '', stdout: '' });
  });

  it('stays alive until an async job is done', () => {
    const { status, stdout } = run(`const pc = load(); ${JOB}.then((y) => console.log(String(y.shape)));`);
    expect({ status, stdout }).to.deep.equal({ status: 0, stdout: '16,64,19992\n' });
  });

  it('may exit while an async job runs', () => {
    expectSilentEnd(run(`const pc = load(); ${JOB}; ${JOB}; process.exit(7);`), 7);
    expectSilentEnd(run(`const pc = load(); ${JOB}; setTimeout(() => process.exit(7), 20);`), 7);
  });

  it('lives on when a worker is terminated while it starts', () => {
    expectSilentEnd(
      run(`for (let i = 0; i < 3; i++) { const w = worker(${JSON.stringify(`${JOB};`)}); const end = ended(w);
      await new Promise((resolve) => w.once('online', resolve)); await w.terminate(); await end; }`),
    );
  });

  it('lives on when a worker is terminated in the middle of a job', () => {
    const code = JSON.stringify(`${JOB}; parentPort.postMessage('started'); setInterval(() => {}, 1000);`);
    expectSilentEnd(
      run(`for (let i = 0; i < 3; i++) { const w = worker(${code}); const end = ended(w);
      await new Promise((resolve) => w.once('message', resolve)); await w.terminate(); await end; }`),
    );
  });

  it('lives on after the last of several workers that alone loaded the addon', () => {
    const code = JSON.stringify('new pc.Conv1d(8, 8, 3).forward(pc.zeros([4, 8, 5000]));');
    expectSilentEnd(
      run(`for (let i = 0; i < 4; i++) if (await ended(worker(${code})) !== 0) process.exit(1);
      await Promise.all([1, 2, 3].map(() => ended(worker(${code}))));
      await new Promise((resolve) => setTimeout(resolve, 100));`),
    );
  });

  it('computes the same in workers and in the main thread at once', () => {
    const code = 'pc.manualSeed(5); const y = new pc.Conv1d(16, 16, 3).forward(pc.randn([4, 16, 4000])).sum().item();';
    const { status, stdout, stderr } = run(`const pc = load(); ${code}
      const others = await Promise.all([1, 2, 3].map(() => new Promise((resolve, reject) =>
        worker(${JSON.stringify(`${code} parentPort.postMessage(y);`)}).once('message', resolve).once('error', reject))));
      console.log(others.every((other) => other === y) && Number.isFinite(y));`);
    expect({ status, stdout }).to.deep.equal({ status: 0, stdout: 'true\n' }, stderr);
  });
});

describe('loading', () => {
  needsCMakeBuild();
  const folder = mkdtempSync(join(tmpdir(), 'partialconv-load-'));
  after(() => rmSync(folder, { recursive: true }));

  function loadError(addon: string): { name: string; code: string; message: string } {
    const report = 'try { load(); } catch ({ name, code, message }) { console.log(JSON.stringify({ name, code, message })); }';
    return JSON.parse(run(report, { PARTIALCONV_ADDON: addon }).stdout);
  }

  it('PARTIALCONV_ADDON names the addon', () => {
    const addon = join(root, 'build', 'Release', 'partialconv.node');
    expect(run('console.log(load().info().addon)', { PARTIALCONV_ADDON: addon }).stdout).to.equal(`${addon}\n`);
  });

  it('a missing addon is diagnosed once, with path, reason and command', () => {
    const missing = join(folder, 'missing.node');
    const { name, code, message } = loadError(missing);
    expect({ name, code }).to.deep.equal({ name: 'DeviceError', code: 'ERR_DEVICE' });
    expect(message).to.include(`${missing}: no such file`).and.include('npx node-gyp rebuild').and.include(process.version);
  });

  it("a file that is no addon is diagnosed with the loader's reason", () => {
    const broken = join(folder, 'broken.node');
    writeFileSync(broken, 'not an addon');
    const { name, message } = loadError(broken);
    expect(name).to.equal('DeviceError');
    expect(message).to.match(/broken\.node: .*(file too short|invalid ELF header|not a mach-o|slice is not valid)/i);
  });

  it('an addon of another version is refused', () => {
    const { name, message } = loadError(join(cmakeFolder, 'stale_addon.node'));
    expect(name).to.equal('DeviceError');
    expect(message).to.include('it is a build of another version (ABI 0, expected ');
  });
});
