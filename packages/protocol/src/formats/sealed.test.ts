import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { isZero } from '../bytes/bytes.ts';
import { asDeviceId, asHash, asMandateId, asPackId, asPackRef, type PackRef } from '../ids.ts';
import { VaultKeys } from '../keys/vault-keys.ts';
import { SUMMARY_BYTES } from '../public/entry.ts';
import { openRecord, sealRecord, snapshotIdOf } from './record.ts';
import { encodeRecord, parseRecord, type SnapshotRecord } from './record-plain.ts';
import { cutText, openSummary, type Summary, sealSummary } from './summary.ts';

// exhaustive over the bits, on a busy machine too
jest.setTimeout(60_000);

const KEYS = VaultKeys.create();
const MANDATE_ID = asMandateId('0a'.repeat(16));
const MANDATE = KEYS.mandate(MANDATE_ID);
const OTHER = KEYS.mandate(asMandateId('0b'.repeat(16)));

const codePoint = fc.integer({ min: 1, max: 0x10ffff }).map((point) => String.fromCodePoint(point));
const text = (max: number, min = 0) =>
  fc
    .string({ unit: codePoint, maxLength: max, minLength: min })
    .filter((value) => value.isWellFormed() && !value.includes('\0') && [...value].length <= max);

const summaries: fc.Arbitrary<Summary> = fc.record({
  mandateName: text(20, 1),
  comment: text(60),
  files: fc.maxSafeNat(),
  bytes: fc.maxSafeNat(),
  createdAt: fc.maxSafeNat(),
  mandateId: fc.constant(MANDATE_ID),
  incomplete: fc.boolean(),
});

const context = { kind: 'snapshot-add' as const, mandateRef: MANDATE.ref };
const entryWith = (summary: Uint8Array, change: object = {}) => ({
  ...context,
  vaultId: KEYS.vaultId,
  generation: 0,
  summary,
  ...change,
});

const SUMMARY: Summary = {
  mandateName: 'Menuiserie Perret',
  comment: '',
  files: 3,
  bytes: 4,
  createdAt: 5,
  mandateId: MANDATE_ID,
  incomplete: false,
};

function survivors(bytes: Uint8Array, open: (changed: Uint8Array) => unknown): number[] {
  return Array.from({ length: bytes.length * 8 }, (_, bit) => bit).filter((bit) => {
    const changed = bytes.slice();
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    return opens(() => open(changed));
  });
}

function opens(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if ((error as Error).name !== 'ProtocolError') throw error;
    return false;
  }
}

describe('summary', () => {
  test('open ∘ seal = id, always 592 bytes', () => {
    fc.assert(
      fc.property(summaries, (summary) => {
        const sealed = sealSummary(KEYS, { ...context, ...summary });
        expect(sealed).toHaveLength(SUMMARY_BYTES);
        expect(openSummary(KEYS, entryWith(sealed))).toEqual({ ...summary, comment: cutText(summary.comment, 256) });
      }),
    );
  });

  test('every flipped bit is refused', () => {
    const sealed = sealSummary(KEYS, { ...context, ...SUMMARY });
    expect(survivors(sealed, (changed) => openSummary(KEYS, entryWith(changed)))).toEqual([]);
  });

  test('MS-07: it opens within its own entry only', () => {
    const sealed = sealSummary(KEYS, { ...context, ...SUMMARY });
    for (const change of [{ kind: 'plan' }, { mandateRef: OTHER.ref }, { vaultId: VaultKeys.create().vaultId }])
      expect(() => openSummary(KEYS, entryWith(sealed, change))).toThrow('commitment differs');
    // a second device that turned bad seals one mandate's name under the ref of another
    const mixed = sealSummary(KEYS, { ...SUMMARY, ...context, mandateRef: OTHER.ref });
    expect(() => openSummary(KEYS, entryWith(mixed, { mandateRef: OTHER.ref }))).toThrow(
      'does not give the mandateRef',
    );
  });

  test('names of 20 characters, not 21, whatever their bytes', () => {
    const seal = (mandateName: string) => () => sealSummary(KEYS, { ...context, ...SUMMARY, mandateName });
    expect(seal('𝔐'.repeat(20))()).toHaveLength(SUMMARY_BYTES);
    expect(seal('a'.repeat(21))).toThrow('21 characters');
    expect(seal('')).toThrow('0 characters');
  });

  test.each([
    ['€€', 6, '€€'],
    ['€€', 5, '€'],
    ['a🔑b', 5, 'a🔑'],
    ['a🔑b', 4, 'a'],
    ['', 0, ''],
  ])('cutText(%j, %i) cuts between code points', (whole, max, cut) => {
    expect(cutText(whole, max)).toBe(cut);
  });
});

const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes });

const records: fc.Arbitrary<SnapshotRecord> = fc
  .record({
    mandateName: text(20, 1),
    createdAt: fc.maxSafeNat(),
    finishedAt: fc.maxSafeNat(),
    deviceName: text(100, 1),
    agentVersion: text(20, 1),
    comment: text(300),
    files: fc.maxSafeNat(),
    folders: fc.maxSafeNat(),
    links: fc.maxSafeNat(),
    bytes: fc.maxSafeNat(),
    newBytes: fc.maxSafeNat(),
    modules: fc.array(fc.record({ kind: fc.constantFrom('accounting', 'invoicing', 'payroll'), file: text(40) }), {
      maxLength: 4,
    }),
    problems: fc.array(fc.record({ code: fc.constantFrom('unreadable', 'changed'), path: text(60) }), { maxLength: 5 }),
    packs: fc.uniqueArray(fc.record({ packRef: hex(16).map(asPackRef), packId: hex(32).map(asPackId) }), {
      maxLength: 6,
      selector: ({ packId }) => packId,
    }),
    extents: fc.array(fc.record({ segment: fc.nat({ max: 4095 }), length: fc.integer({ min: 1, max: 1000 }) }), {
      maxLength: 6,
    }),
  })
  .map(({ packs, extents, ...rest }) => {
    const listed = packs.toSorted((a, b) => (a.packId < b.packId ? -1 : 1));
    const placed = listed.length === 0 ? [] : extents;
    return {
      ...rest,
      vaultId: KEYS.vaultId,
      mandateId: MANDATE_ID,
      generation: 0,
      deviceId: asDeviceId('0d'.repeat(16)),
      packs: listed,
      catalog: {
        sha256: asHash('0c'.repeat(32)),
        length: placed.reduce((sum, { length }) => sum + length, 0),
        extents: placed.map((extent, index) => ({
          ...extent,
          packRef: listed[index % listed.length]?.packRef as PackRef,
          offset: index * 2000,
        })),
      },
    };
  });

const RECORD: SnapshotRecord = {
  ...(fc.sample(records, { numRuns: 1, seed: 1 })[0] as SnapshotRecord),
  comment: 'bouclement',
  problems: [],
  packs: [],
  catalog: { sha256: asHash('0c'.repeat(32)), length: 0, extents: [] },
};

describe('record', () => {
  test('open ∘ seal = id, padded to 1,024 with fewer than 1,024 zeros', () => {
    fc.assert(
      fc.property(records, (record) => {
        const sealed = sealRecord(MANDATE, 0, record);
        expect((sealed.length - 108 - 16) % 1024).toBe(0);
        expect(openRecord(MANDATE, sealed)).toEqual(record);
        const plain = encodeRecord(record);
        expect(plain.length - 1024 < 0 || !isZero(plain.subarray(-1024))).toBe(true);
      }),
    );
  });

  test('every flipped bit and every truncation is refused', () => {
    const sealed = sealRecord(MANDATE, 0, RECORD);
    const open = (changed: Uint8Array) => openRecord(MANDATE, changed);
    expect(survivors(sealed, open)).toEqual([]);
    expect(Array.from(sealed.keys()).filter((length) => opens(() => open(sealed.subarray(0, length))))).toEqual([]);
  });

  test('sealed twice, it has two ids', () => {
    expect(snapshotIdOf(sealRecord(MANDATE, 0, RECORD))).not.toBe(snapshotIdOf(sealRecord(MANDATE, 0, RECORD)));
  });

  test('MS-07: of another mandate or another vault', () => {
    const sealed = sealRecord(MANDATE, 0, RECORD);
    expect(() => openRecord(OTHER, sealed)).toThrow('of another mandate');
    const stranger = VaultKeys.create().mandate(MANDATE_ID);
    expect(() => openRecord({ ...stranger, ref: MANDATE.ref }, sealed)).toThrow('commitment differs');
    expect(() => sealRecord(OTHER, 0, RECORD)).toThrow('mandateId is not that of its keys');
    expect(() => sealRecord(MANDATE, 0, { ...RECORD, generation: 1 })).toThrow('generation is not that of its keys');
  });

  const packs = ['1', '2'].map((digit) => ({
    packRef: asPackRef(digit.repeat(32)),
    packId: asPackId(digit.repeat(64)),
  }));
  const [one, two] = packs as [(typeof packs)[0], (typeof packs)[0]];
  const extent = { packRef: one.packRef, segment: 0, offset: 0, length: 10 };
  const catalog = (length: number, extents: SnapshotRecord['catalog']['extents']) => ({
    ...RECORD.catalog,
    length,
    extents,
  });

  test.each<[string, Partial<SnapshotRecord>, string]>([
    ['packs in another order', { packs: [two, one] }, 'not strictly ascending'],
    ['the same pack twice', { packs: [one, one] }, 'not strictly ascending'],
    ['one packRef for two packs', { packs: [one, { ...two, packRef: one.packRef }] }, 'the same packRef twice'],
    [
      'an extent in a pack that is not listed',
      { packs: [two], catalog: catalog(10, [extent]) },
      'pack that is not listed',
    ],
    ['extents that do not add up', { packs, catalog: catalog(11, [extent]) }, 'do not add up'],
    [
      'an extent past the end of a segment',
      { packs, catalog: catalog(10, [{ ...extent, offset: 2_097_150 }]) },
      'past the end',
    ],
    ['1001 problems', { problems: Array.from({ length: 1001 }, () => ({ code: 'x', path: 'y' })) }, '1001 problems'],
    ['a problem code of 65 bytes', { problems: [{ code: 'x'.repeat(65), path: 'y' }] }, 'longer than 64'],
    ['a comment of 2001 characters', { comment: 'a'.repeat(2001) }, '2001 characters'],
    ['a device without name', { deviceName: '' }, 'device name has 0'],
    ['a text with NUL', { comment: 'a\0' }, 'NUL'],
    ['a size that is no whole number', { bytes: 0.5 }, 'not a whole number'],
  ])('the writer refuses %s', (_, change, defect) => {
    expect(() => encodeRecord({ ...RECORD, ...change })).toThrow(defect);
  });

  test('a module kind that is not known', () => {
    const plain = encodeRecord({ ...RECORD, modules: [{ kind: 'payroll', file: 'Paie.salx' }] });
    const at = Buffer.from(plain).indexOf('Paie.salx') - 3;
    expect(plain[at]).toBe(3);
    for (const code of [0, 4, 255]) {
      const changed = plain.slice();
      changed[at] = code;
      expect(() => parseRecord(changed)).toThrow(`module kind ${code} is not known`);
    }
  });
});
