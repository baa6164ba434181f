import { join } from 'node:path';
import * as protocol from '@cresus-safe/protocol';
import { keysOf } from './operations.ts';
import { type Json, toVector } from './values.ts';
import {
  bytesFor,
  hexFor,
  KEYS,
  KIT,
  MANDATE,
  MANDATE_ID,
  PREVIOUS,
  packIds,
  RECEIPT_SEED,
  ROTATED,
  SECRET,
  SERVER_ID,
  SHARE,
  VAULT,
  writeVectors,
} from './world.ts';

const { concat, fromHex, toHex, Writer } = protocol;

interface Sample {
  readonly entry: { readonly kind: protocol.EntryKind };
  readonly packIds: readonly protocol.PackId[];
  readonly attachment: Uint8Array;
  readonly share: Uint8Array;
  readonly bytes: Uint8Array;
  readonly receipt: Uint8Array;
}

export interface Material {
  readonly headers: { readonly secretOnly: Uint8Array; readonly withKit: Uint8Array; readonly rotated: Uint8Array };
  /** One of each kind, in the order of their codes. */
  readonly samples: readonly Sample[];
  readonly summary: Uint8Array;
  readonly record: Uint8Array;
  readonly recordPlain: Uint8Array;
}

interface Case {
  readonly name: string;
  readonly attack?: string;
  readonly what: string;
  readonly in: unknown;
  readonly error: { readonly kind: protocol.ProtocolErrorKind; readonly message: string };
}

type Kind = protocol.ProtocolErrorKind;
type Row = readonly [name: string, input: unknown, kind: Kind, message: string, attack?: string];

function cases(what: string, rows: readonly Row[]): Case[] {
  return rows.map(([name, input, kind, message, attack]) => ({
    name,
    ...(attack && { attack }),
    what,
    in: input,
    error: { kind, message },
  }));
}

const u32 = (value: number): Uint8Array => protocol.u32Bytes(value);
const HUGE = new Uint8Array(8).fill(0xff);

/** A copy with other bytes from `at` on. */
function put(bytes: Uint8Array, at: number, ...values: (number | Uint8Array)[]): Uint8Array {
  const copy = bytes.slice();
  let to = at;
  for (const value of values) {
    const part = typeof value === 'number' ? [value] : value;
    copy.set(part, to);
    to += part.length;
  }
  return copy;
}

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const index = at < 0 ? bytes.length + at : at;
  return put(bytes, index, (bytes[index] ?? 0) ^ 1);
}

/** Signs again, so that the defect put in before is the only one. */
function signed(name: protocol.SignatureName, bytes: Uint8Array, keys: protocol.VaultKeys = KEYS): Uint8Array {
  const body = bytes.subarray(0, -64);
  return concat(body, keys.sign(name, body));
}

// offsets in a header (SPEC 5); the second slot and what follows lie 148 bytes further
const SLOT = 84;
const SALT = SLOT + 20;
const M = SLOT + 52;
const T = M + 4;
const P = T + 4;
const SLOT_GENERATION = P + 4;
const SEALED = SLOT_GENERATION + 36;
const SECOND = SLOT + 148;

function headerCases({ secretOnly, withKit, rotated }: Material['headers']): Case[] {
  const of = (base: Uint8Array, at: number, ...values: (number | Uint8Array)[]) =>
    signed('header', put(base, at, ...values));
  const thirdSlot = concat(
    secretOnly.subarray(0, -64),
    secretOnly.subarray(SLOT, SLOT + 148),
    secretOnly.subarray(SLOT, SLOT + 148),
    bytesFor('signature', 64),
  );
  const cut = concat(secretOnly.subarray(0, -65), secretOnly.subarray(-64));
  const more = concat(secretOnly.subarray(0, -64), Uint8Array.of(0), secretOnly.subarray(-64));
  return [
    ...cases('header', [
      ['another magic', of(secretOnly, 3, 0x49), 'format', 'magic is not CSVH'],
      ['version 2', of(secretOnly, 4, 2), 'version', 'version 2 is not known'],
      ['needs reader 2', of(secretOnly, 5, 2), 'version', 'needs a reader of version 2'],
      ['minReader 0', of(secretOnly, 5, 0), 'format', 'minReader or minWriter is 0'],
      ['reserved byte after minWriter', of(secretOnly, 7, 1), 'format', 'reserved byte after minWriter is not zero'],
      ['headerSeq 0', of(secretOnly, 28, u32(0)), 'format', 'headerSeq is 0'],
      ['no slot', of(secretOnly, 80, 0), 'format', '0 slots'],
      ['a third slot', signed('header', put(thirdSlot, 80, 3)), 'format', '3 slots', 'MS-14'],
      ['a second secret slot', of(withKit, SECOND, 1), 'format', 'slot type is 1 where the kit slot belongs', 'MS-14'],
      ['kit slot first', of(secretOnly, SLOT, 2), 'format', 'slot type is 2 where the secret slot belongs'],
      ['reserved byte after slotCount', of(secretOnly, 81, 1), 'format', 'reserved byte after slotCount is not zero'],
      ['an earlier root in generation 0', of(secretOnly, 82, 0, 1), 'format', '1 earlier roots in generation 0'],
      ['17 earlier roots', of(secretOnly, 82, 0, 17), 'format', '17 earlier roots, over 16'],
      ['reserved bytes of a slot', of(secretOnly, SLOT + 2, 1), 'format', 'reserved bytes of the slot is not zero'],
      ['zero salt', of(secretOnly, SALT, new Uint8Array(32)), 'format', 'salt of the secret slot is zero', 'MS-12'],
      [
        'zero salt of the kit',
        of(withKit, SALT + 148, new Uint8Array(32)),
        'format',
        'salt of the kit slot is zero',
        'MS-12',
      ],
      [
        'slot of another generation',
        of(secretOnly, SLOT_GENERATION, u32(1)),
        'format',
        'generation of the secret slot',
      ],
      [
        'the same slotId twice',
        of(withKit, SECOND + 4, withKit.subarray(SLOT + 4, SLOT + 20)),
        'format',
        'both slots have the same slotId',
      ],
      ['kit with Argon2id costs', of(withKit, M + 148, u32(65_536)), 'format', 'kit slot has Argon2id parameters'],
      [
        'earlier root of generation 5',
        signed('header', put(rotated, SECOND, u32(5)), keysOf(ROTATED)),
        'format',
        'earlier root 0 has generation 5',
      ],
      ['a byte missing', signed('header', cut), 'format', 'ends within signature'],
      ['a byte too many', signed('header', more), 'format', '1 trailing bytes'],
      ['over 4 KiB', concat(secretOnly, new Uint8Array(4096)), 'limit', 'over 4096'],
      ['a bit of the signature', flip(secretOnly, -1), 'signature', 'not by the public key it names'],
      [
        'another public key',
        put(secretOnly, 32, protocol.publicKeyOf(bytesFor('attacker', 32))),
        'signature',
        'not by the public key it names',
      ],
    ]),
    ...cases('header-write', [['needs writer 2', of(secretOnly, 6, 2), 'version', 'needs a writer of version 2']]),
  ];
}

/** A server that invents a root, wraps it for a share and secret that it knows, and keeps the header's public key. */
async function attackersRoot(secretOnly: Uint8Array): Promise<Uint8Array> {
  const keys = protocol.VaultKeys.create((n) => (n === 16 ? fromHex(VAULT.vaultId) : bytesFor('attacker root', n)));
  const random = (n: number) => bytesFor('attacker draws', n);
  const kdf = { m: 65_536, t: 3, p: 1 };
  const secret = protocol.normaliseSecret(SECRET);
  const theirs = await protocol.createHeader(keys, { secret, share: SHARE, headerSeq: 1, kdf, random });
  return signed('header', put(secretOnly, SLOT, theirs.subarray(SLOT, SLOT + 148)));
}

async function openCases({ secretOnly, withKit }: Material['headers']): Promise<Case[]> {
  const at = (to: number, value: number) => signed('header', put(secretOnly, to, u32(value)));
  const open = (header: Uint8Array, more: object = {}) => ({ header, secret: SECRET, share: SHARE, ...more });
  const secretSalt = withKit.subarray(SALT, SALT + 32);
  const swapped = put(put(withKit, SALT, withKit.subarray(SALT + 148, SALT + 180)), SALT + 148, secretSalt);
  return [
    ...cases('open-secret', [
      ['m lowered to 8 KiB', open(at(M, 8)), 'kdf-downgrade', 'm is 8', 'MS-09'],
      ['t lowered to 1', open(at(T, 1)), 'kdf-downgrade', 't is 1', 'MS-09'],
      [
        'weaker than seen before',
        open(secretOnly, { kdfFloor: protocol.DEFAULT_KDF }),
        'kdf-downgrade',
        'weaker than this device saw',
        'MS-09',
      ],
      ['m raised to 4 TiB', open(at(M, 0xffffffff)), 'kdf-limit', 'm times t', 'MS-10'],
      ['t raised to 2^32-1', open(at(T, 0xffffffff)), 'kdf-limit', 'm times t', 'MS-10'],
      ['p raised to 2^24', open(at(P, 2 ** 24)), 'kdf-limit', 'p is 16777216', 'MS-10'],
      ['p lowered to 0', open(at(P, 0)), 'kdf-limit', 'p is 0', 'MS-09'],
      ['other p than the slot was made with', open(at(P, 2)), 'wrong-secret', 'commitment differs', 'MS-12'],
      [
        'salts of the two slots swapped',
        open(signed('header', swapped)),
        'wrong-secret',
        'commitment differs',
        'MS-12',
      ],
      [
        'another share',
        open(secretOnly, { share: hexFor('another share', 32) }),
        'wrong-share',
        'does not fit the header',
      ],
      ['another secret', open(secretOnly, { secret: 'un autre secret' }), 'wrong-secret', 'commitment differs'],
      [
        'commitment fits, seal does not open',
        open(signed('header', flip(secretOnly, SEALED))),
        'integrity',
        'authentication failed',
        'MS-13',
      ],
      [
        'a root invented by the server',
        open(await attackersRoot(secretOnly)),
        'integrity',
        'public key is not that of the header',
        'MS-14',
      ],
    ]),
    ...cases('open-kit', [
      ['another kit', { header: withKit, kit: hexFor('another kit', 20) }, 'wrong-kit', 'commitment differs'],
      ['a vault without kit', { header: secretOnly, kit: KIT }, 'wrong-kit', 'no recovery kit'],
      ['kit of 19 bytes', { header: withKit, kit: KIT.subarray(1) }, 'format', 'not 20 bytes'],
      [
        'salts of the two slots swapped',
        { header: signed('header', swapped), kit: KIT },
        'wrong-kit',
        'commitment differs',
        'MS-12',
      ],
      [
        'a bit of the sealed root',
        { header: signed('header', flip(withKit, SEALED + 148)), kit: KIT },
        'integrity',
        'authentication failed',
      ],
    ]),
  ];
}

function textCases(): Case[] {
  const kit = protocol.encodeKit(KIT);
  const words = (bytes: Uint8Array, prefix: string) => prefix + toHex(bytes);
  return [
    ...cases('secret', [
      ['seven characters', 'abcdefg', 'short-secret', 'fewer than 8'],
      ['eight code points that become seven', 'abcdefe\u0301', 'short-secret', 'fewer than 8'],
      ['control character', 'abcd\tefgh', 'bad-secret', 'control character'],
      ['unpaired surrogate', 'abcdefgh\ud800', 'bad-secret', 'unpaired surrogate'],
      ['unassigned code point', 'abcdefgh\u0378', 'bad-secret', 'unassigned'],
      ['over 1024 bytes', 'é'.repeat(513), 'bad-secret', 'longer than 1024 bytes'],
    ]),
    ...cases('kdf', [
      ['fractional m', { m: 65_536.5, t: 3, p: 1 }, 'kdf-limit', 'not whole numbers', 'MS-11'],
      ['negative t', { m: 65_536, t: -1, p: 1 }, 'kdf-limit', 'not whole numbers', 'MS-11'],
      ['m as text', { m: '65536', t: 3, p: 1 }, 'kdf-limit', 'not whole numbers', 'MS-11'],
    ]),
    ...cases('kit', [
      [
        'a letter mistyped',
        kit.replace(/.$/, (last) => (last === 'Q' ? 'P' : 'Q')),
        'format',
        'a letter is wrong or missing',
      ],
      ['a letter missing', kit.slice(0, -1), 'format', 'a letter is wrong or missing'],
      [
        'capitals and small letters',
        kit.slice(0, -1) + kit.slice(-1).toLowerCase().replace(/[0-9]/, 'q'),
        'format',
        'a letter is wrong or missing',
      ],
      [
        'another prefix (BIP-350 sample)',
        'abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx',
        'format',
        'does not begin with CSKIT',
      ],
      ['hex instead of letters', words(KIT, 'cskit1'), 'format', 'a letter is wrong or missing'],
    ]),
    ...cases('head-code', [
      ['seq 0', '0-AAAA-AAAA-AAAA-AAAA', 'format', 'head code'],
      ['three groups', '12-AAAA-AAAA-AAAA', 'format', 'head code'],
      ['a digit that base32 lacks', '12-AAAA-AAAA-AAAA-AAA1', 'format', 'head code'],
      ['seq over 2^53-1', '9999999999999999-AAAA-AAAA-AAAA-AAAA', 'format', 'head code'],
    ]),
  ];
}

// offsets in an entry (SPEC 6)
const KIND = 5;
const SEQ = 28;
const ENTRY_PREVIOUS = 36;
const MANDATE_REF = 84;
const HOLD = 100;
const SUBJECT = 104;
const PACK_LIST = 136;
const ZERO_32 = new Uint8Array(32);

function entryCases(samples: readonly Sample[]): Case[] {
  const [create, add, forget, , closed, , , plan] = samples.map(({ bytes }) => bytes) as Uint8Array[];
  if (!create || !add || !forget || !closed || !plan) throw new Error('samples are missing');
  const entry = (bytes: Uint8Array) => ({ entry: bytes, publicKey: KEYS.publicKey });
  const of = (base: Uint8Array, at: number, ...values: (number | Uint8Array)[]) =>
    entry(signed('entry', put(base, at, ...values)));
  const seq = (value: number) => new Writer(8).u64(value).finish();
  const noSummary = concat(add.subarray(0, 168), Uint8Array.of(0, 0), new Uint8Array(64));
  return cases('entry', [
    ['another magic', of(plan, 0, 0x44), 'format', 'magic is not CSJE'],
    ['version 0', of(plan, 4, 0), 'version', 'version 0 is not known'],
    ['kind 0', of(plan, KIND, 0), 'format', 'kind 0 is not known'],
    ['kind 12', of(plan, KIND, 12), 'format', 'kind 12 is not known'],
    ['reserved bytes', of(plan, KIND + 2, 1), 'format', 'reserved bytes is not zero'],
    ['seq 0', of(plan, SEQ, seq(0)), 'format', 'seq is 0'],
    ['seq over 2^53-1', of(plan, SEQ, HUGE), 'format', 'seq is over 2^53-1'],
    ['vault-create at seq 2', of(create, SEQ, seq(2)), 'format', 'vault-create at seq 2'],
    ['plan at seq 1', of(plan, SEQ, seq(1)), 'format', 'plan at seq 1'],
    [
      'vault-create with a previous entry',
      of(create, ENTRY_PREVIOUS, fromHex(PREVIOUS)),
      'format',
      'previous of the first entry is not zero',
    ],
    ['no previous entry at seq 8', of(plan, ENTRY_PREVIOUS, ZERO_32), 'format', 'previous is zero'],
    ['vault-create of generation 1', of(create, 8, u32(1)), 'format', 'generation other than 0'],
    ['snapshot-add without mandate', of(add, MANDATE_REF, new Uint8Array(16)), 'format', 'without a mandateRef'],
    ['plan with a mandate', of(plan, MANDATE_REF, fromHex(MANDATE.ref)), 'format', 'plan with a mandateRef'],
    [
      'forget with packs',
      of(forget, PACK_LIST, fromHex(protocol.packListHash(packIds(1)))),
      'format',
      'snapshot-forget with packs',
    ],
    ['snapshot-add with a hold', of(add, HOLD, u32(20361231)), 'format', 'snapshot-add with a holdUntil'],
    ['year-closed without hold', of(closed, HOLD, u32(0)), 'format', 'not a 31 December'],
    ['year-closed on 30 June', of(closed, HOLD, u32(20360630)), 'format', 'not a 31 December'],
    [
      'snapshot-add without summary',
      entry(signed('entry', noSummary)),
      'format',
      'summary of snapshot-add has 0 bytes',
    ],
    [
      'a byte too many',
      entry(signed('entry', concat(plan.subarray(0, -64), Uint8Array.of(0), plan.subarray(-64)))),
      'format',
      '1 trailing bytes',
    ],
    ['the last byte missing', entry(plan.subarray(0, -1)), 'format', 'ends within signature'],
    ['over 4 KiB', entry(concat(plan, new Uint8Array(4096))), 'limit', 'over 4096'],
    ['another subject, not signed', entry(flip(plan, SUBJECT)), 'signature', 'not by the vault key', 'MS-21'],
    [
      'signed by another key',
      entry(signed('entry', plan, keysOf(ROTATED))),
      'signature',
      'not by the vault key',
      'MS-21',
    ],
    [
      'signed as a header',
      entry(concat(plan.subarray(0, -64), KEYS.sign('header', plan.subarray(0, -64)))),
      'signature',
      'not by the vault key',
    ],
  ]);
}

function receiptCases(receipt: Uint8Array): Case[] {
  const publicKey = protocol.publicKeyOf(RECEIPT_SEED);
  const first = protocol.firstReceiptKey(publicKey);
  const other = protocol.publicKeyOf(bytesFor('receipt key 2', 32));
  const next = protocol.nextReceiptKey(SERVER_ID, first, other, (m) => protocol.sign(RECEIPT_SEED, 'receipt-key', m));
  const self = protocol.nextReceiptKey(SERVER_ID, first, other, (m) =>
    protocol.sign(bytesFor('receipt key 2', 32), 'receipt-key', m),
  );
  const of = (bytes: Uint8Array, keys = [first], serverId: string = SERVER_ID) => ({ receipt: bytes, keys, serverId });
  const adopt = (pinned: unknown[], offered: unknown[]) => ({ serverId: SERVER_ID, pinned, offered });
  return [
    ...cases('receipt', [
      ['another magic', of(put(receipt, 2, 0x53)), 'format', 'magic is not CSRC'],
      ['reserved bytes', of(put(receipt, 6, 1)), 'format', 'reserved bytes is not zero'],
      ['seq 0', of(put(receipt, 48, new Uint8Array(8))), 'format', 'seq is 0'],
      ['bytes over 2^53-1', of(put(receipt, 120, HUGE)), 'format', 'bytes is over 2^53-1'],
      ['the last byte missing', of(receipt.subarray(0, -1)), 'format', 'ends within signature'],
      ['a byte too many', of(concat(receipt, Uint8Array.of(0))), 'format', '1 trailing bytes'],
      ['a bit of the time', of(flip(receipt, 135)), 'signature', 'not by its key', 'MS-23'],
      [
        'by a key that is not pinned',
        of(receipt, [protocol.firstReceiptKey(other)]),
        'signature',
        'its key is not known',
        'MS-23',
      ],
      [
        'of another server',
        of(receipt, [first], hexFor('another server', 16)),
        'signature',
        'of another server',
        'MS-23',
      ],
    ]),
    ...cases('receipt-keys', [
      ['empty list', adopt([first], []), 'signature', 'the list is empty'],
      ['a known key is gone', adopt([first, next], [first]), 'signature', 'no longer listed'],
      [
        'another first key',
        adopt([first], [protocol.firstReceiptKey(other)]),
        'signature',
        'key 1 is not the one that was known',
        'MS-23',
      ],
      ['endorsed by itself', adopt([first], [first, self]), 'signature', 'endorsement of key', 'MS-23'],
      [
        'not endorsed',
        adopt([first], [first, protocol.firstReceiptKey(other)]),
        'signature',
        'not endorsed by the one before it',
        'MS-23',
      ],
      ['another keyId', adopt([], [{ ...first, keyId: '0'.repeat(16) }]), 'signature', 'has another keyId'],
    ]),
  ];
}

function requestOf(
  sample: Sample,
  change: { entry?: Uint8Array; ids?: Uint8Array; attachment?: Uint8Array; share?: Uint8Array },
): Uint8Array {
  const ids = change.ids ?? protocol.encodePackIds(sample.packIds);
  const { entry = sample.bytes, attachment = sample.attachment, share = sample.share } = change;
  return new Writer().lp32(entry).lp32(ids).lp32(attachment).lp32(share).finish();
}

function frameCases({ samples, headers }: Material): Case[] {
  const [create, add, forget, , , change] = samples;
  if (!create || !add || !forget || !change) throw new Error('samples are missing');
  const reversed = concat(...add.packIds.toReversed().map((id) => fromHex(id)));
  const subject = (sample: Sample, attachment: Uint8Array) =>
    signed('entry', put(sample.bytes, SUBJECT, protocol.sha256(attachment)));
  const withHeader = (sample: Sample, header: Uint8Array) =>
    requestOf(sample, { entry: subject(sample, header), attachment: header });
  const otherVault = signed('header', flip(headers.secretOnly, 8));
  const none = new Uint8Array(0);
  const stored = (sample: Sample, receipt: Uint8Array) =>
    new Writer()
      .lp32(sample.bytes)
      .lp32(protocol.encodePackIds(sample.packIds))
      .lp32(sample.attachment)
      .lp32(receipt)
      .finish();
  const history = (sample: Sample, attachment: Uint8Array, receipt: Uint8Array) =>
    protocol.encodeHistory([{ entry: sample.bytes, attachment, receipt }]);
  return [
    ...cases('request', [
      ['a header without its share', requestOf(create, { share: none }), 'format', 'a header without its share'],
      [
        'a share of another header',
        requestOf(create, { share: bytesFor('another share', 32) }),
        'wrong-share',
        'does not fit the header',
      ],
      ['a share of 31 bytes', requestOf(create, { share: SHARE.subarray(1) }), 'format', 'share has 31 bytes'],
      ['a share with a snapshot', requestOf(add, { share: SHARE }), 'format', 'snapshot-add with a share'],
      ['packs in another order', requestOf(add, { ids: reversed }), 'format', 'not strictly ascending'],
      [
        'a pack left out',
        requestOf(add, { ids: reversed.subarray(32) }),
        'format',
        'packListHash is not that of the pack ids',
      ],
      ['half a pack id', requestOf(add, { ids: reversed.subarray(16) }), 'format', 'not a multiple of 32'],
      ['another record', requestOf(add, { attachment: flip(add.attachment, -1) }), 'format', 'subject is not the hash'],
      ['no record', requestOf(add, { attachment: none }), 'format', 'has no attachment'],
      ['an attachment to a forget', requestOf(forget, { attachment: Uint8Array.of(1) }), 'format', 'has an attachment'],
      ['header of another vault', withHeader(create, otherVault), 'format', 'header is of another vault', 'MS-15'],
      ['headerSeq 2 of a new vault', withHeader(create, headers.withKit), 'format', 'headerSeq is 2'],
      ['headerSeq 1 of a slot-change', withHeader(change, headers.secretOnly), 'format', 'headerSeq is 1'],
      ['next generation in a slot-change', withHeader(change, headers.rotated), 'format', 'header is of generation 1'],
      [
        'header with a broken signature',
        withHeader(create, flip(headers.secretOnly, -1)),
        'signature',
        'not by the public key it names',
      ],
      ['a byte too many', concat(requestOf(add, {}), Uint8Array.of(0)), 'format', '1 trailing bytes'],
      ['a length beyond the end', put(requestOf(forget, {}), 0, u32(4000)), 'format', 'ends within entry'],
      ['an entry longer than 4 KiB', put(requestOf(forget, {}), 0, u32(4097)), 'format', 'entry is longer than 4096'],
    ]),
    ...cases('frame', [
      ['receipt of another entry', stored(add, forget.receipt), 'format', 'is not the entry'],
      ['no receipt', stored(add, none), 'format', 'ends within magic'],
    ]),
    ...cases('history', [
      ['a record within the history', history(add, add.attachment, add.receipt), 'format', 'with a record'],
      ['receipt of another entry', history(forget, none, add.receipt), 'format', 'is not the entry'],
      ['a cut frame', history(forget, none, forget.receipt).subarray(0, -1), 'format', 'ends within receipt'],
    ]),
    ...cases('heal', [
      [
        'receipt of another entry',
        new Writer().lp32(requestOf(add, {})).lp32(forget.receipt).finish(),
        'format',
        'is not the entry',
      ],
    ]),
  ];
}

function attachmentCases(samples: readonly Sample[]): Case[] {
  const [plan, replacement, live, lost] = [7, 8, 9, 10].map((index) => samples[index]?.attachment) as Uint8Array[];
  if (!plan || !replacement || !live || !lost) throw new Error('samples are missing');
  const swap = (bytes: Uint8Array, size: number) =>
    concat(bytes.subarray(0, 12), bytes.subarray(12 + size), bytes.subarray(12, 12 + size));
  return [
    ...cases('plan', [
      ['another magic', put(plan, 3, 0x4d), 'format', 'magic is not CSPL'],
      ['a byte too many', concat(plan, Uint8Array.of(0)), 'format', '1 trailing bytes'],
      ['reserved bytes', put(plan, 5, 1), 'format', 'reserved bytes is not zero'],
    ]),
    ...cases('live-set', [
      ['not in order', swap(live, 60), 'format', 'not strictly ascending by seq'],
      ['the same snapshot twice', put(live, 72, live.subarray(12, 44)), 'format', 'the same snapshot twice'],
      ['held until 31 February', put(live, 68, u32(20360231)), 'format', 'holdUntil is not a date'],
      ['count too large', put(live, 8, u32(3)), 'format', 'ends within snapshotId'],
      ['count of 2^32-1', put(live, 8, u32(0xffffffff)), 'format', 'ends within snapshotId'],
    ]),
    ...cases('replacement', [
      ['not in order', swap(replacement, 80), 'format', 'not strictly ascending by packRef'],
      ['a pack by itself', put(replacement, 60, replacement.subarray(28, 60)), 'format', 'a pack replaces itself'],
    ]),
    ...cases('lost-history', [
      ['count does not fit', put(lost, 23, 4), 'format', 'count is not lostHead - base'],
      ['base 0', put(lost, 15, 0), 'format', 'base is 0'],
      ['over 100,000', put(lost, 24, u32(100_001)), 'format', 'over 100000'],
    ]),
  ];
}

function sealedCases({ summary, record, recordPlain }: Material): Case[] {
  const sum = (bytes: Uint8Array, more: object = {}) => ({
    ...VAULT,
    kind: 'snapshot-add',
    mandateRef: MANDATE.ref,
    generation: 0,
    summary: bytes,
    ...more,
  });
  const rec = (bytes: Uint8Array) => ({ ...VAULT, mandateId: MANDATE_ID, record: bytes });
  const otherMandate = { ...rec(record), mandateId: hexFor('another mandate', 16) };
  return [
    ...cases('summary', [
      ['of another kind', sum(summary, { kind: 'year-closed' }), 'integrity', 'commitment differs'],
      [
        'of another mandate',
        sum(summary, { mandateRef: hexFor('another mandate', 16) }),
        'integrity',
        'commitment differs',
        'MS-07',
      ],
      [
        'of another vault',
        sum(summary, { vaultId: hexFor('another vault', 16) }),
        'integrity',
        'commitment differs',
        'MS-07',
      ],
      [
        'of a generation that the header does not open',
        sum(summary, { generation: 1 }),
        'integrity',
        'generation 1 is not opened',
      ],
      ['a bit of the seal', sum(flip(summary, -1)), 'integrity', 'authentication failed'],
      ['a byte missing', sum(summary.subarray(1)), 'format', '591 bytes, not 592'],
    ]),
    ...cases('record', [
      ['of another mandate', otherMandate, 'integrity', 'of another mandate', 'MS-07'],
      ['another magic', rec(put(record, 3, 0x4b)), 'format', 'magic is not CSRD'],
      ['a packRef in a record', rec(put(record, 28, 1)), 'format', 'the place of the packRef is not zero'],
      [
        'of a generation that the header does not open',
        rec(put(record, 8, u32(1))),
        'integrity',
        'generation 1 is not opened',
      ],
      ['a bit of the commitment', rec(flip(record, 80)), 'integrity', 'commitment differs', 'MS-13'],
      ['a bit of the salt', rec(flip(record, 50)), 'integrity', 'commitment differs'],
      ['a bit of the seal', rec(flip(record, -1)), 'integrity', 'authentication failed'],
      ['only its header', rec(record.subarray(0, 108)), 'format', 'ends within the sealed part'],
    ]),
    ...cases('record-plain', [
      ['padding that is not zero', put(recordPlain, recordPlain.length - 1, 1), 'format', 'padding is not zero'],
      ['a block of padding too many', concat(recordPlain, new Uint8Array(1024)), 'format', 'more padding than needed'],
      ['not a multiple of 1024', recordPlain.subarray(0, -1), 'format', 'not a multiple of 1024'],
      ['cut within', recordPlain.subarray(0, 64), 'format', 'ends within'],
    ]),
  ];
}

/** Writes tests/vectors/must-fail: one file a section, one defect a case. */
export async function writeMustFail(material: Material): Promise<void> {
  const { headers, samples } = material;
  const files: readonly [file: string, section: string, cases: readonly Case[]][] = [
    ['header.json', '5', headerCases(headers)],
    ['open.json', '4', await openCases(headers)],
    ['text.json', '4.1 and 14', textCases()],
    ['entry.json', '6', entryCases(samples)],
    ['receipt.json', '7', receiptCases(samples[1]?.receipt as Uint8Array)],
    ['frames.json', '8', frameCases(material)],
    ['attachments.json', '13', attachmentCases(samples)],
    ['sealed.json', '6 and 12', sealedCases(material)],
  ];
  for (const [file, section, rows] of files)
    writeVectors(
      join(import.meta.dirname, 'must-fail', file),
      section,
      rows.map((row) => toVector(row) as Json),
    );
}
