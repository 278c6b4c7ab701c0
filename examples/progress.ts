// One line on stderr that shows how far the work is; silent when stderr is not a terminal.

export interface Progress {
  /** @param share of the work that is done, from 0 to 1 */
  show(share: number, label: string): void;
  end(): void;
}

export function progress(stream: NodeJS.WriteStream = process.stderr): Progress {
  if (!stream.isTTY) return { show() {}, end() {} };
  return {
    show(share, label) {
      const line = `[${'#'.repeat(Math.round(20 * share)).padEnd(20)}] ${String(Math.round(100 * share)).padStart(3)} % ${label}`;
      stream.write(`\r\x1b[K${line.slice(0, Math.max(stream.columns || 80, 2) - 1)}`);
    },
    end() {
      stream.write('\r\x1b[K');
    },
  };
}
