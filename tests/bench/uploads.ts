import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { until } from '../support/process.ts';
import { World } from '../support/world.ts';
import { resetPeak, standing } from './measure.ts';

/** The server under many uploads at once. */
export interface Uploads {
  readonly parallel: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly idleBytes: number;
  readonly peakBytes: number;
  readonly cpuSeconds: number;
  readonly loopMaxMs: number;
  readonly loopP99Ms: number;
}

const PACK_BYTES = 16 * 1024 * 1024;

/** `parallel` clients send `each` packs of 16 MiB one after the other, all of them at the same time. */
export async function measureUploads(parallel: number, each: number, work: string): Promise<Uploads> {
  const file = join(work, 'loop.json');
  const probe = pathToFileURL(join(import.meta.dirname, 'loop-probe.mjs')).href;
  const env = { NODE_OPTIONS: `--import ${probe}`, LOOP_PROBE_FILE: file };
  await using world = await World.create({ env: {} });
  await world.server.stop();
  await world.server.start({ env });
  const { first } = await world.household();
  const token = readFileSync(join(first.home, 'token'), 'utf8').trim();
  const keepAlive = new HttpAgent({ keepAlive: true, maxSockets: parallel });
  const before = standing(world.server.pid);
  await ask(world, file); // forgets what starting cost
  resetPeak(world.server.pid);
  const body = randomBytes(PACK_BYTES);
  const begun = performance.now();
  const client = async (number: number): Promise<void> => {
    for (let n = 0; n < each; n++) await put(world.server.url, token, numbered(body, number * each + n), keepAlive);
  };
  await Promise.all(Array.from({ length: parallel }, (_, number) => client(number)));
  const seconds = (performance.now() - begun) / 1_000;
  const after = standing(world.server.pid);
  const loop = await ask(world, file);
  keepAlive.destroy();
  return {
    parallel,
    bytes: parallel * each * PACK_BYTES,
    seconds,
    idleBytes: before.peakBytes,
    peakBytes: after.peakBytes,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    loopMaxMs: loop.maxMs,
    loopP99Ms: loop.p99Ms,
  };
}

async function ask(world: World, file: string): Promise<{ maxMs: number; p99Ms: number }> {
  const since = Date.now();
  process.kill(world.server.pid, 'SIGUSR2');
  const { readFile, stat } = await import('node:fs/promises');
  await until(
    async () => ((await stat(file).catch(() => undefined))?.mtimeMs ?? 0) >= since - 5 || undefined,
    () => 'the probe does not answer',
  );
  return JSON.parse(await readFile(file, 'utf8')) as { maxMs: number; p99Ms: number };
}

function numbered(body: Buffer, number: number): Buffer {
  const own = Buffer.from(body);
  own.writeUInt32BE(number, 0);
  return own;
}

async function put(url: string, token: string, body: Buffer, agent: HttpAgent): Promise<void> {
  const id = createHash('sha256').update(body).digest('hex');
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/octet-stream',
    'content-length': body.length,
  };
  const sending = request(`${url}/v1/packs/${id}`, { method: 'PUT', agent, headers });
  sending.end(body);
  const [answer] = (await once(sending, 'response')) as [IncomingMessage];
  let text = '';
  for await (const piece of answer) text += String(piece);
  if (answer.statusCode !== 201) throw new Error(`PUT answered ${answer.statusCode}: ${text}`);
}
