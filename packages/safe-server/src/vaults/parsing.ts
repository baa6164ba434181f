import { ProtocolError } from '@cresus-safe/protocol/public';
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
