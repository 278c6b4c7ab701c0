// README is run as written: its example prints what it says, its training code is that of examples/train.ts.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';

const root = join(__dirname, '..');
const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code as string);

describe('README', () => {
  /** The lines that a block prints. */
  function run(block: string | undefined): string[] {
    const folder = join(root, 'build', 'readme');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'example.mjs'), block as string);
    const printed = execFileSync(process.execPath, [join(folder, 'example.mjs')], { cwd: root, encoding: 'utf8' });
    return printed.trim().split('\n');
  }

  it('has an example that runs', () => {
    const lines = run(blocks[0]);
    expect(lines[0]).to.match(/^\[ 1, 4, 8 \]/);
    expect(lines.at(-1)).to.equal('[ 1, 1, 8 ]');
    expect(lines.join('\n')).not.to.contain('NaN');
  });

  it('has an example of mixed precision that learns', () => {
    const [first, last, ...more] = run(blocks[2]).map((line) => /^step \d+: loss ([\d.]+) in float32$/.exec(line)?.[1]);
    expect(Number(last)).to.be.below(Number(first) / 1.1);
    expect(more).to.deep.equal([]);
  });

  it('has an example of compile() that gives what forward() gives', () => {
    expect(run(blocks[3])).to.deep.equal(['[ 1, 8, 64 ] 0']);
  });

  it('shows the training loop of examples/train.ts', () => {
    const source = readFileSync(join(root, 'examples', 'train.ts'), 'utf8');
    const shown = (blocks[1] as string).split('\n').filter((line) => line.trim() !== '' && !line.startsWith('// ...'));
    expect(shown.length).to.be.greaterThan(30);
    for (const line of shown) expect(source, line).to.contain(line);
  });
});
