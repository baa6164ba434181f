// node -C @cresus-safe/source tests/vectors/generate.ts: writes all vectors but those of packs, catalogs and chunks.
import * as protocol from '@cresus-safe/protocol';
import { writeMustFail } from './generate-must-fail.ts';
import { OPERATIONS } from './operations.ts';
import {
  bytesFor,
  DEVICE_ID,
  hexFor,
  KDF,
  KIT,
  MANDATE,
  MANDATE_ID,
  PREVIOUS,
  packIds,
  RECEIPT_SEED,
  RECORD,
  ROTATED,
  SECRET,
  SERVER_ID,
  SHARE,
  SLOT_DRAWS,
  SUMMARY,
  TIME,
  VAULT,
  type Vector,
  writeGolden,
} from './world.ts';

const { asHash, asSnapshotId, NO_HASH, NO_MANDATE, NO_PACKS, packListHash, sha256, toHex } = protocol;

const HEADER_INPUT = { ...VAULT, secret: SECRET, share: SHARE, kdf: KDF, headerSeq: 1, random: SLOT_DRAWS.slice(0, 2) };

async function headers(): Promise<Vector[]> {
  const withKit = { ...HEADER_INPUT, kit: KIT, headerSeq: 2, random: SLOT_DRAWS };
  return [
    { name: 'secret slot only', op: 'header', in: HEADER_INPUT },
    { name: 'secret and kit slot', op: 'header', in: withKit },
    { name: 'generation 1 with the earlier root', op: 'header', in: { ...withKit, ...ROTATED, headerSeq: 3 } },
    { name: 'the costs that writers use', op: 'header', in: { ...HEADER_INPUT, kdf: protocol.DEFAULT_KDF } },
    { name: 'share id', op: 'share-id', in: { vaultId: VAULT.vaultId, share: SHARE } },
  ];
}

const SUMMARY_BYTES = OPERATIONS.summary({
  ...VAULT,
  summary: { ...SUMMARY, kind: 'snapshot-add', mandateRef: MANDATE.ref },
  random: [hexFor('summary salt', 32)],
}).sealed;

const SEALED_RECORD = OPERATIONS.record({ ...VAULT, record: RECORD, random: [hexFor('record salt', 32)] });

const COMMON = {
  generation: 0,
  vaultId: VAULT.vaultId,
  seq: 2,
  previous: PREVIOUS,
  deviceId: DEVICE_ID,
  mandateRef: NO_MANDATE,
  holdUntil: 0,
  packListHash: NO_PACKS,
  summary: '',
};

const LIVE: protocol.LiveSnapshot[] = [
  { snapshotId: SEALED_RECORD.snapshotId, seq: 2, mandateRef: MANDATE.ref, holdUntil: 0 },
  { snapshotId: asSnapshotId(hexFor('snapshot', 32)), seq: 5, mandateRef: MANDATE.ref, holdUntil: 20361231 },
];
const REPLACED: protocol.ReplacedPack[] = packIds(2).map((newId, index) => ({
  packRef: protocol.asPackRef(`${index}${hexFor('lost', 16).slice(1)}`),
  oldId: protocol.asPackId(hexFor(`old pack ${index}`, 32)),
  newId,
}));
const LOST: protocol.LostHistory = {
  base: 1,
  lostHead: 3,
  hashes: [asHash(hexFor('lost 2', 32)), asHash(hexFor('lost 3', 32))],
};

interface Sample {
  readonly entry: typeof COMMON & { readonly kind: protocol.EntryKind; readonly subject: protocol.Hash };
  readonly packIds: readonly protocol.PackId[];
  readonly attachment: Uint8Array;
  readonly share: Uint8Array;
}

const NONE = new Uint8Array(0);

/** One entry of each kind with all that is sent beside it. */
async function samples(): Promise<Sample[]> {
  const header = (await OPERATIONS.header({ ...HEADER_INPUT, share: toHex(SHARE) })).bytes;
  const next = { ...HEADER_INPUT, share: toHex(SHARE), headerSeq: 2 };
  const changed = (await OPERATIONS.header({ ...next, kit: toHex(KIT), random: SLOT_DRAWS })).bytes;
  const rotated = (await OPERATIONS.header({ ...next, ...ROTATED })).bytes;
  const of = (
    kind: protocol.EntryKind,
    attachment: Uint8Array,
    more: object = {},
    ids: protocol.PackId[] = [],
  ): Sample => ({
    entry: { ...COMMON, kind, subject: asHash(sha256(attachment)), packListHash: packListHash(ids), ...more },
    packIds: ids,
    attachment,
    share: protocol.attachmentOf(kind) === 'header' ? SHARE : NONE,
  });
  const snapshot = { mandateRef: MANDATE.ref, subject: asHash(SEALED_RECORD.snapshotId) };
  return [
    of('vault-create', header, { seq: 1, previous: NO_HASH }),
    of('snapshot-add', SEALED_RECORD.sealed, { ...snapshot, summary: toHex(SUMMARY_BYTES) }, packIds(2)),
    of('snapshot-forget', NONE, { ...snapshot, seq: 3 }),
    of('snapshot-unforget', NONE, { ...snapshot, seq: 4 }),
    of('year-closed', NONE, { ...snapshot, seq: 5, holdUntil: protocol.holdUntilFor(2026) }),
    of('slot-change', changed, { seq: 6 }),
    of('generation', rotated, { seq: 7 }),
    of('plan', protocol.encodePlan(protocol.DEFAULT_PLAN), { seq: 8 }),
    of('pack-replaced', protocol.encodeReplacement(REPLACED), { seq: 9, mandateRef: MANDATE.ref }, packIds(2)),
    of('checkpoint', protocol.encodeLiveSet(LIVE), { seq: 10 }),
    of('rollback-accepted', protocol.encodeLostHistory(LOST), { seq: 2 }),
  ];
}

function receiptOf(sample: Sample, entry: Uint8Array): { seed: Uint8Array; receipt: protocol.ReceiptFields } {
  const { vaultId, seq, packListHash: list } = sample.entry;
  const receipt = {
    keyId: protocol.receiptKeyId(protocol.publicKeyOf(RECEIPT_SEED)),
    serverId: SERVER_ID,
    vaultId,
    seq,
    entryHash: asHash(sha256(entry)),
    packListHash: list,
    bytes: sample.packIds.length * protocol.PACK_GRANULE_BYTES,
    time: TIME,
  };
  return { seed: RECEIPT_SEED, receipt };
}

const snapshotsOverYears: protocol.PlanSnapshot[] = [
  0, 0, 1, 6, 29, 30, 31, 36, 37, 90, 200, 364, 365, 400, 430, 3649, 3650, 4000,
].map((days, index) => ({
  id: asSnapshotId(hexFor(`kept ${index}`, 32)),
  mandateRef: index % 5 === 4 ? protocol.asMandateRef(hexFor('other mandate', 16)) : MANDATE.ref,
  seq: 1000 - index,
  receivedAt: TIME - days * 86_400_000 - index * 1000,
  holdUntil: index === 16 ? 20361231 : 0,
}));

async function main(): Promise<void> {
  const all = await samples();
  const entries = all.map(({ entry }) => ({ name: entry.kind, op: 'entry' as const, in: { ...VAULT, entry } }));
  const bytes = all.map(({ entry }) => OPERATIONS.entry({ ...VAULT, entry }).bytes);
  const receipts = all.map((sample, index) => receiptOf(sample, bytes[index] as Uint8Array));
  await writeGolden('keys.json', '4', [
    { name: 'generation 0', op: 'derive', in: { ...VAULT, mandateId: MANDATE_ID } },
    { name: 'generation 1', op: 'derive', in: { ...ROTATED, mandateId: MANDATE_ID } },
    { name: 'secret key, composed', op: 'secret', in: 'Clé du coffre 1291' },
    { name: 'secret key, decomposed, same bytes', op: 'secret', in: 'Cle\u0301 du coffre 1291' },
    { name: 'secret key beyond the BMP', op: 'secret', in: '🔑🔑🔑🔑🔑🔑🔑🔑' },
  ]);
  await writeGolden('header.json', '4.2 and 5', await headers());
  await writeGolden('entry.json', '6', entries);
  await writeGolden('receipt.json', '7', [
    ...receipts.slice(0, 2).map((one) => ({ name: `receipt ${one.receipt.seq}`, op: 'receipt' as const, in: one })),
    {
      name: 'three keys, each endorsed by the one before',
      op: 'receipt-keys',
      in: { serverId: SERVER_ID, seeds: [1, 2, 3].map((n) => bytesFor(`receipt key ${n}`, 32)) },
    },
  ]);
  await writeGolden(
    'frames.json',
    '8',
    all.map((sample, index) => {
      const entry = bytes[index] as Uint8Array;
      const receipt = OPERATIONS.receipt({ ...receiptOf(sample, entry), seed: toHex(RECEIPT_SEED) }).bytes;
      const { packIds: ids, attachment, share } = sample;
      return { name: sample.entry.kind, op: 'frames', in: { entry, packIds: ids, attachment, share, receipt } };
    }),
  );
  await writeGolden('summary.json', '6', [
    {
      name: 'snapshot-add',
      op: 'summary',
      in: {
        ...VAULT,
        summary: { ...SUMMARY, kind: 'snapshot-add', mandateRef: MANDATE.ref },
        random: [hexFor('summary salt', 32)],
      },
    },
    {
      name: 'a comment cut between code points',
      op: 'summary',
      in: {
        ...VAULT,
        summary: { ...SUMMARY, comment: '€'.repeat(86), kind: 'snapshot-add', mandateRef: MANDATE.ref },
        random: [hexFor('summary salt 2', 32)],
      },
    },
  ]);
  await writeGolden('record.json', '12', [
    {
      name: 'two packs, a problem',
      op: 'record',
      in: { ...VAULT, record: RECORD, random: [hexFor('record salt', 32)] },
    },
    {
      name: 'generation 1',
      op: 'record',
      in: { ...ROTATED, record: { ...RECORD, generation: 1 }, random: [hexFor('record salt 2', 32)] },
    },
  ]);
  await writeGolden('plan.json', '13', [
    { name: 'default', op: 'plan', in: protocol.DEFAULT_PLAN },
    {
      name: 'what it keeps',
      op: 'plan-keeps',
      in: { plan: protocol.DEFAULT_PLAN, now: TIME, snapshots: snapshotsOverYears },
    },
  ]);
  await writeGolden('checkpoint.json', '13', [
    { name: 'two snapshots, one held', op: 'live-set', in: LIVE },
    { name: 'empty', op: 'live-set', in: [] },
  ]);
  await writeGolden('replacement.json', '13', [{ name: 'two packs', op: 'replacement', in: REPLACED }]);
  await writeGolden('lost-history.json', '13', [{ name: 'two entries given up', op: 'lost-history', in: LOST }]);
  await writeGolden('kit.json', '14', [
    { name: 'kit', op: 'kit', in: KIT },
    { name: 'all zero', op: 'kit', in: new Uint8Array(20) },
  ]);
  await writeGolden('head-code.json', '14', [
    { name: 'head code', op: 'head-code', in: { seq: 1234, hash: PREVIOUS } },
    { name: 'first entry', op: 'head-code', in: { seq: 1, hash: 'f'.repeat(64) } },
  ]);
  await writeGolden('proof.json', '16', [
    {
      name: 'proof of a device',
      op: 'proof',
      in: { ...VAULT, deviceId: DEVICE_ID, challenge: bytesFor('challenge', 32) },
    },
  ]);
  await writeGolden('pack-list.json', '6', [
    { name: 'two packs', op: 'pack-list', in: packIds(2) },
    { name: 'none', op: 'pack-list', in: [] },
  ]);
  await writeMustFail({
    headers: {
      secretOnly: all[0]?.attachment as Uint8Array,
      withKit: all[5]?.attachment as Uint8Array,
      rotated: all[6]?.attachment as Uint8Array,
    },
    samples: all.map((sample, index) => {
      const entry = bytes[index] as Uint8Array;
      return {
        ...sample,
        bytes: entry,
        receipt: OPERATIONS.receipt({ ...receiptOf(sample, entry), seed: toHex(RECEIPT_SEED) }).bytes,
      };
    }),
    summary: SUMMARY_BYTES,
    record: SEALED_RECORD.sealed,
    recordPlain: SEALED_RECORD.plain,
  });
}

await main();
