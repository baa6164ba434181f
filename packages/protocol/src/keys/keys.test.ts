import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { toHex } from '../bytes/hex.ts';
import { systemRandom } from '../crypto/random.ts';
import type { ProtocolError } from '../errors.ts';
import { asMandateId, asVaultId } from '../ids.ts';
import { parseHeader } from '../public/header.ts';
import { checkKdf, DEFAULT_KDF } from './kdf.ts';
import { normaliseSecret } from './secret.ts';
import { openKitSlot, sealKitSlot } from './slot.ts';
import { createHeader, openWithKit, openWithSecret, withKit, withSecret } from './unlock.ts';
import { VaultKeys } from './vault-keys.ts';

// Argon2id at the floor, several times, on a busy machine too
jest.setTimeout(60_000);

const KDF = { m: 65_536, t: 3, p: 1 };
const KIT = new Uint8Array(20).fill(3);
const share = (fill: number) => new Uint8Array(32).fill(fill);
const kindOf = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return (error as ProtocolError).kind;
  }
  return 'none';
};

describe('secret key', () => {
  test.each([
    ['eight characters', 'abcdefgh', 'none'],
    ['seven', 'abcdefg', 'short-secret'],
    ['eight characters outside the BMP', '🔑'.repeat(8), 'none'],
    ['seven of them, fourteen code units', '🔑'.repeat(7), 'short-secret'],
    ['eight code points that compose to seven', 'abcdefe\u0301', 'short-secret'],
    ['1024 bytes', 'a'.repeat(1024), 'none'],
    ['1025 bytes', 'a'.repeat(1025), 'bad-secret'],
    ['NUL', 'abcdefgh\0', 'bad-secret'],
    ['C1 control', 'abcdefgh\u0085', 'bad-secret'],
    ['a high surrogate alone', 'abcdefgh\ud83d', 'bad-secret'],
    ['a low surrogate alone', '\udd11abcdefgh', 'bad-secret'],
    ['a noncharacter', 'abcdefgh\ufffe', 'bad-secret'],
    ['blanks around are part of it', '  abcdef', 'none'],
  ])('%s', (_, text, kind) => {
    expect(kindOf(() => normaliseSecret(text))).toBe(kind);
  });

  test('composed and decomposed letters give the same bytes', () => {
    expect(normaliseSecret('Ame\u0301lie 1291')).toEqual(normaliseSecret('Amélie 1291'));
  });
});

describe('Argon2id parameters at the boundaries', () => {
  test.each([
    ['what writers use', DEFAULT_KDF, 'none'],
    ['the floor', { m: 65_536, t: 3, p: 1 }, 'none'],
    ['m below', { m: 65_535, t: 3, p: 1 }, 'kdf-downgrade'],
    ['t below', { m: 65_536, t: 2, p: 1 }, 'kdf-downgrade'],
    ['p 8', { m: 65_536, t: 3, p: 8 }, 'none'],
    ['p 9', { m: 65_536, t: 3, p: 9 }, 'kdf-limit'],
    ['p 0', { m: 65_536, t: 3, p: 0 }, 'kdf-limit'],
    ['the most work', { m: 1_048_576, t: 4, p: 4 }, 'none'],
    ['a little more', { m: 1_048_577, t: 4, p: 4 }, 'kdf-limit'],
    ['work in many passes', { m: 65_536, t: 65, p: 4 }, 'kdf-limit'],
    ['infinite', { m: Number.POSITIVE_INFINITY, t: 3, p: 1 }, 'kdf-limit'],
    ['not a number', { m: Number.NaN, t: 3, p: 1 }, 'kdf-limit'],
  ])('%s', (_, params, kind) => {
    expect(kindOf(() => checkKdf(params))).toBe(kind);
  });

  test('never less work than this device saw; another split of the same work is fine', () => {
    const floor = { m: 131_072, t: 6, p: 4 };
    expect(kindOf(() => checkKdf(DEFAULT_KDF, floor))).toBe('none');
    expect(kindOf(() => checkKdf({ ...DEFAULT_KDF, m: 262_143 }, floor))).toBe('kdf-downgrade');
  });
});

test('kit slots: open ∘ seal = id, each writing different', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(bytes(16), bytes(32), bytes(20), fc.nat({ max: 16 }), (id, root, kit, generation) => {
      const target = { vaultId: asVaultId(id), root, generation };
      const [one, two] = [sealKitSlot(target, kit, systemRandom), sealKitSlot(target, kit, systemRandom)];
      expect(openKitSlot(one, target.vaultId, kit)).toEqual(root);
      expect(toHex(one.sealed)).not.toBe(toHex(two.sealed));
      expect(kindOf(() => openKitSlot({ ...one, generation: generation + 1 }, target.vaultId, kit))).toBe('wrong-kit');
    }),
  );
});

describe('a vault over its life', () => {
  test('secret, changed secret, kit, no kit, rotation: each header opens to the same roots, and only with what fits', async () => {
    const keys = VaultKeys.create();
    const [first, second] = [normaliseSecret('première clé'), normaliseSecret('deuxième clé')];
    const one = parseHeader(await createHeader(keys, { secret: first, share: share(1), headerSeq: 1, kdf: KDF }));
    expect((await openWithSecret(one, first, share(1))).root).toEqual(keys.root);

    const two = parseHeader(withKit(one, keys, KIT));
    expect(two).toMatchObject({ headerSeq: 2, shareId: one.shareId, secretSlot: one.secretSlot });
    expect(openWithKit(two, KIT).root).toEqual(keys.root);

    const three = parseHeader(await withSecret(two, keys, second, share(2), { kdf: KDF }));
    expect(three).toMatchObject({ headerSeq: 3, kitSlot: two.kitSlot });
    expect(three.secretSlot.slotId).not.toEqual(two.secretSlot.slotId);
    expect(three.secretSlot.salt).not.toEqual(two.secretSlot.salt);
    await expect(openWithSecret(three, first, share(2))).rejects.toMatchObject({ kind: 'wrong-secret' });
    await expect(openWithSecret(three, second, share(1))).rejects.toMatchObject({ kind: 'wrong-share' });
    expect((await openWithSecret(three, second, share(2))).root).toEqual(keys.root);
    expect(openWithKit(three, KIT).root).toEqual(keys.root);

    const four = parseHeader(withKit(three, keys, null));
    expect(kindOf(() => openWithKit(four, KIT))).toBe('wrong-kit');

    const rotated = keys.rotate();
    const five = parseHeader(await createHeader(rotated, { secret: second, share: share(3), headerSeq: 5, kdf: KDF }));
    const opened = await openWithSecret(five, second, share(3));
    const id = asMandateId('ab'.repeat(16));
    expect(opened.generation).toBe(1);
    expect(opened.names(0)).toEqual(keys.names(0));
    expect(opened.mandate(id)).toMatchObject({ ref: keys.mandate(id).ref, chunkIdKey: keys.mandate(id).chunkIdKey });
    expect(opened.mandate(id).gear).toEqual(keys.mandate(id).gear);
    expect(opened.mandate(id).packKey(0)).toEqual(keys.mandate(id).packKey(0));
    expect(opened.mandate(id).packKey(1)).not.toEqual(keys.mandate(id).packKey(0));
    expect(kindOf(() => opened.mandate(id).packKey(2))).toBe('integrity');
  });

  test('a remembered root that is not the one of the header is refused', async () => {
    const keys = VaultKeys.create();
    const header = parseHeader(
      await createHeader(keys, { secret: normaliseSecret('une clé longue'), share: share(1), headerSeq: 1, kdf: KDF }),
    );
    expect(VaultKeys.fromRoot(header, keys.root).publicKey).toEqual(keys.publicKey);
    expect(kindOf(() => VaultKeys.fromRoot(header, new Uint8Array(32)))).toBe('wrong-secret');
    expect(kindOf(() => VaultKeys.fromRoot(header, new Uint8Array(31)))).toBe('format');
    expect(kindOf(() => withKit(header, VaultKeys.create(), KIT))).toBe('integrity');
  });

  test('every key differs from every other', () => {
    const keys = VaultKeys.create();
    const [a, b] = [keys.mandate(asMandateId('0a'.repeat(16))), keys.mandate(asMandateId('0b'.repeat(16)))];
    const all = [
      keys.root,
      keys.publicKey,
      keys.names(0),
      ...keys.cacheKeys(),
      ...[a, b].flatMap((mandate) => [mandate.chunkIdKey, mandate.packKey(0), mandate.recordKey(0)]),
    ].map(toHex);
    expect(new Set([...all, a.ref, b.ref]).size).toBe(12);
    expect(new Set(a.gear).size).toBeGreaterThan(250);
  });

  test('wiped keys give nothing more', () => {
    const keys = VaultKeys.create();
    const mandate = keys.mandate(asMandateId('0a'.repeat(16)));
    keys.wipe();
    for (const use of [() => keys.root, () => keys.names(0), () => keys.sign('entry', KIT), () => mandate.packKey(0)])
      expect(use).toThrow('wiped');
  });
});
