import { type Extent, type MandateKeys, openPack, type PackId, type PackRef } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import type { PackReader } from '../vault/vault.ts';

/** Plain segments kept in memory: a month of daily packs beside the pack at hand. */
const BUDGET_BYTES = 48 * 1024 * 1024;

interface Use {
  /** Places in the sequence of extents at which a segment is needed, the next one last. */
  readonly at: number[];
}

/**
 * Gives the plain bytes of extents in an order that is known beforehand. So that packs are fetched about once each, an
 * opened pack leaves what will be needed of it, and what is needed last goes first (Belady's rule).
 */
export class SegmentCache {
  readonly #reader: PackReader;
  readonly #keys: MandateKeys;
  readonly #packIds: ReadonlyMap<PackRef, PackId>;
  readonly #budget: number;
  readonly #uses = new Map<PackRef, Map<number, Use>>();
  readonly #held = new Map<string, { packRef: PackRef; segment: number; bytes: Uint8Array }>();
  #heldBytes = 0;
  /** Packs opened so far. */
  opened = 0;

  constructor(
    reader: PackReader,
    keys: MandateKeys,
    packIds: ReadonlyMap<PackRef, PackId>,
    sequence: Iterable<Extent>,
    budget: number = BUDGET_BYTES,
  ) {
    this.#reader = reader;
    this.#keys = keys;
    this.#packIds = packIds;
    this.#budget = budget;
    let place = 0;
    for (const { packRef, segment } of sequence) {
      const ofPack = this.#uses.get(packRef) ?? new Map<number, Use>();
      this.#uses.set(packRef, ofPack);
      const use = ofPack.get(segment);
      if (use) use.at.push(place);
      else ofPack.set(segment, { at: [place] });
      place += 1;
    }
    for (const ofPack of this.#uses.values()) for (const { at } of ofPack.values()) at.reverse();
  }

  /**
   * The bytes of the next extent of the sequence; they stay as they are.
   * @throws AgentError `integrity`, `not-found`
   */
  async take({ packRef, segment, offset, length }: Extent): Promise<Buffer> {
    const key = `${packRef}/${segment}`;
    const held = this.#held.get(key)?.bytes ?? (await this.#open(packRef, segment));
    this.#uses.get(packRef)?.get(segment)?.at.pop();
    if (this.#nextUse(packRef, segment) === Number.POSITIVE_INFINITY) this.#drop(key);
    if (offset + length > held.length) throw damaged(packRef);
    return Buffer.from(held.buffer, held.byteOffset + offset, length);
  }

  /** Opens a pack and keeps of it what will be needed, the soonest first. */
  async #open(packRef: PackRef, wanted: number): Promise<Uint8Array> {
    const packId = this.#packIds.get(packRef);
    if (packId === undefined) throw damaged(packRef);
    const pack = await this.#reader.twice(packId, async () =>
      openPack(await this.#reader.fetch(packId), packId, this.#keys),
    );
    if (pack.packRef !== packRef) throw damaged(packRef);
    this.opened += 1;
    const bytes = pack.segment(wanted);
    const needed = [...(this.#uses.get(packRef)?.keys() ?? [])]
      .map((segment) => ({ segment, next: this.#nextUse(packRef, segment) }))
      .filter(({ segment, next }) => next !== Number.POSITIVE_INFINITY && !this.#held.has(`${packRef}/${segment}`))
      .sort((a, b) => a.next - b.next);
    for (const { segment, next } of needed) {
      const plain = segment === wanted ? bytes : undefined;
      const length = plain?.length ?? pack.segments[segment]?.plainLength ?? 0;
      if (!this.#makeRoom(length, next)) break;
      this.#heldBytes += length;
      this.#held.set(`${packRef}/${segment}`, { packRef, segment, bytes: plain ?? pack.segment(segment) });
    }
    return bytes;
  }

  /** Drops what is needed later than `next`, until `length` bytes fit. @returns whether they do */
  #makeRoom(length: number, next: number): boolean {
    while (this.#heldBytes + length > this.#budget) {
      let [last, lastNext] = ['', next];
      for (const [key, { packRef, segment }] of this.#held) {
        const use = this.#nextUse(packRef, segment);
        if (use > lastNext) [last, lastNext] = [key, use];
      }
      if (last === '') return false;
      this.#drop(last);
    }
    return true;
  }

  #nextUse(packRef: PackRef, segment: number): number {
    return this.#uses.get(packRef)?.get(segment)?.at.at(-1) ?? Number.POSITIVE_INFINITY;
  }

  #drop(key: string): void {
    this.#heldBytes -= this.#held.get(key)?.bytes.length ?? 0;
    this.#held.delete(key);
  }
}

function damaged(packRef: PackRef): AgentError {
  const reason = 'a file names a part of it that is not there';
  return new AgentError('integrity', `pack ${packRef}: ${reason}`, {
    key: 'error.pack-damaged',
    params: { pack: packRef, reason },
  });
}
