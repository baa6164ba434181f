import {
  asDeviceId,
  asKeyId,
  asPackId,
  asServerId,
  asVaultId,
  type PackId,
  type ReceiptKey,
  splitHistory,
} from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { type Shape, shape } from '../local/shape.ts';
import type { Answer } from './http-client.ts';
import { harmless, jsonOf, notASafe, problemOf } from './http-errors.ts';
import {
  type Account,
  type Device,
  type Enrolment,
  MissingPacks,
  type RawFrame,
  type RemoteVault,
  StaleHead,
  type Subscription,
} from './remote.ts';

// The schemas of protocol/http say the same, but loading a schema library costs more than a send with nothing changed.

/** Reads a JSON answer; whatever does not have the shape is an answer that no Safe server gives. */
export function reading<T>(answer: Answer, read: (fields: Shape) => T): T {
  const fields = jsonOf(answer);
  try {
    return read(fields);
  } catch (error) {
    throw notASafe(error instanceof Error ? harmless(error.message) : 'malformed');
  }
}

export function enrolmentOf(fields: Shape): Enrolment {
  const token = fields.text('token');
  // the token becomes a header of every call: nothing but these characters may get into one
  if (!/^[A-Za-z0-9_-]{43,128}$/.test(token)) throw new TypeError('token is malformed');
  return {
    deviceId: asDeviceId(fields.text('deviceId')),
    token,
    number: harmless(fields.text('number'), 40),
    serverId: asServerId(fields.text('serverId')),
    receiptKeys: fields.list('receiptKeys', receiptKeyOf),
    subscription: subscriptionOf(fields.object('subscription')),
    vault: vaultState(fields),
  };
}

export function accountOf(fields: Shape): Account {
  const quota = fields.object('quota');
  return {
    number: harmless(fields.text('number'), 40),
    serverId: asServerId(fields.text('serverId')),
    deviceId: asDeviceId(fields.text('deviceId')),
    deviceState: harmless(fields.text('deviceState'), 20),
    receiptKeys: fields.list('receiptKeys', receiptKeyOf),
    serverTime: fields.integer('serverTime'),
    subscription: subscriptionOf(fields.object('subscription')),
    quota: { bytes: quota.integer('bytes'), usedBytes: quota.integer('usedBytes') },
    retentionDays: fields.integer('retentionDays'),
    damagedPacks: fields.optionalInteger('damagedPacks') ?? 0,
    damagedSnapshots: fields.optionalInteger('damagedSnapshots') ?? 0,
    vault: vaultState(fields),
    head: headSeq(fields),
  };
}

export function vaultOf(fields: Shape): RemoteVault {
  return {
    vaultId: asVaultId(fields.text('vaultId')),
    header: fromBase64(fields.text('header')),
    share: fromBase64(fields.text('share')),
    challenge: fromBase64(fields.text('challenge')),
    head: headSeq(fields),
  };
}

export function appendedOf(fields: Shape): { seq: number; receipt: Uint8Array } {
  return { seq: fields.integer('seq'), receipt: fromBase64(fields.text('receipt')) };
}

export function deviceOf(value: unknown): Device {
  const fields = shape(value, 'device');
  return {
    deviceId: asDeviceId(fields.text('deviceId')),
    name: harmless(fields.text('name'), 100),
    state: harmless(fields.text('state'), 20),
    createdAt: fields.integer('createdAt'),
    lastSeenAt: fields.optionalInteger('lastSeenAt') ?? null,
    current: fields.flag('current'),
  };
}

export function packIdOf(value: unknown): PackId {
  if (typeof value !== 'string') throw new TypeError('a pack id is not text');
  return asPackId(value);
}

export function damagePageOf(fields: Shape): { packs: PackId[]; lostRecords: number[] } {
  const packs = fields.list('packs', (value) => packIdOf(shape(value, 'damaged pack').text('packId')));
  return { packs, lostRecords: fields.list('lostRecords', seqOf) };
}

function seqOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw new TypeError('not a seq');
  return value;
}

/** Cuts history frames apart. @throws AgentError `integrity` */
export function framesOf(bytes: Uint8Array): RawFrame[] {
  try {
    return splitHistory(bytes);
  } catch (cause) {
    throw new AgentError('integrity', 'the history is not well-formed', { key: 'error.bad-answer', cause });
  }
}

/** The typed errors of a refused append; undefined for any other refusal. */
export function refusedAppend(answer: Answer): Error | undefined {
  const problem = problemOf(answer);
  try {
    if (problem.code === 'stale-head' || problem.code === 'seq-taken') return new StaleHead(headSeq(problem.facts));
    if (problem.code === 'missing-packs') return new MissingPacks(problem.facts.list('missingPacks', packIdOf));
  } catch (error) {
    return notASafe(error instanceof Error ? harmless(error.message) : 'malformed');
  }
  return undefined;
}

/** Canonical base64, as SPEC 16 writes bytes in JSON. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function fromBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new TypeError('not canonical base64');
  return Uint8Array.from(bytes);
}

function headSeq(fields: Shape): number {
  return fields.optionalObject('head')?.integer('seq') ?? 0;
}

function vaultState(fields: Shape): 'none' | 'exists' {
  const state = fields.text('vault');
  if (state !== 'none' && state !== 'exists') throw new TypeError('vault is neither none nor exists');
  return state;
}

function subscriptionOf(fields: Shape): Subscription {
  return {
    state: harmless(fields.text('state'), 20),
    expiresOn: dateOf(fields, 'expiresOn'),
    graceUntil: dateOf(fields, 'graceUntil'),
    readOnlyUntil: dateOf(fields, 'readOnlyUntil'),
    maySend: fields.flag('maySend'),
    mayRestore: fields.flag('mayRestore'),
  };
}

function dateOf(fields: Shape, key: string): string {
  const date = fields.text(key);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(date)) throw new TypeError(`${key} is not a date`);
  return date;
}

/** One key of the server's list, also as this computer keeps it. */
export function receiptKeyOf(value: unknown): ReceiptKey {
  const fields = shape(value, 'receiptKey');
  const endorsedBy = fields.optionalText('endorsedBy');
  const endorsement = fields.optionalText('endorsement');
  const publicKey = fields.text('publicKey');
  if (!/^[0-9a-f]{64}$/.test(publicKey)) throw new TypeError('publicKey is not 64 hex digits');
  if (endorsement !== undefined && !/^[0-9a-f]{128}$/.test(endorsement))
    throw new TypeError('endorsement is malformed');
  return {
    keyId: asKeyId(fields.text('keyId')),
    publicKey,
    endorsedBy: endorsedBy === undefined ? null : asKeyId(endorsedBy),
    endorsement: endorsement ?? null,
  };
}
