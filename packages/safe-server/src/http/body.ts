import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { BINARY_TYPE, MAX_JSON_BYTES } from '@cresus-safe/protocol/http';
import { ServerError } from '../errors.ts';
import type { BodySpec, UploadBody } from './route.ts';
import { parseStrictJson } from './strict-json.ts';
import { type Pace, watchPace } from './watchdog.ts';

const unzip = promisify(gunzip);

/** Requests that said `Expect: 100-continue`; the go-ahead is sent when a handler starts to read, not before. */
const awaitingContinue = new WeakMap<IncomingMessage, ServerResponse>();

/** Remembers that `req` waits for `100 Continue`, so that a refusal costs no upload. */
export function deferContinue(req: IncomingMessage, res: ServerResponse): void {
  awaitingContinue.set(req, res);
}

/**
 * Checks the headers of a body and reads it as its route wants it.
 *
 * @returns parsed JSON (not yet validated), bytes, or an UploadBody
 * @throws ServerError `unsupported-media-type`, `too-large`, `malformed-json`, `timeout`, `invalid`
 */
export async function readBody(
  req: IncomingMessage,
  spec: BodySpec<unknown> | undefined,
  pace: Pace,
): Promise<unknown> {
  if (spec === undefined) return undefined;
  checkType(req, spec.kind === 'json' ? 'application/json' : BINARY_TYPE);
  const zipped = checkEncoding(req, spec.kind === 'json');
  const maxBytes = spec.maxBytes ?? MAX_JSON_BYTES;
  const length = contentLength(req);
  if (length !== undefined && length > maxBytes) throw new ServerError('too-large', { limit: maxBytes });
  const chunks = readChunks(req, maxBytes, pace);
  if (spec.kind === 'stream') return { length, chunks } satisfies UploadBody;
  const bytes = await gather(chunks);
  if (spec.kind === 'binary') return bytes;
  return parseStrictJson(decodeText(zipped ? await inflate(bytes, maxBytes) : bytes));
}

function checkType(req: IncomingMessage, wanted: string): void {
  const [type, ...parameters] = (req.headers['content-type'] ?? '').toLowerCase().split(';');
  if (type?.trim() !== wanted) throw new ServerError('unsupported-media-type', { detail: `Send ${wanted}` });
  for (const parameter of parameters) {
    const value = /^\s*charset\s*=\s*"?([^"\s]*)"?\s*$/.exec(parameter)?.[1];
    if (value !== 'utf-8' && value !== 'utf8')
      throw new ServerError('unsupported-media-type', { detail: 'Send UTF-8' });
  }
}

function checkEncoding(req: IncomingMessage, gzipAllowed: boolean): boolean {
  const encoding = (req.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity') return false;
  if (encoding === 'gzip' && gzipAllowed) return true;
  throw new ServerError('unsupported-media-type', { detail: 'This content encoding is not supported' });
}

function contentLength(req: IncomingMessage): number | undefined {
  const header = req.headers['content-length'];
  return header === undefined ? undefined : Number(header);
}

/**
 * The body piece by piece. On any way out but the last byte the request is left unread; `sendProblem` then closes the
 * connection. Ends with `timeout` when the sender is slower than `pace`; time during which we do not ask for more does
 * not count against it.
 */
async function* readChunks(req: IncomingMessage, maxBytes: number, pace: Pace): AsyncGenerator<Buffer> {
  awaitingContinue.get(req)?.writeContinue();
  let received = 0;
  let asking = false;
  const watch = watchPace(() => (asking ? received + req.readableLength : undefined), pace);
  const pieces = req.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  try {
    for (;;) {
      asking = true;
      const { done, value } = await Promise.race([pieces.next(), watch.expired]);
      asking = false;
      if (done) return;
      received += value.length;
      if (received > maxBytes) throw new ServerError('too-large', { limit: maxBytes });
      yield value;
    }
  } catch (error) {
    if (error instanceof ServerError) throw error;
    throw new ServerError('invalid', { detail: 'The body ended early' }, { cause: error });
  } finally {
    watch.stop();
    if (!req.complete) req.pause();
  }
}

async function gather(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

async function inflate(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  try {
    return await unzip(bytes, { maxOutputLength: maxBytes });
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE')
      throw new ServerError('too-large', { limit: maxBytes });
    throw new ServerError('invalid', { detail: 'The body is not well compressed' }, { cause });
  }
}

function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new ServerError('malformed-json', { detail: 'The body is not UTF-8' }, { cause });
  }
}
