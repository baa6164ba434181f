import {
  MAX_ATTACHMENT_BYTES,
  MAX_ENTRY_BYTES,
  MAX_PACKS_PER_SNAPSHOT,
  ProtocolError,
} from '@cresus-safe/protocol/public';
import { ServerError } from '../errors.ts';

/**
 * Runs a parser or a check of the protocol on what a client sent; its errors become answers.
 *
 * @throws ServerError `too-large` for a limit, `bad-signature`, `bad-entry` for the rest, with the defect as detail
 */
export function parsing<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const detail = error.message;
    if (error.kind === 'limit') throw new ServerError('too-large', { detail }, { cause: error });
    if (error.kind === 'signature') throw new ServerError('bad-signature', { detail }, { cause: error });
    throw new ServerError('bad-entry', { detail }, { cause: error });
  }
}

const PART_LIMITS = [MAX_ENTRY_BYTES, MAX_PACKS_PER_SNAPSHOT * 32, MAX_ATTACHMENT_BYTES];

/**
 * Refuses a journal request with a part over its limit as too large (TN-31); to the strict parser it would be one more
 * malformed request.
 *
 * @throws ServerError `too-large`
 */
export function checkPartSizes(request: Buffer): void {
  let at = 0;
  for (const limit of PART_LIMITS) {
    if (at + 4 > request.length) return; // cut short: the parser says where
    const length = request.readUInt32BE(at);
    at += 4 + length;
    if (at > request.length) return;
    if (length > limit) throw new ServerError('too-large', { limit });
  }
}
