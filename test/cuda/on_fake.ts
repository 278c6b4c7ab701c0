// 'cuda' in tests without a GPU: the addon on test/cuda/fake, what it counts and the failures it injects.
import { join } from 'node:path';
import { backend, useCudaAddon } from '../../ts/device';
import { loadCuda, type Native } from '../../ts/native';
import { cmakeFolder, needsCMakeBuild, root } from '../support/cmake_build';

type Name =
  | 'devices'
  | 'memory'
  | 'used'
  | 'launches'
  | 'threads'
  | 'vectors'
  | 'allocations'
  | 'executions'
  | 'plans'
  | 'restored'
  | 'fused'
  | 'uploads'
  | 'downloads'
  | 'peerCopies'
  | 'captured'
  | 'graphs'
  | 'graphLaunches'
  | 'waits'
  | 'lastEngine'
  | 'refuseFused'
  | 'compileTime'
  | 'failCall'
  | 'failLaunch'
  | 'noCode'
  | 'failExecute'
  | 'failGraph'
  | 'failLate'
  | 'engines'
  | 'wrongEngines'
  | 'fastEngine'
  | 'plainTime'
  | 'fusedTime'
  | 'launchTime';

interface Fake {
  get(name: Name): number;
  set(name: Name, value: number): void;
  /** Launches of kernels whose C++ name contains a text. */
  launchesOf(text: string): number;
}

/** Where the plans of these tests are kept on disk. */
export const planFolder = join(root, 'build', 'cuda_tests', 'cache');

export const fakePath = join(cmakeFolder, 'cuda_fake.node');

/** The addon on the fake, once it is built. */
export function fakeAddon(): Native & { readonly fake: Fake } {
  const loaded = loadCuda(fakePath);
  if (typeof loaded === 'string') throw new Error(loaded);
  return loaded.addon as Native & { readonly fake: Fake };
}

/** What the fake counts and injects. */
export const fake: Fake = {
  get: (name) => fakeAddon().fake.get(name),
  set: (name, value) => fakeAddon().fake.set(name, value),
  launchesOf: (text) => fakeAddon().fake.launchesOf(text),
};

/** How much a count rises while fn runs. */
export function counted(name: Name, fn: () => void): number {
  const before = fake.get(name);
  fn();
  return fake.get(name) - before;
}

/** For the tests of the describe() around: 'cuda' and 'cuda:1' are devices of the fake. */
export function needsFakeCuda(): void {
  needsCMakeBuild();
  const cache = process.env.XDG_CACHE_HOME;
  before(() => {
    process.env.XDG_CACHE_HOME = planFolder; // where plans are kept
    fakeAddon().fake.set('devices', 2);
    fakeAddon().fake.set('refuseFused', 1); // which kernels run then does not depend on how far a thread is
    useCudaAddon(fakePath);
    backend('cuda').waitForPlans(); // what threads of the tests before still run would meet the failures that are injected here
  });
  afterEach(() => {
    for (const name of ['failCall', 'failLaunch', 'noCode', 'failExecute', 'failGraph', 'failLate'] as const) fake.set(name, 0);
  });
  after(() => {
    useCudaAddon(null);
    if (cache === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = cache;
  });
}
