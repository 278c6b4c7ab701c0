// Memory of a long synchronous training loop, measured in a process of its own: it stays flat, with and without tidy().
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';

interface Seen {
  readonly resident: number;
  readonly heap: number;
}

// MiB. V8 lets its young generation grow to 48 MiB and collects the old one rarely; what tensors and native code hold is outside.
const MOST_GROWTH = 20;
const MOST_GROWTH_WITH_HEAP = 40;

describe('10,000 training steps in one synchronous loop', () => {
  for (const mode of ['plain', 'tidy']) {
    it(`keep resident memory flat (${mode})`, () => {
      const program = join(__dirname, '..', 'support', 'training_steps.ts');
      const printed = execFileSync(process.execPath, ['--import', 'tsx', program, mode], { encoding: 'utf8' });
      const seen: Seen[] = JSON.parse(printed);
      expect(seen).to.have.length(10);
      // Until V8's heap and the allocator have their working size, memory grows; from half way on it is flat.
      const [first, last] = [seen[4] as Seen, seen[9] as Seen];
      const outside = ({ resident, heap }: Seen) => resident - heap;
      expect(outside(last) - outside(first), `outside V8's heap, MiB: ${printed}`).to.be.below(MOST_GROWTH);
      expect(last.resident - first.resident, `resident, MiB: ${printed}`).to.be.below(MOST_GROWTH_WITH_HEAP);
    });
  }
});
