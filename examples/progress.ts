// One line on stderr that shows how far the work is; silent when stderr is not a terminal.

export interface Progress {
  step(label: string): void;
  end(): void;
}

export function progress(total: number, stream: NodeJS.WriteStream = process.stderr): Progress {
  if (!stream.isTTY) return { step() {}, end() {} };
  let done = 0;
  return {
    step(label) {
      const width = Math.round((20 * done) / total);
      stream.write(`\r\x1b[K[${'#'.repeat(width).padEnd(20)}] ${done}/${total} ${label}`);
      done = Math.min(done + 1, total);
    },
    end() {
      stream.write('\r\x1b[K');
    },
  };
}
