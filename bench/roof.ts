// Compiles and runs native/roof.cc: the machine's measured roof.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

export interface Roof {
  readonly gflops: number;
  readonly copyGBs: number;
}

const folder = join(__dirname, '..', 'build', 'bench');
const program = join(folder, 'roof');

export function buildRoof(): void {
  mkdirSync(folder, { recursive: true });
  const source = join(__dirname, 'native', 'roof.cc');
  execFileSync(process.env.CXX || 'g++', ['-std=c++20', '-O3', '-march=native', '-pthread', source, '-o', program]);
}

export const measureRoof = (threads: number): Roof => JSON.parse(execFileSync(program, [String(threads)], { encoding: 'utf8' })) as Roof;
