// The two build systems: the addons that node-gyp and cmake-js build export the same names and compute the same bits.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { cmakeFolder, needsCMakeBuild, root } from './support/cmake_build';

interface Digest {
  addon: string;
  exports: string[];
  digests: Record<string, string>;
}

function digestOf(addon: string): Digest {
  const program = join(__dirname, 'support', 'build_digest.ts');
  const env = { ...process.env, PARTIALCONV_ADDON: addon };
  return JSON.parse(execFileSync(process.execPath, ['--import', 'tsx', program], { cwd: root, env, encoding: 'utf8' }));
}

describe('the builds by node-gyp and by cmake-js', () => {
  let gyp: Digest;
  let cmake: Digest;

  needsCMakeBuild();
  before(() => {
    gyp = digestOf(join(root, 'build', 'Release', 'partialconv.node'));
    cmake = digestOf(join(cmakeFolder, 'partialconv.node'));
  });

  it('are two files', () => {
    expect(gyp.addon).to.equal(join(root, 'build', 'Release', 'partialconv.node'));
    expect(cmake.addon).to.equal(join(cmakeFolder, 'partialconv.node'));
  });

  it('export the same names', () => {
    expect(cmake.exports).to.deep.equal(gyp.exports);
    expect(gyp.exports).to.include('convForward');
  });

  it('compute the same bits', () => {
    expect(Object.keys(gyp.digests)).to.have.length.above(3);
    expect(cmake.digests).to.deep.equal(gyp.digests);
  });
});
