import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sha256 } from '../bytes/bytes.ts';
import { publicKeyOf, sign } from '../crypto/sign.ts';
import { asDeviceId, asHash, asMandateRef, asPackId, asServerId, asVaultId, NO_HASH, NO_MANDATE } from '../ids.ts';
import { type EntryFields, encodeEntry, parseEntry, SUMMARY_BYTES, verifyEntry } from './entry.ts';
import {
  encodeFrame,
  encodeHeal,
  encodeHistory,
  encodeRequest,
  parseFrame,
  parseHeal,
  parseHistory,
  parseRequest,
} from './frames.ts';
import { headCode, parseHeadCode } from './head-code.ts';
import { packListHash } from './pack-list.ts';
import { DEFAULT_PLAN, encodePlan } from './plan.ts';
import { proofMessage, verifyProof } from './proof.ts';
import { chainHash, encodeReceipt, parseReceipt, RECEIPT_BYTES, verifyReceipt } from './receipt.ts';
import { adoptReceiptKeys, firstReceiptKey, nextReceiptKey, type ReceiptKey } from './receipt-keys.ts';

const VAULT_SEED = new Uint8Array(32).fill(1);
const VAULT_KEY = publicKeyOf(VAULT_SEED);
const SERVER_SEEDS = [2, 3, 4].map((fill) => new Uint8Array(32).fill(fill));
const SERVER_ID = asServerId('5e'.repeat(16));
const EMPTY = new Uint8Array(0);
const RECEIPT_KEYS: ReceiptKey[] = [];
for (const [index, seed] of SERVER_SEEDS.entries()) {
  const before = RECEIPT_KEYS.at(-1);
  const publicKey = publicKeyOf(seed);
  const endorse = (message: Uint8Array) => sign(SERVER_SEEDS[index - 1] as Uint8Array, 'receipt-key', message);
  RECEIPT_KEYS.push(before ? nextReceiptKey(SERVER_ID, before, publicKey, endorse) : firstReceiptKey(publicKey));
}

const PACK_IDS = ['1', '2', '3'].map((digit) => asPackId(digit.repeat(64)));
const PLAN = encodePlan(DEFAULT_PLAN);

const FIELDS: EntryFields = {
  kind: 'plan',
  generation: 0,
  vaultId: asVaultId('0a'.repeat(16)),
  seq: 7,
  previous: asHash('ee'.repeat(32)),
  deviceId: asDeviceId('0d'.repeat(16)),
  mandateRef: NO_MANDATE,
  holdUntil: 0,
  subject: asHash(sha256(PLAN)),
  packListHash: packListHash([]),
  summary: EMPTY,
};

const entryOf = (change: Partial<EntryFields> = {}): Uint8Array =>
  encodeEntry({ ...FIELDS, ...change }, (message) => sign(VAULT_SEED, 'entry', message));

const receiptFor = (entry: Uint8Array, key = 0): Uint8Array => {
  const { vaultId, seq, hash, packListHash: list } = parseEntry(entry);
  const { keyId } = RECEIPT_KEYS[key] as ReceiptKey;
  const fields = {
    keyId,
    serverId: SERVER_ID,
    vaultId,
    seq,
    entryHash: hash,
    packListHash: list,
    bytes: 0,
    time: 1000,
  };
  return encodeReceipt(fields, (message) => sign(SERVER_SEEDS[key] as Uint8Array, 'receipt', message));
};

const RECORD = new Uint8Array(300).fill(0x5a);
const SNAPSHOT = entryOf({
  kind: 'snapshot-add',
  seq: 8,
  mandateRef: asMandateRef('0c'.repeat(16)),
  subject: asHash(sha256(RECORD)),
  packListHash: packListHash(PACK_IDS),
  summary: new Uint8Array(SUMMARY_BYTES).fill(9),
});

/** Positions of the flipped bits, from byte `start` on, that `accept` did not notice. */
function unnoticed(bytes: Uint8Array, accept: (changed: Uint8Array) => void, start: number): number[] {
  const survivors: number[] = [];
  for (let bit = start * 8; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    if (accepts(() => accept(changed))) survivors.push(bit);
  }
  return survivors;
}

function acceptedLengths(bytes: Uint8Array, accept: (changed: Uint8Array) => void): number[] {
  return Array.from(bytes.keys()).filter((length) => accepts(() => accept(bytes.subarray(0, length))));
}

function accepts(run: () => void): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if ((error as Error).name !== 'ProtocolError') throw error;
    return false;
  }
}

const acceptEntry = (bytes: Uint8Array): void => verifyEntry(parseEntry(bytes), VAULT_KEY);
const acceptReceipt = (bytes: Uint8Array): void => verifyReceipt(parseReceipt(bytes), RECEIPT_KEYS, SERVER_ID);

describe('every flipped bit and every truncation is refused', () => {
  // what follows the entry in a frame: the entry itself is the first row
  const behindEntry = 4 + SNAPSHOT.length;

  test.each([
    ['an entry', SNAPSHOT, 0, acceptEntry],
    ['a receipt', receiptFor(SNAPSHOT), 0, acceptReceipt],
    [
      'a journal request',
      encodeRequest({ entry: SNAPSHOT, packIds: PACK_IDS, attachment: RECORD, share: EMPTY }),
      behindEntry,
      (bytes: Uint8Array) => verifyEntry(parseRequest(bytes).entry, VAULT_KEY),
    ],
    [
      'a stored frame',
      encodeFrame({ entry: SNAPSHOT, packIds: PACK_IDS, attachment: RECORD, receipt: receiptFor(SNAPSHOT) }),
      behindEntry,
      (bytes: Uint8Array) => {
        const { entry, receipt } = parseFrame(bytes);
        verifyEntry(entry, VAULT_KEY);
        verifyReceipt(receipt, RECEIPT_KEYS, SERVER_ID);
      },
    ],
    [
      'a history frame',
      encodeHistory([{ entry: entryOf(), attachment: PLAN, receipt: receiptFor(entryOf()) }]),
      0,
      (bytes: Uint8Array) => {
        const [frame] = parseHistory(bytes);
        // no frame at all is a history too, an empty one: what is missing shows in the chain
        if (!frame) return parseReceipt(EMPTY);
        verifyEntry(frame.entry, VAULT_KEY);
        return verifyReceipt(frame.receipt, RECEIPT_KEYS, SERVER_ID);
      },
    ],
  ])(
    '%s',
    (_, bytes, start, accept) => {
      accept(bytes);
      expect(unnoticed(bytes, accept, start)).toEqual([]);
      expect(acceptedLengths(bytes, accept)).toEqual([]);
    },
    60_000,
  );
});

describe('entries', () => {
  test('fields → bytes → fields', () => {
    const { bytes, hash, signature, ...fields } = parseEntry(SNAPSHOT);
    expect(encodeEntry(fields, () => signature)).toEqual(bytes);
    expect(hash).toBe(asHash(sha256(SNAPSHOT)));
  });

  test.each<[string, Partial<EntryFields>, string]>([
    ['a second vault-create', { kind: 'vault-create' }, 'vault-create at seq 7'],
    ['a first entry of another kind', { seq: 1, previous: NO_HASH }, 'plan at seq 1'],
    ['a seq over 2^53', { seq: 2 ** 53 }, 'not a whole number'],
    ['a plan with a mandate', { mandateRef: asMandateRef('0c'.repeat(16)) }, 'plan with a mandateRef'],
    ['a forget without', { kind: 'snapshot-forget' }, 'without a mandateRef'],
    ['a hold on a plan', { holdUntil: 20361231 }, 'plan with a holdUntil'],
    ['packs in a plan', { packListHash: packListHash(PACK_IDS) }, 'plan with packs'],
    ['a summary in a plan', { summary: new Uint8Array(SUMMARY_BYTES) }, 'summary of plan has 592 bytes'],
  ])('the writer refuses %s too', (_, change, defect) => {
    expect(() => entryOf(change)).toThrow(defect);
  });
});

describe('receipt keys', () => {
  const [first, second, third] = RECEIPT_KEYS as [ReceiptKey, ReceiptKey, ReceiptKey];

  test('a receipt has 200 bytes and may be by any key that was ever listed', () => {
    expect(receiptFor(SNAPSHOT)).toHaveLength(RECEIPT_BYTES);
    for (const key of [0, 1, 2]) acceptReceipt(receiptFor(SNAPSHOT, key));
    expect(() => verifyReceipt(parseReceipt(receiptFor(SNAPSHOT, 2)), [first, second])).toThrow('its key is not known');
  });

  test('later keys are adopted through the chain of endorsements only', () => {
    const adopt = (pinned: readonly ReceiptKey[], offered: readonly ReceiptKey[]) => () =>
      adoptReceiptKeys(SERVER_ID, pinned, offered);
    expect(adopt([], [first])()).toEqual([first]);
    expect(adopt([first], [first, second, third])()).toEqual([first, second, third]);
    expect(adopt([first, second], [first, second])()).toEqual([first, second]);
    expect(adopt([first], [first, third])).toThrow('not endorsed by the one before it');
    expect(adopt([first], [second, third])).toThrow('key 1 is not the one that was known');
    expect(adopt([first, second], [first])).toThrow('no longer listed');
    expect(adopt([first], [first, { ...second, endorsedBy: third.keyId }])).toThrow('not endorsed');
    expect(adopt([first], [first, { ...second, endorsement: third.endorsement }])).toThrow('endorsement of key');
    expect(() => adoptReceiptKeys(asServerId('00'.repeat(16)), [first], [first, second])).toThrow('endorsement of key');
  });

  test('fields that a server adds are not pinned', () => {
    expect(adoptReceiptKeys(SERVER_ID, [], [{ ...first, createdAt: 1 } as ReceiptKey])).toEqual([first]);
  });
});

describe('frames', () => {
  const plan = { entry: entryOf(), packIds: [], attachment: PLAN, share: EMPTY };

  test('joined history and heal frames are taken apart again, in order', () => {
    const raw = [entryOf(), SNAPSHOT].map((entry) => ({
      entry,
      attachment: entry === SNAPSHOT ? EMPTY : PLAN,
      receipt: receiptFor(entry),
    }));
    const frames = parseHistory(encodeHistory(raw));
    expect(frames.map(({ entry, attached }) => [entry.seq, attached?.type])).toEqual([
      [7, 'plan'],
      [8, undefined],
    ]);
    expect(parseHistory(EMPTY)).toEqual([]);
    const request = encodeRequest(plan);
    const heal = parseHeal(encodeHeal([{ request, receipt: receiptFor(entryOf()) }]));
    expect(heal.map(({ requestBytes }) => requestBytes)).toEqual([request]);
  });

  test('MS-22, MS-23: a genuine receipt of another entry is refused beside this one', () => {
    const receipt = receiptFor(entryOf({ generation: 1 }));
    expect(() => encodeFrame({ ...plan, receipt })).toThrow("entryHash is not the entry's");
    const other = receiptFor(entryOf({ vaultId: asVaultId('0b'.repeat(16)) }));
    expect(() => parseHistory(encodeHistory([{ entry: plan.entry, attachment: PLAN, receipt: other }]))).toThrow(
      "vaultId is not the entry's",
    );
  });

  test('the chain hash covers entry and receipt', () => {
    const hashes = [chainHash(plan.entry, receiptFor(plan.entry)), chainHash(plan.entry, receiptFor(plan.entry, 1))];
    expect(new Set(hashes).size).toBe(2);
  });
});

test('a proof is for one vault, one device and one challenge', () => {
  const message = proofMessage(FIELDS.vaultId, FIELDS.deviceId, new Uint8Array(32).fill(4));
  const signature = sign(VAULT_SEED, 'proof', message);
  verifyProof(VAULT_KEY, message, signature);
  const other = proofMessage(FIELDS.vaultId, FIELDS.deviceId, new Uint8Array(32).fill(5));
  expect(() => verifyProof(VAULT_KEY, other, signature)).toThrow('not by the vault key');
  expect(() => verifyProof(publicKeyOf(SERVER_SEEDS[0] as Uint8Array), message, signature)).toThrow(
    'not by the vault key',
  );
  expect(() => proofMessage(FIELDS.vaultId, FIELDS.deviceId, new Uint8Array(31))).toThrow('31 bytes, not 32');
});

describe('head code', () => {
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(asHash);

  test('what is shown is read back, however it is typed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), hash, (seq, chain) => {
        const code = headCode(seq, chain);
        expect(code).toMatch(/^\d+(-[A-Z2-7]{4}){4}$/);
        const [number, ...groups] = code.split('-');
        for (const typed of [
          code,
          code.toLowerCase(),
          ` ${code.replaceAll('-', ' ')} `,
          `${number} ${groups.join('')}`,
        ])
          expect(parseHeadCode(typed)).toEqual({ seq, prefix: chain.slice(0, 20) });
      }),
    );
  });

  test.each([
    '',
    '12',
    '-12-AAAA-AAAA-AAAA-AAAA',
    '01-AAAA-AAAA-AAAA-AAAA',
    '1-AAAA-AAAA-AAAA-AAA0',
    '1-AAAA-AAAA-AAAA-AAAAA',
  ])('refuses %j', (text) => {
    expect(() => parseHeadCode(text)).toThrow('head code');
  });
});
