import * as protocol from '@cresus-safe/protocol';
import { PACK_OPERATIONS } from './packs.ts';
import { drawsOf } from './values.ts';

const { fromHex } = protocol;

/** Keys of a vault whose roots, from generation 0 on, are given. */
export interface KeyInput {
  readonly vaultId: string;
  readonly roots: readonly string[];
}

export function keysOf({ vaultId, roots: [first = '', ...later] }: KeyInput): protocol.VaultKeys {
  const keys = protocol.VaultKeys.create(drawsOf([vaultId, first]));
  return later.reduce((current, root) => current.rotate(drawsOf([root])), keys);
}

interface HeaderInput extends KeyInput {
  readonly secret: string;
  readonly share: string;
  readonly kit?: string;
  readonly kdf: protocol.KdfParams;
  readonly headerSeq: number;
  readonly random: readonly string[];
}

async function createHeader(input: HeaderInput) {
  const keys = keysOf(input);
  const secret = protocol.normaliseSecret(input.secret);
  const share = fromHex(input.share);
  const { kdf, headerSeq, kit } = input;
  const from = { secret, share, kdf, headerSeq, random: drawsOf(input.random), ...(kit && { kit: fromHex(kit) }) };
  const { bytes, ...header } = protocol.parseHeader(await protocol.createHeader(keys, from));
  const parsed = protocol.parseHeader(bytes);
  const opened = await protocol.openWithSecret(parsed, secret, share);
  const byKit = kit ? protocol.openWithKit(parsed, fromHex(kit)).root : undefined;
  return { bytes, ...header, openedBySecret: opened.root, openedByKit: byKit };
}

function derive(input: KeyInput & { readonly mandateId: string }) {
  const keys = keysOf(input);
  const mandate = keys.mandate(protocol.asMandateId(input.mandateId));
  const generations = input.roots.map((_, generation) => ({
    names: keys.names(generation),
    packKey: mandate.packKey(generation),
    recordKey: mandate.recordKey(generation),
    signature: keys.sign('entry', fromHex('00'), generation),
  }));
  const gear = [...mandate.gear].map((word) => word.toString(16).padStart(8, '0')).join('');
  const { publicKey } = keys;
  const { ref, chunkIdKey } = mandate;
  return { publicKey, cacheKey: keys.cacheKeys()[0], earlier: keys.sealEarlier(), ref, chunkIdKey, gear, generations };
}

type EntryInput = KeyInput & { readonly generation?: number } & {
  readonly entry: Omit<protocol.EntryFields, 'summary'> & { readonly summary: string };
};

function encodeEntry(input: EntryInput) {
  const keys = keysOf(input);
  const fields = { ...input.entry, summary: fromHex(input.entry.summary) };
  const bytes = protocol.encodeEntry(fields, (message) => keys.sign('entry', message, fields.generation));
  const { hash, signature } = protocol.parseEntry(bytes);
  return { bytes, hash, signature };
}

function encodeReceipt(input: { readonly seed: string; readonly receipt: protocol.ReceiptFields }) {
  const seed = fromHex(input.seed);
  const bytes = protocol.encodeReceipt(input.receipt, (message) => protocol.sign(seed, 'receipt', message));
  const parsed = protocol.parseReceipt(bytes);
  protocol.verifyReceipt(parsed, [protocol.firstReceiptKey(protocol.publicKeyOf(seed))], parsed.serverId);
  return { bytes, signature: parsed.signature };
}

function receiptKeys(input: { readonly serverId: protocol.ServerId; readonly seeds: readonly string[] }) {
  const keys: protocol.ReceiptKey[] = [];
  input.seeds.forEach((hex, index) => {
    const publicKey = protocol.publicKeyOf(fromHex(hex));
    const before = keys.at(-1);
    const signer = fromHex(input.seeds[index - 1] ?? hex);
    keys.push(
      before
        ? protocol.nextReceiptKey(input.serverId, before, publicKey, (m) => protocol.sign(signer, 'receipt-key', m))
        : protocol.firstReceiptKey(publicKey),
    );
  });
  return protocol.adoptReceiptKeys(input.serverId, keys.slice(0, 1), keys);
}

interface PartsInput {
  readonly entry: string;
  readonly packIds: readonly protocol.PackId[];
  readonly attachment: string;
  readonly share: string;
  readonly receipt: string;
}

function frames(input: PartsInput) {
  const [entry, attachment, share, receipt] = [input.entry, input.attachment, input.share, input.receipt].map(
    fromHex,
  ) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const { packIds } = input;
  const request = protocol.encodeRequest({ entry, packIds, attachment, share });
  const frame = protocol.encodeFrame({ entry, packIds, attachment, receipt });
  const shown = protocol.parseEntry(entry).kind === 'snapshot-add' ? new Uint8Array(0) : attachment;
  const history = protocol.encodeHistory([{ entry, attachment: shown, receipt }]);
  const heal = protocol.encodeHeal([{ request, receipt }]);
  const attached = protocol.parseRequest(request).attached.type;
  if (protocol.parseHistory(history).length !== 1) throw new Error('the history frame was not read back');
  return { request, frame, history, heal, attached, chainHash: protocol.chainHash(entry, receipt) };
}

type SummaryInput = KeyInput & { readonly random: readonly string[] } & {
  readonly summary: protocol.Summary & { readonly kind: protocol.EntryKind; readonly mandateRef: protocol.MandateRef };
};

function sealSummary(input: SummaryInput) {
  const keys = keysOf(input);
  const sealed = protocol.sealSummary(keys, input.summary, drawsOf(input.random));
  const { vaultId, generation } = keys;
  const { kind, mandateRef } = input.summary;
  return { sealed, opened: protocol.openSummary(keys, { kind, mandateRef, vaultId, generation, summary: sealed }) };
}

type RecordInput = KeyInput & { readonly record: protocol.SnapshotRecord; readonly random: readonly string[] };

function sealRecord(input: RecordInput) {
  const keys = keysOf(input);
  const mandate = keys.mandate(input.record.mandateId);
  const sealed = protocol.sealRecord(mandate, keys.generation, input.record, drawsOf(input.random));
  const opened = protocol.openRecord(mandate, sealed);
  return { sealed, snapshotId: protocol.snapshotIdOf(sealed), plain: protocol.encodeRecord(opened) };
}

interface KeepsInput {
  readonly plan: protocol.Plan;
  readonly now: number;
  readonly snapshots: readonly protocol.PlanSnapshot[];
}

/** What a golden vector's `op` runs: from `in` it must give exactly `out`. */
export const OPERATIONS = {
  ...PACK_OPERATIONS,
  derive,
  header: createHeader,
  entry: encodeEntry,
  receipt: encodeReceipt,
  'receipt-keys': receiptKeys,
  frames,
  summary: sealSummary,
  record: sealRecord,
  plan: (plan: protocol.Plan) => ({
    bytes: protocol.encodePlan(plan),
    read: protocol.parsePlan(protocol.encodePlan(plan)),
  }),
  'plan-keeps': ({ plan, snapshots, now }: KeepsInput) => [...protocol.planKeeps(plan, snapshots, now)].toSorted(),
  'live-set': (live: readonly protocol.LiveSnapshot[]) => protocol.encodeLiveSet(live),
  replacement: (packs: readonly protocol.ReplacedPack[]) => protocol.encodeReplacement(packs),
  'lost-history': (lost: protocol.LostHistory) => protocol.encodeLostHistory(lost),
  kit: (secret: string) => {
    const text = protocol.encodeKit(fromHex(secret));
    return { text, secret: protocol.decodeKit(text) };
  },
  'head-code': ({ seq, hash }: { readonly seq: number; readonly hash: protocol.Hash }) => {
    const code = protocol.headCode(seq, hash);
    return { code, ...protocol.parseHeadCode(code) };
  },
  secret: (text: string) => protocol.normaliseSecret(text),
  'share-id': ({ vaultId, share }: { readonly vaultId: protocol.VaultId; readonly share: string }) =>
    protocol.shareIdOf(vaultId, fromHex(share)),
  proof: (input: KeyInput & { readonly deviceId: protocol.DeviceId; readonly challenge: string }) => {
    const keys = keysOf(input);
    const message = protocol.proofMessage(keys.vaultId, input.deviceId, fromHex(input.challenge));
    const signature = keys.sign('proof', message);
    protocol.verifyProof(keys.publicKey, message, signature);
    return { message, signature };
  },
  'pack-list': (ids: readonly protocol.PackId[]) => protocol.packListHash(ids),
} as const;

export type Operation = keyof typeof OPERATIONS;
