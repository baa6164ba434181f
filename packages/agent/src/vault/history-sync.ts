import { join } from 'node:path';
import { headCode } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { ensureFolder, writeJson } from '../local/files.ts';
import type { History } from './history.ts';
import { HistoryState, type Step, sameFrame, type Warning } from './history-state.ts';
import { type Trust, verifyStep } from './history-verify.ts';
import type { RawFrame, Remote } from './remote.ts';

export interface SyncContext {
  readonly dir: string;
  readonly remote: Remote;
  readonly history: History;
  readonly trust: Trust;
  readonly warn: (warning: Warning) => void;
  readonly now: () => number;
  /** Heal frames for the steps from a seq on, as far as this computer can rebuild the requests. */
  readonly healFrames: (from: number) => Promise<Uint8Array[]>;
}

/** A server that shows another history than the one held: what is common, and what it shows instead. */
export interface Divergence {
  /** Last seq that both have. */
  readonly base: number;
  /** The shown history from seq 1 on, verified. */
  readonly shown: HistoryState;
}

/** The error of a history that was taken back or forked, with what `acceptHistory` needs. */
export class HistoryBroken extends AgentError {
  readonly divergence: Divergence;
  constructor(
    kind: 'rollback' | 'fork',
    message: string,
    divergence: Divergence,
    details: Record<string, string | number>,
  ) {
    super(kind, message, { params: details, details });
    this.divergence = divergence;
  }
}

/** How many verified steps are written at a time. */
const BATCH = 500;

/**
 * Brings the held history up to what the server shows, which must extend it (SPEC 6 to 8): shorter is healed first and
 * is a rollback when that fails, different is a fork unless the vault key itself signed the override.
 * @throws HistoryBroken, AgentError `omission`, `integrity`, `wrong-server`
 */
export async function syncHistory(context: SyncContext): Promise<void> {
  const { history, remote } = context;
  if (history.seq === 0) {
    await takeWhole(context);
    return;
  }
  for (let healed = false; ; healed = true) {
    // asking from the entry before the held head makes the server show that head again
    const outcome = await extend(context, remote.journal(history.seq - 1));
    if (outcome === 'extends') return;
    const divergence = await compare(context);
    if (divergence.base === history.seq) {
      history.keep(divergence.shown.steps.slice(history.seq));
      return;
    }
    const shorter = divergence.shown.seq === divergence.base;
    if (shorter && !healed && (await heal(context, divergence.base + 1))) continue;
    if (shorter) throw rollback(context, divergence);
    adoptOrFork(context, divergence);
    return;
  }
}

async function extend(context: SyncContext, frames: AsyncIterable<RawFrame>): Promise<'extends' | 'diverges'> {
  const { history, trust } = context;
  let first = true;
  let ahead = new Verified(history.state);
  for await (const frame of frames) {
    if (first && !sameFrame(frame, (history.head as Step).raw)) return 'diverges';
    if (!first) ahead.add(frame, trust);
    first = false;
    if (ahead.steps.length < BATCH) continue;
    history.keep(ahead.steps);
    ahead = new Verified(history.state);
  }
  history.keep(ahead.steps);
  return first ? 'diverges' : 'extends';
}

/**
 * Steps verified on top of a state but not yet kept. It works on a light copy of the state, so that what fails half-way
 * leaves the held history untouched.
 */
class Verified {
  readonly steps: Step[] = [];
  readonly #state: HistoryState;

  constructor(base: HistoryState) {
    this.#state = base.branch();
  }

  add(frame: RawFrame, trust: Trust): void {
    const step = verifyStep(this.#state, frame, trust);
    this.#state.apply(step);
    this.steps.push(step);
  }
}

/**
 * The whole history, for a computer that holds none. The last checkpoint vouches for everything before it: the vault key
 * signed it, and its `previous` commits to all that came before, so that only the chain is checked up to there.
 */
async function takeWhole({ remote, history, trust }: SyncContext): Promise<void> {
  const frames = await Array.fromAsync(remote.journal(0));
  const plain = new HistoryState();
  for (const frame of frames) plain.apply(verifyStep(plain, frame, trust, false));
  const state = new HistoryState();
  for (const { raw } of plain.steps) {
    const signatures = state.seq + 1 >= plain.checkpoint;
    const step = verifyStep(state, raw, trust, signatures);
    if (step.entry.seq === plain.checkpoint) checkLiveSet(state, step);
    state.apply(step);
  }
  history.keep(state.steps);
}

/** A checkpoint's live set must be what its own history says. */
function checkLiveSet(state: HistoryState, step: Step): void {
  if (step.attached?.type !== 'live-set') return;
  const live = state.liveSet();
  const same =
    live.length === step.attached.live.length &&
    step.attached.live.every(({ snapshotId, seq, holdUntil }, index) => {
      const held = live[index];
      return held?.snapshotId === snapshotId && held.seq === seq && held.holdUntil === holdUntil;
    });
  if (!same)
    throw new AgentError('integrity', `checkpoint ${step.entry.seq} lists other snapshots`, {
      key: 'error.history',
      params: { reason: 'checkpoint' },
    });
}

/** Reads the whole shown history, verified from where it leaves the held one. */
async function compare({ remote, history, trust }: SyncContext): Promise<Divergence> {
  const held = history.state.steps;
  const shown = new HistoryState();
  let common = true;
  for await (const frame of remote.journal(0)) {
    const ours = held[shown.seq];
    common = common && ours !== undefined && sameFrame(ours.raw, frame);
    shown.apply(common && ours !== undefined ? ours : verifyStep(shown, frame, trust));
  }
  let base = 0;
  while (base < shown.seq && shown.steps[base] === held[base]) base += 1;
  return { base, shown };
}

async function heal(context: SyncContext, from: number): Promise<boolean> {
  const { history, remote, warn } = context;
  const batches = await context.healFrames(from);
  if (batches.length === 0) return false;
  try {
    for (const frames of batches) await remote.heal(frames);
  } catch (error) {
    // whatever the refusal, what follows judges by what the server then shows
    warn({ code: 'heal-refused', params: { reason: error instanceof Error ? error.message : String(error) } });
    return false;
  }
  warn({ code: 'history-healed', params: { from, to: history.seq } });
  return true;
}

function rollback({ history }: SyncContext, divergence: Divergence): HistoryBroken {
  const { shown, base } = divergence;
  const held = history.state.code ?? '';
  return new HistoryBroken('rollback', `the server shows ${shown.seq} of ${history.seq} entries`, divergence, {
    held,
    shown: shown.code ?? '',
    heldSeq: history.seq,
    shownSeq: shown.seq,
    base,
  });
}

/** Another history: fine when an entry of it, signed by the vault key, gives ours up by its hashes; else a fork. */
function adoptOrFork(context: SyncContext, divergence: Divergence): void {
  const { history, warn } = context;
  const { base, shown } = divergence;
  const lost = history.state.steps.slice(base);
  if (shown.steps.slice(base).some((step) => givesUp(step, lost))) {
    const snapshots = lost.filter(({ entry }) => entry.kind === 'snapshot-add').length;
    history.replace(shown);
    warn({ code: 'history-replaced', params: { entries: lost.length, snapshots } });
    return;
  }
  throw fork(context, divergence);
}

function givesUp(step: Step, lost: readonly Step[]): boolean {
  if (step.attached?.type !== 'lost-history') return false;
  const given = step.attached.lost;
  return lost.every(({ entry, chain }) => given.hashes[entry.seq - given.base - 1] === chain);
}

function fork({ dir, history, now }: SyncContext, divergence: Divergence): HistoryBroken {
  const seq = divergence.base + 1;
  const ours = history.state.steps[divergence.base] as Step;
  const theirs = divergence.shown.steps[divergence.base] as Step;
  const evidence = writeEvidence(dir, seq, now(), ours, theirs);
  return new HistoryBroken('fork', `the server shows another entry ${seq}`, divergence, {
    seq,
    held: headCode(seq, ours.chain),
    shown: headCode(seq, theirs.chain),
    evidence,
  });
}

/** Two entries with one number, both signed: proof for anyone that history was forked. */
function writeEvidence(dir: string, seq: number, at: number, ours: Step, theirs: Step): string {
  const folder = join(dir, 'evidence');
  ensureFolder(folder);
  const path = join(folder, `fork-${seq}-${at}.json`);
  const frame = ({ raw }: Step): Record<string, string> => ({
    entry: Buffer.from(raw.entry).toString('base64'),
    receipt: Buffer.from(raw.receipt).toString('base64'),
  });
  writeJson(path, { version: 1, seq, held: frame(ours), shown: frame(theirs) });
  return path;
}
