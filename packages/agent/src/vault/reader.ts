import { type MandateKeys, type OpenedPack, openPack, type PackId, ProtocolError } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import type { Remote } from './remote.ts';

/**
 * Fetches packs and opens them. A pack that is damaged is fetched once more, since a disk or a wire may have flipped a
 * bit; what is damaged twice is reported (MS-01 to MS-05).
 */
export class PackReader {
  readonly #remote: Remote;
  readonly #signal: AbortSignal | undefined;
  /** Bytes fetched so far. */
  downloaded = 0;

  constructor(remote: Remote, signal?: AbortSignal) {
    this.#remote = remote;
    this.#signal = signal;
  }

  /** The bytes of a pack, not verified, in the buffer that `into` gives. */
  async fetch(id: PackId, into: (length: number) => Uint8Array = room): Promise<Uint8Array> {
    const bytes = await this.#remote.getPack(id, into, this.#signal);
    this.downloaded += bytes.length;
    return bytes;
  }

  /**
   * A pack, verified and open.
   * @throws AgentError `integrity` when it is damaged twice, `not-found`
   */
  async open(id: PackId, keys: MandateKeys): Promise<OpenedPack> {
    return this.twice(id, async () => openPack(await this.fetch(id), id, keys));
  }

  /** Runs `act` once more when what it fetched turned out damaged. */
  async twice<T>(id: PackId, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (first) {
      if (!isDamage(first)) throw first;
    }
    try {
      return await act();
    } catch (error) {
      throw isDamage(error) ? damaged(id, error) : error;
    }
  }
}

function room(length: number): Uint8Array {
  return new Uint8Array(length);
}

/** Whether an error means that what was fetched is not what was stored. */
export function isDamage(error: unknown): boolean {
  return error instanceof ProtocolError || (error instanceof AgentError && error.kind === 'integrity');
}

function damaged(id: PackId, cause: unknown): AgentError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new AgentError('integrity', `pack ${id}: ${reason}`, {
    key: 'error.pack-damaged',
    params: { pack: id, reason },
    details: { pack: id },
    cause,
  });
}
