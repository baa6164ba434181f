import {
  type Attachment,
  asSnapshotId,
  chainHash,
  DEFAULT_PLAN,
  type Entry,
  equal,
  type Hash,
  type Header,
  type HistoryFrame,
  headCode,
  type LiveSnapshot,
  type MandateRef,
  NO_HASH,
  type PackId,
  type PackRef,
  type Plan,
  type Receipt,
  type SnapshotId,
} from '@cresus-safe/protocol';
import type { RawFrame } from './remote.ts';

/** One verified step of the history. */
export interface Step {
  readonly entry: Entry;
  readonly receipt: Receipt;
  /** Undefined for snapshot-add, whose record is fetched apart. */
  readonly attached: Attachment | undefined;
  readonly raw: RawFrame;
  /** `H(entry ‖ receipt)`: what the next entry names as `previous`. */
  readonly chain: Hash;
}

/** What the history says of a snapshot. Times are the server's, ms since 1970. */
export interface SnapshotState {
  readonly id: SnapshotId;
  readonly mandateRef: MandateRef;
  readonly step: Step;
  /** When it was forgotten; undefined while it lives. */
  readonly forgottenAt: number | undefined;
  /** yyyymmdd, or 0. */
  readonly holdUntil: number;
}

/** Something the user should know and that stops nothing. */
export interface Warning {
  readonly code: string;
  readonly params?: Readonly<Record<string, string | number>>;
}

/** The step that a parsed frame makes. */
export function stepOf(frame: HistoryFrame, raw: RawFrame): Step {
  const { entry, receipt, attached } = frame;
  return { entry, receipt, attached, raw, chain: chainHash(raw.entry, raw.receipt) };
}

export function sameFrame(a: RawFrame, b: RawFrame): boolean {
  return equal(a.entry, b.entry) && equal(a.receipt, b.receipt);
}

/** A pack is replaced within its mandate and under its packRef only: an entry can lead no snapshot to another pack. */
function placeOf(mandateRef: MandateRef, packRef: PackRef, oldId: PackId): string {
  return `${mandateRef}/${packRef}/${oldId}`;
}

/** What follows from a chain of steps, step by step; it checks nothing (see history-verify). */
export class HistoryState {
  readonly steps: Step[] = [];
  readonly snapshots = new Map<SnapshotId, SnapshotState>();
  /** Public vault key of each generation, by generation. */
  readonly publicKeys: Uint8Array[] = [];
  readonly warnings: Warning[] = [];
  /** Which pack took the place of which, by `placeOf`. */
  readonly replacements = new Map<string, PackId>();
  header: Header | undefined;
  plan: Plan = DEFAULT_PLAN;
  /** seq of the last checkpoint, 0 without one. */
  checkpoint = 0;

  get seq(): number {
    return this.steps.length;
  }

  get head(): Step | undefined {
    return this.steps.at(-1);
  }

  /** Chain hash that the next entry must name. */
  get tip(): Hash {
    return this.head?.chain ?? NO_HASH;
  }

  get generation(): number {
    return this.publicKeys.length - 1;
  }

  /** The head code to compare between computers; undefined without any history. */
  get code(): string | undefined {
    const { head } = this;
    return head === undefined ? undefined : headCode(head.entry.seq, head.chain);
  }

  /** A state of its own with the first `seq` steps. */
  upTo(seq: number): HistoryState {
    const state = new HistoryState();
    for (const step of this.steps.slice(0, seq)) state.apply(step);
    return state;
  }

  /** A copy that can go on without touching this one. */
  branch(): HistoryState {
    const copy = new HistoryState();
    for (const step of this.steps) copy.steps.push(step);
    copy.publicKeys.push(...this.publicKeys);
    for (const [id, snapshot] of this.snapshots) copy.snapshots.set(id, snapshot);
    for (const [place, packId] of this.replacements) copy.replacements.set(place, packId);
    copy.header = this.header;
    copy.plan = this.plan;
    copy.checkpoint = this.checkpoint;
    return copy;
  }

  /** The snapshots that live, as a checkpoint lists them. */
  liveSet(): LiveSnapshot[] {
    const live = [...this.snapshots.values()].filter(({ forgottenAt }) => forgottenAt === undefined);
    return live
      .map(({ id, mandateRef, step, holdUntil }) => ({ snapshotId: id, seq: step.entry.seq, mandateRef, holdUntil }))
      .toSorted((a, b) => a.seq - b.seq);
  }

  apply(step: Step): void {
    this.steps.push(step);
    const { entry, attached } = step;
    if (attached?.type === 'header') this.#adopt(attached.header);
    if (attached?.type === 'plan') this.plan = attached.plan;
    if (attached?.type === 'replacement')
      for (const { packRef, oldId, newId } of attached.packs)
        this.replacements.set(placeOf(entry.mandateRef, packRef, oldId), newId);
    if (entry.kind === 'checkpoint') this.checkpoint = entry.seq;
    if (entry.kind === 'snapshot-add') this.#add(step);
    if (entry.kind === 'snapshot-forget') this.#change(step, { forgottenAt: step.receipt.time });
    if (entry.kind === 'snapshot-unforget') this.#change(step, { forgottenAt: undefined });
    if (entry.kind === 'year-closed') this.#hold(step);
  }

  /** The pack that holds today what a pack held: itself, or the last that took its place. */
  replacementOf(mandateRef: MandateRef, packRef: PackRef, packId: PackId): PackId {
    let now = packId;
    // a chain that bites its own tail is not followed for ever
    for (let hops = this.replacements.size; hops > 0; hops -= 1) {
      const next = this.replacements.get(placeOf(mandateRef, packRef, now));
      if (next === undefined) break;
      now = next;
    }
    return now;
  }

  #adopt(header: Header): void {
    this.header = header;
    this.publicKeys[header.generation] = header.publicKey;
  }

  /** A snapshot that was there before does not come back by being added again (MS-20): only unforget brings it back. */
  #add(step: Step): void {
    const id = asSnapshotId(step.entry.subject);
    if (this.snapshots.has(id)) {
      this.warnings.push({ code: 'snapshot-repeated', params: { id, seq: step.entry.seq } });
      return;
    }
    const { mandateRef } = step.entry;
    this.snapshots.set(id, { id, mandateRef, step, forgottenAt: undefined, holdUntil: 0 });
  }

  #change(step: Step, change: Partial<SnapshotState>): void {
    const id = asSnapshotId(step.entry.subject);
    const known = this.snapshots.get(id);
    if (known === undefined) this.warnings.push({ code: 'snapshot-unknown', params: { id, seq: step.entry.seq } });
    else this.snapshots.set(id, { ...known, ...change });
  }

  /** A hold is only ever extended. */
  #hold(step: Step): void {
    const known = this.snapshots.get(asSnapshotId(step.entry.subject));
    this.#change(step, { holdUntil: Math.max(known?.holdUntil ?? 0, step.entry.holdUntil) });
  }
}
