// The example service over HTTP on the loopback.

import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { createService } from '../../examples/service';

describe('examples: service', () => {
  let server: Server;
  before(async () => {
    server = createService().listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => server.close());

  async function post(body: string, path = '/fill'): Promise<{ status: number; body: unknown }> {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
    const response = await fetch(url, { method: 'POST', body });
    return { status: response.status, body: await response.json() };
  }

  it('fills gaps and keeps what was posted', async () => {
    const series = [
      [1.1, null, 3.3, null, null, 6],
      [null, 2, 2, 2, null, null],
    ];
    const { status, body } = await post(JSON.stringify({ series }));
    expect(status).to.equal(200);
    const { filled } = body as { filled: number[][] };
    expect(filled[0]?.map((v) => Number(v.toFixed(4)))).to.deep.equal([1.1, 2.2, 3.3, 3.3, 6, 6]);
    expect(filled[1]?.map((v) => Number(v.toFixed(4)))).to.deep.equal([2, 2, 2, 2, 2, 2]);
  });

  it('answers bad input with a code and lives on', async () => {
    const cases: [string, number, string][] = [
      ['{', 400, 'BAD_SERIES'],
      ['null', 400, 'BAD_SERIES'],
      ['{"series": 3}', 400, 'BAD_SERIES'],
      ['{"series": [[1, "2"]]}', 400, 'BAD_SERIES'],
      ['{"series": [[1, 1e999]]}', 400, 'BAD_SERIES'],
      ['{"series": [[null, null]]}', 400, 'BAD_SERIES'],
      ['{"series": [[1, null], [1]]}', 400, 'ERR_SHAPE'],
      [' '.repeat((1 << 20) + 1), 413, 'TOO_LARGE'],
    ];
    for (const [text, status, code] of cases) {
      const answer = await post(text);
      expect([answer.status, (answer.body as { error: { code: string } }).error.code], text.slice(0, 40)).to.deep.equal([status, code]);
    }
    expect((await post('{}', '/elsewhere')).status).to.equal(404);
    expect((await post('{"series": [[5, null]]}')).body).to.deep.equal({ filled: [[5, 5]] });
  });
});
