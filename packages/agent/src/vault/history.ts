import { join } from 'node:path';
import { LOCK_DAYS, type MandateRef, type SnapshotId } from '@cresus-safe/protocol';
import { type Fate, fatesOf } from './fates.ts';
import { appendLog, loadLog, rewriteLog } from './history-log.ts';
import { HistoryState, type SnapshotState, type Step, type Warning } from './history-state.ts';
import { type Trust, verifyStep } from './history-verify.ts';
import type { RawFrame } from './remote.ts';

/** The clock goes on while fates are asked for one after the other; they change with days. */
const SAME_MOMENT_MS = 1000;

interface KnownFates {
  readonly state: HistoryState;
  readonly seq: number;
  readonly now: number;
  readonly lockDays: number;
  readonly fates: ReadonlyMap<SnapshotId, Fate>;
}

/**
 * The verified history of the vault: in memory, and durably in `history.log`. Nothing gets in but through `verifyStep`,
 * and what is in is never taken out, except by an override that the vault key signed (`replace`).
 */
export class History {
  /** Undefined: nothing is kept, the log belongs to another run. */
  readonly #path: string | undefined;
  readonly #fates = new Map<MandateRef, KnownFates>();
  #state: HistoryState;

  private constructor(path: string | undefined, state: HistoryState) {
    this.#path = path;
    this.#state = state;
  }

  /**
   * Reads what this computer holds. Signatures were checked before they were written; the chain is checked again, and
   * what no longer follows is dropped like a torn end, to be asked from the server again.
   * @param keeps false for who looks beside a run that holds the lock: the log is read as far as it holds together and
   *   never written; what the server shows beyond it lives in memory only
   */
  static load(dir: string, trust: Trust, warn: (warning: Warning) => void, keeps = true): History {
    const path = join(dir, 'history.log');
    const { frames, dropped } = loadLog(path, keeps);
    const state = new HistoryState();
    try {
      for (const frame of frames) state.apply(verifyStep(state, frame, trust, false));
    } catch {
      // the log is rebuilt below from the part that holds together
      if (keeps) rewriteLog(path, rawFrames(state));
    }
    if (!keeps) return new History(undefined, state);
    const lost = frames.length - state.seq;
    if (lost > 0 || dropped > 0) warn({ code: 'history-repaired', params: { entries: state.seq } });
    return new History(path, state);
  }

  get state(): HistoryState {
    return this.#state;
  }

  get head(): Step | undefined {
    return this.#state.head;
  }

  get seq(): number {
    return this.#state.seq;
  }

  /** Verifies a frame as the next step and keeps it durably. */
  accept(raw: RawFrame, trust: Trust): Step {
    const step = verifyStep(this.#state, raw, trust);
    this.keep([step]);
    return step;
  }

  /** Keeps steps that were verified, one after the other, as the next ones; durable before they count. */
  keep(steps: readonly Step[]): void {
    if (this.#path !== undefined)
      appendLog(
        this.#path,
        steps.map(({ raw }) => raw),
      );
    for (const step of steps) this.#state.apply(step);
  }

  /** Puts another verified history in place of this one. */
  replace(state: HistoryState): void {
    if (this.#path !== undefined) rewriteLog(this.#path, rawFrames(state));
    this.#state = state;
  }

  /** Snapshots that are not forgotten, in the order of the journal. */
  snapshots(ref?: MandateRef): SnapshotState[] {
    return [...this.#state.snapshots.values()].filter(
      ({ mandateRef, forgottenAt }) => forgottenAt === undefined && (ref === undefined || mandateRef === ref),
    );
  }

  /** What became of each snapshot of a mandate by `now` (ms, this computer's clock). */
  fates(ref: MandateRef, now: number, lockDays = LOCK_DAYS): ReadonlyMap<SnapshotId, Fate> {
    const known = this.#fates.get(ref);
    if (known?.state === this.#state && known.seq === this.seq && known.lockDays === lockDays)
      if (Math.abs(now - known.now) < SAME_MOMENT_MS) return known.fates;
    const fates = fatesOf(this.#state.steps, ref, now, lockDays);
    this.#fates.set(ref, { state: this.#state, seq: this.seq, now, lockDays, fates });
    return fates;
  }

  /**
   * Whether the server may have let a snapshot go by `now` (ms, this computer's own clock, never one that the server
   * could set ahead): forgotten and past the lock, or no longer kept by the plan of its time. Anything else that is
   * missing is an omission (SPEC 13).
   */
  mayBeGone(id: SnapshotId, now: number, lockDays = LOCK_DAYS): boolean {
    const snapshot = this.#state.snapshots.get(id);
    return snapshot === undefined || this.fates(snapshot.mandateRef, now, lockDays).get(id)?.state === 'freed';
  }
}

function rawFrames({ steps }: HistoryState): RawFrame[] {
  return steps.map(({ raw }) => raw);
}
