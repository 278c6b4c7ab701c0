// A small HTTP service: fills the gaps (null) in posted series off the event loop. node build/examples/service.js, then
// curl -d '{"series": [[1, null, 3, null, null, 6]]}' http://127.0.0.1:8080/fill
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { DTypeError, maskFromNaN, PartialConv1d, ShapeError, tensor } from 'partialconv';

const MAX_BYTES = 1 << 20;

class RequestError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export function createService(): Server {
  return createServer({ requestTimeout: 10_000 }, async (request, response) => {
    let [status, body]: [number, object] = [200, {}];
    try {
      if (request.method !== 'POST' || request.url !== '/fill') throw new RequestError(404, 'NOT_FOUND', 'expected POST /fill');
      body = { filled: await fill(parseSeries(await readBody(request))) };
    } catch (error) {
      status = error instanceof RequestError ? error.status : error instanceof ShapeError || error instanceof DTypeError ? 400 : 500;
      const { code = 'INTERNAL', message } = error as { code?: string; message: string };
      body = { error: status === 500 ? { code: 'INTERNAL', message: 'the service failed' } : { code, message } };
      if (status === 500) console.error(error);
    }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
}

/** Reads to the end, so that the answer reaches the client, but keeps no more than is allowed. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= MAX_BYTES) chunks.push(chunk);
  }
  if (bytes > MAX_BYTES) throw new RequestError(413, 'TOO_LARGE', `expected at most ${MAX_BYTES} bytes, but got ${bytes}`);
  return Buffer.concat(chunks).toString('utf8');
}

function parseSeries(text: string): number[][] {
  const bad = (message: string): RequestError => new RequestError(400, 'BAD_SERIES', message);
  let series: unknown;
  try {
    series = (JSON.parse(text) as { series?: unknown } | null)?.series;
  } catch {
    throw bad('the body is not JSON');
  }
  if (!Array.isArray(series) || !series.every(Array.isArray)) throw bad('expected {"series": [[number or null, ...], ...]}');
  return series.map((row: unknown[], i) => {
    if (!row.every((v) => v === null || Number.isFinite(v))) throw bad(`series ${i} has a value that is neither a number nor null`);
    if (row.every((v) => v === null)) throw bad(`series ${i} has no value to start from`);
    return row.map((v) => (v === null ? Number.NaN : (v as number)));
  });
}

/** Every layer takes the mean of what is known up to twice as far away, until the mask is full; known values stay. */
async function fill(series: number[][]): Promise<number[][]> {
  let x = tensor(series); // rows of different lengths are a ShapeError
  const [channels = 0, length = 0] = x.shape;
  let mask = maskFromNaN(x);
  let rows = series;
  for (let dilation = 1; rows.some((row) => row.some(Number.isNaN)); dilation *= 2) {
    const options = { dilation, padding: 'same', groups: channels, multiChannel: true, bias: false } as const;
    const layer = new PartialConv1d(channels, channels, 3, options);
    layer.loadStateDict({ weight: tensor(new Float32Array(3 * channels).fill(1 / 3), { shape: [channels, 1, 3] }) });
    const [y, updatedMask] = await layer.forwardAsync(x, mask, { returnMask: true });
    const [values, reached] = [y.readSync(), updatedMask.readSync()];
    const at = (c: number, t: number): number => (reached[c * length + t] ? Number(values[c * length + t]) : Number.NaN);
    rows = rows.map((row, c) => row.map((known, t) => (Number.isNaN(known) ? at(c, t) : known)));
    [x, mask] = [tensor(rows), updatedMask];
  }
  return rows;
}

if (require.main === module) {
  const port = Number(process.env.PORT ?? 8080);
  createService().listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}/fill`));
}
