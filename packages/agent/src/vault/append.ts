import {
  asHash,
  type Entry,
  encodeEntry,
  encodeLiveSet,
  encodeRequest,
  equal,
  type Hash,
  type MandateRef,
  NO_MANDATE,
  type PackId,
  packListHash,
  parseHeader,
  parseRequest,
  type Receipt,
  sha256,
} from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import type { HistoryState, Step } from './history-state.ts';
import { verifyStep } from './history-verify.ts';
import { frameOf } from './journal-rules.ts';
import { MissingPacks, StaleHead } from './remote.ts';
import type { Vault } from './vault.ts';

/** What an entry says beside its place in the chain (SPEC 6). */
export interface AppendParts {
  readonly mandateRef?: MandateRef;
  /** Of forget, unforget and year-closed: the snapshotId. Otherwise it is the attachment's hash. */
  readonly subject?: Hash;
  /** yyyymmdd */
  readonly holdUntil?: number;
  /** Strictly ascending. */
  readonly packIds?: readonly PackId[];
  readonly attachment?: Uint8Array;
  readonly share?: Uint8Array;
  readonly summary?: Uint8Array;
}

export interface Appended {
  readonly entry: Entry;
  readonly receipt: Receipt;
}

const NOTHING = new Uint8Array(0);
/** Each try that finds the head moved on lets another device's entry through, so this ends long before. */
const MOST_REBASES = 200;
/** SPEC 13: a new computer checks signatures only from the last checkpoint on. */
const CHECKPOINT_EVERY = 1000;

/**
 * Appends an entry, at the head of the held history or, to give a part of it up, on top of another verified one, which
 * then takes its place.
 */
export async function append(
  vault: Vault,
  kind: Entry['kind'],
  parts: AppendParts,
  onto?: HistoryState,
): Promise<Appended> {
  if (onto === undefined && kind !== 'checkpoint') await checkpointWhenDue(vault);
  for (let tries = 1; tries <= MOST_REBASES; tries += 1) {
    const base = onto ?? vault.history.state;
    const request = build(vault, base, kind, parts);
    const seq = base.seq + 1;
    vault.requests.keep(seq, request);
    const step = await send(vault, base, request);
    if (step === 'stale') continue;
    if (onto !== undefined) {
      onto.apply(step);
      vault.history.replace(onto);
    } else if (vault.history.seq < seq) vault.history.keep([step]);
    return { entry: step.entry, receipt: step.receipt };
  }
  throw new AgentError('unreachable', 'other devices were always faster', { key: 'error.busy' });
}

function build(vault: Vault, base: HistoryState, kind: Entry['kind'], parts: AppendParts): Uint8Array {
  const { attachment = NOTHING, packIds = [], share = NOTHING } = parts;
  refuseStaleHeader(base, kind, attachment);
  const subject = parts.subject ?? asHash(sha256(attachment));
  const entry = encodeEntry(
    {
      kind,
      generation: Math.max(base.generation, 0),
      vaultId: vault.keys.vaultId,
      seq: base.seq + 1,
      previous: base.tip,
      deviceId: vault.deviceId,
      mandateRef: parts.mandateRef ?? NO_MANDATE,
      holdUntil: parts.holdUntil ?? 0,
      subject,
      packListHash: packListHash(packIds),
      summary: parts.summary ?? NOTHING,
    },
    (message) => vault.keys.sign('entry', message, Math.max(base.generation, 0)),
  );
  return encodeRequest({ entry, packIds, attachment, share });
}

/** A header made for another place in the succession: another device changed a key meanwhile. */
function refuseStaleHeader(base: HistoryState, kind: Entry['kind'], attachment: Uint8Array): void {
  if (kind !== 'slot-change' && kind !== 'generation') return;
  if (parseHeader(attachment).headerSeq !== (base.header?.headerSeq ?? 0) + 1)
    throw new AgentError('unexpected', 'another device changed the vault’s header meanwhile', {
      key: 'error.header-race',
    });
}

/** One try. 'stale': the head moved on and is synced; sign anew. */
async function send(vault: Vault, base: HistoryState, request: Uint8Array): Promise<Step | 'stale'> {
  let answer: { seq: number; receipt: Uint8Array };
  try {
    answer = await vault.remote.append(request);
  } catch (error) {
    if (error instanceof MissingPacks) throw error;
    const landed = await found(vault, base, request, error);
    if (landed !== undefined) return landed;
    if (error instanceof StaleHead) return 'stale';
    throw error;
  }
  crashPoint('commit-acked');
  try {
    return await vault.trusting(async (trust) =>
      verifyStep(base, frameOf(parseRequest(request), answer.receipt), trust),
    );
  } catch (error) {
    // a receipt that proves nothing: the entry counts only if the chain shows it
    const landed = await found(vault, base, request, error);
    if (landed !== undefined) return landed;
    throw error;
  }
}

/** Looks for an entry in what the server shows: an answer may have been lost, or be a lie. */
async function found(
  vault: Vault,
  base: HistoryState,
  request: Uint8Array,
  reason: unknown,
): Promise<Step | undefined> {
  if (vault.history.state !== base) {
    if (reason instanceof StaleHead)
      throw new AgentError('unexpected', 'the history moved on while accepting it', { key: 'error.accept-race' });
    return undefined;
  }
  const { seq, bytes } = parseRequest(request).entry;
  if (seq === 1 && reason instanceof StaleHead)
    throw new AgentError('usage', 'a vault exists already', { key: 'error.vault-exists', hint: 'hint.vault-exists' });
  try {
    await vault.sync();
  } catch (error) {
    // no answer now either, or still no vault: the first error says why
    if (seq === 1 || (error instanceof AgentError && error.kind === 'unreachable')) throw reason;
    throw error;
  }
  const step = vault.history.state.steps[seq - 1];
  return step !== undefined && equal(step.entry.bytes, bytes) ? step : undefined;
}

async function checkpointWhenDue(vault: Vault): Promise<void> {
  const { state } = vault.history;
  if (state.seq - state.checkpoint < CHECKPOINT_EVERY) return;
  await append(vault, 'checkpoint', { attachment: encodeLiveSet(state.liveSet()) });
}
