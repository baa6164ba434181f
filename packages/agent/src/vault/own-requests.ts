import { join } from 'node:path';
import {
  asSnapshotId,
  encodeHeal,
  encodeRequest,
  equal,
  type MandateKeys,
  openRecord,
  parseRequest,
  snapshotIdOf,
} from '@cresus-safe/protocol';
import { ensureFolder, readIfThere, writeDurable } from '../local/files.ts';
import type { HistoryState, Step } from './history-state.ts';
import { cachedShare } from './unlock.ts';

/** Heal frames sent in one call. */
const FRAMES_AT_ONCE = 100;
const BYTES_AT_ONCE = 4 * 1024 * 1024;

/**
 * The journal requests that this computer made, whole (`requests/<seq>`), and the records it fetched
 * (`records/<snapshotId>`): what a server that lost them is given back.
 */
export class OwnRequests {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    ensureFolder(join(dir, 'requests'));
    ensureFolder(join(dir, 'records'));
  }

  /** Keeps a request before it is sent, so that a lost answer finds it again. */
  keep(seq: number, request: Uint8Array): void {
    writeDurable(join(this.#dir, 'requests', String(seq)), request);
  }

  keepRecord(id: string, sealed: Uint8Array): void {
    writeDurable(join(this.#dir, 'records', id), sealed);
  }

  /** Whether this computer itself made this step: its request is kept here. */
  made({ entry }: Step): boolean {
    return this.#own(entry.seq, entry.bytes) !== undefined;
  }

  /** The sealed record of a snapshot as this computer holds it; damaged ones count as none. */
  recordOf({ entry }: Step): Uint8Array | undefined {
    const file = readIfThere(join(this.#dir, 'records', entry.subject));
    const sealed = file === undefined ? undefined : Uint8Array.from(file);
    if (sealed !== undefined && snapshotIdOf(sealed) === asSnapshotId(entry.subject)) return sealed;
    const own = this.#own(entry.seq, entry.bytes);
    return own === undefined ? undefined : parseRequest(own).attachment;
  }

  /**
   * The heal frames from a seq to the head, in batches, as far as every request up to there can be given back: kept
   * whole, or put together from what the history holds.
   */
  healFrames(state: HistoryState, from: number, keysOf: (step: Step) => MandateKeys | undefined): Uint8Array[] {
    return this.framesOf(state.steps.slice(from - 1), keysOf);
  }

  /** The same for these steps. */
  framesOf(steps: readonly Step[], keysOf: (step: Step) => MandateKeys | undefined): Uint8Array[] {
    const batches: Uint8Array[] = [];
    let batch: { request: Uint8Array; receipt: Uint8Array }[] = [];
    let bytes = 0;
    const flush = (): void => {
      if (batch.length > 0) batches.push(encodeHeal(batch));
      batch = [];
      bytes = 0;
    };
    for (const step of steps) {
      const request = this.#own(step.entry.seq, step.entry.bytes) ?? this.#rebuilt(step, keysOf);
      if (request === undefined) break;
      if (batch.length >= FRAMES_AT_ONCE || bytes + request.length > BYTES_AT_ONCE) flush();
      batch.push({ request, receipt: step.raw.receipt });
      bytes += request.length;
    }
    flush();
    return batches;
  }

  #own(seq: number, entry: Uint8Array): Uint8Array | undefined {
    const file = readIfThere(join(this.#dir, 'requests', String(seq)));
    if (file === undefined) return undefined;
    const bytes = Uint8Array.from(file);
    try {
      return equal(parseRequest(bytes).entry.bytes, entry) ? bytes : undefined;
    } catch {
      return undefined; // a damaged or foreign file is as good as none
    }
  }

  /** A request of another device, from its entry and what came with the history. */
  #rebuilt(step: Step, keysOf: (step: Step) => MandateKeys | undefined): Uint8Array | undefined {
    const { entry, attached, raw } = step;
    const none = new Uint8Array(0);
    if (entry.kind === 'snapshot-add') return this.#rebuiltSnapshot(step, keysOf(step));
    if (attached?.type === 'replacement')
      return encodeRequest({
        entry: entry.bytes,
        packIds: attached.packs.map(({ newId }) => newId).toSorted(),
        attachment: raw.attachment,
        share: none,
      });
    const share = attached?.type === 'header' ? cachedShare(this.#dir, attached.header) : none;
    if (share === undefined) return undefined;
    return encodeRequest({ entry: entry.bytes, packIds: [], attachment: raw.attachment, share });
  }

  #rebuiltSnapshot(step: Step, keys: MandateKeys | undefined): Uint8Array | undefined {
    const sealed = keys === undefined ? undefined : this.recordOf(step);
    if (sealed === undefined || keys === undefined) return undefined;
    const packIds = openRecord(keys, sealed).packs.map(({ packId }) => packId);
    return encodeRequest({ entry: step.entry.bytes, packIds, attachment: sealed, share: new Uint8Array(0) });
  }
}
