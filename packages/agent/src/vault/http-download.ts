import type { PackId } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import type { HttpClient } from './http-client.ts';
import { failureOf, notASafe, requireBinary } from './http-errors.ts';
import type { AnswerHead } from './http-failure.ts';
import { type Patience, retrying } from './retry.ts';

/** SPEC 18: a pack is at most 17 MiB, and SPEC 10.2 makes it a multiple of 256 KiB. */
const PACK_LIMIT = 17 * 1024 * 1024;
const PACK_STEP = 256 * 1024;
const PROBLEM_LIMIT = 64 * 1024;

/**
 * Fetches a pack whole, straight into the caller's buffer; after a cut it goes on where it was by a range (the only use
 * of ranges, SPEC 10.4). The bytes are not verified here.
 * @throws AgentError `not-found`, `integrity` for a length that no pack has
 */
export function downloadPack(
  client: HttpClient,
  patience: Patience,
  id: PackId,
  into: (length: number) => Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const path = `/v1/packs/${id}`;
  let buffer: Uint8Array | undefined;
  let done = 0;
  const place = (answer: AnswerHead): Uint8Array => {
    requireBinary(answer);
    const total = answer.status === 206 ? resumed(answer, done) : whole(answer);
    if (answer.status !== 206) done = 0;
    buffer ??= into(total);
    if (buffer.length !== total) throw badAnswer('another length than before');
    return buffer.subarray(done);
  };
  const once = (): Promise<Uint8Array> =>
    client.onLane(async (lane) => {
      const headers: Record<string, string> = done === 0 ? {} : { range: `bytes=${done}-` };
      const answer = await lane.get(path, headers, place, signal, (bytes) => (done += bytes));
      if (answer.taken && buffer !== undefined) return buffer;
      // no plain answer: asked again through the client that can read every form of refusal
      const refused = await client.exchange({ method: 'GET', path, limit: PROBLEM_LIMIT, signal });
      if (refused.status < 200 || refused.status >= 300) throw failureOf(refused);
      requireBinary(refused);
      throw badAnswer('no declared length');
    });
  return retrying(once, patience, signal);
}

function whole(answer: AnswerHead): number {
  if (answer.status !== 200) throw notASafe(`status ${answer.status}`);
  return checkedLength(Number(answer.header('content-length')));
}

function resumed(answer: AnswerHead, done: number): number {
  const match = /^bytes (\d{1,9})-(\d{1,9})\/(\d{1,9})$/.exec(answer.header('content-range') ?? '');
  const [from, to, total] = (match ?? []).slice(1).map(Number);
  if (from !== done || total === undefined || to !== total - 1) throw badAnswer('another range than asked for');
  return checkedLength(total);
}

function checkedLength(length: number): number {
  if (!Number.isSafeInteger(length) || length <= 0 || length > PACK_LIMIT || length % PACK_STEP !== 0)
    throw badAnswer('a length that no pack has');
  return length;
}

function badAnswer(defect: string): AgentError {
  return new AgentError('integrity', `pack answer: ${defect}`, { key: 'error.bad-answer' });
}
