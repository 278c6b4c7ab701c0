// Builds the addon and the native tests with cmake-js, once a process; where nothing changed that takes a second.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

export const root = join(__dirname, '..', '..');

/** Where cmake-js puts the addon and the native tests. */
export const cmakeFolder = join(root, 'build', 'cmake', 'Release');

let built = false;

/** @throws Error with the build's output */
function build(): void {
  if (built) return;
  const { status, stdout, stderr, error } = spawnSync('npm', ['run', '--silent', 'build:cmake'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm run build:cmake failed:\n${error ?? ''}${stdout}${stderr}`);
  built = true;
}

/** Before the tests of the describe() around: the build is there. It takes as long as it takes. */
export function needsCMakeBuild(): void {
  before(function () {
    this.timeout(0);
    build();
  });
}
