// Runs the native tests (test/native/*_test.cc), plain C++ programs without Node: they link the ops and the CPU backend alone.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { cmakeFolder, needsCMakeBuild } from './support/cmake_build';

const sources = readdirSync(join(__dirname, 'native')).filter((name) => name.endsWith('_test.cc'));

describe('native tests', () => {
  needsCMakeBuild();

  it('exist', () => expect(sources).to.include('engine_test.cc'));

  for (const source of sources) {
    it(source, () => {
      const { status, signal, stdout, stderr } = spawnSync(join(cmakeFolder, source.replace('.cc', '')), { encoding: 'utf8' });
      expect(status, `${signal ?? ''}\n${stdout}${stderr}`).to.equal(0);
    });
  }
});
