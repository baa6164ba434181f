import { createCipheriv } from 'node:crypto';
import { beforeAll, describe, expect, jest, test } from '@jest/globals';
import { concat, equal } from '../bytes/bytes.ts';
import { fromHex, toHex } from '../bytes/hex.ts';
import { open } from '../crypto/aead.ts';
import { hkdf, u32Bytes } from '../crypto/derive.ts';
import { label } from '../crypto/labels.ts';
import { idBytes } from '../ids.ts';
import { encodeHeader, type Header, type HeaderFields, parseHeader, shareIdOf } from '../public/header.ts';
import type { Slot } from '../public/slot.ts';
import { normaliseSecret } from './secret.ts';
import { openKitSlot } from './slot.ts';
import { createHeader, openWithKit, openWithSecret } from './unlock.ts';
import { VaultKeys } from './vault-keys.ts';

// Argon2id at the floor, several times, on a busy machine too
jest.setTimeout(60_000);

// What a malicious server can do to a header. It cannot sign as the vault; where a test signs with the vault's own key
// all the same, it shows that the check would hold even then.

const SECRET = normaliseSecret('Clé du coffre 1291');
const SHARE = new Uint8Array(32).fill(7);
const KIT = new Uint8Array(20).fill(8);
const KDF = { m: 65_536, t: 3, p: 1 };

let keys: VaultKeys;
let header: Header;

beforeAll(async () => {
  keys = VaultKeys.create();
  header = parseHeader(await createHeader(keys, { secret: SECRET, share: SHARE, headerSeq: 1, kdf: KDF, kit: KIT }));
});

const resigned = (change: Partial<HeaderFields>, by: VaultKeys = keys): Header =>
  parseHeader(encodeHeader({ ...header, ...change }, (message) => by.sign('header', message)));

const withKdf = (change: object): Header =>
  resigned({ secretSlot: { ...header.secretSlot, kdf: { ...header.secretSlot.kdf, ...change } } });

const kindOf = async (run: () => unknown): Promise<unknown> => {
  try {
    await run();
  } catch (error) {
    return (error as { kind?: unknown }).kind;
  }
  return 'opened';
};

/** The least of three durations in ms: what the code takes, not what else the machine does meanwhile. */
async function quickest(run: () => Promise<unknown>): Promise<number> {
  const durations: number[] = [];
  for (let round = 0; round < 3; round++) {
    const started = performance.now();
    await run();
    durations.push(performance.now() - started);
  }
  return Math.min(...durations);
}

describe('MS-09 and MS-10: hostile Argon2id parameters are refused before anything is derived', () => {
  test.each([
    ['MS-09 m 8 KiB', { m: 8 }, 'kdf-downgrade'],
    ['MS-09 t 1', { t: 1 }, 'kdf-downgrade'],
    ['MS-09 everything zero', { m: 0, t: 0, p: 0 }, 'kdf-downgrade'],
    ['MS-10 m 4 TiB', { m: 0xffffffff }, 'kdf-limit'],
    ['MS-10 t 2^32-1', { t: 0xffffffff }, 'kdf-limit'],
    ['MS-10 p 2^24', { p: 2 ** 24 }, 'kdf-limit'],
    ['MS-10 m and t at the top', { m: 0xffffffff, t: 0xffffffff }, 'kdf-limit'],
  ])('%s', async (_, change, kind) => {
    const hostile = withKdf(change);
    const before = process.memoryUsage.rss();
    expect(
      await quickest(async () => expect(await kindOf(() => openWithSecret(hostile, SECRET, SHARE))).toBe(kind)),
    ).toBeLessThan(50);
    expect(process.memoryUsage.rss() - before).toBeLessThan(50 * 1024 * 1024);
  });

  test('MS-09 not signed by the vault: refused by the signature alone', async () => {
    const bytes = header.bytes.slice();
    bytes.set(u32Bytes(8), 84 + 52);
    expect(await kindOf(() => openWithSecret(parseHeader(bytes), SECRET, SHARE))).toBe('signature');
  });

  test('MS-09 within the limits but weaker than this device saw', async () => {
    const kdfFloor = { m: 65_536, t: 4, p: 1 };
    expect(await kindOf(() => openWithSecret(header, SECRET, SHARE, { kdfFloor }))).toBe('kdf-downgrade');
  });
});

test('MS-11: fields are fixed-width integers: a header cannot express a fraction, a text or a missing field', () => {
  for (let length = 0; length < header.bytes.length; length++)
    expect(() => parseHeader(header.bytes.subarray(0, length))).toThrow(/ends within/);
  expect(() => parseHeader(concat(header.bytes, Uint8Array.of(0)))).toThrow('1 trailing bytes');
});

describe('MS-12: altered context never unlocks', () => {
  test('zero salt', () => {
    const slot = { ...header.secretSlot, salt: new Uint8Array(32) };
    expect(() => resigned({ secretSlot: slot })).toThrow('salt of the secret slot is zero');
  });

  test('salts of the two slots swapped', async () => {
    const { secretSlot, kitSlot } = header as { secretSlot: Slot; kitSlot: Slot };
    const swapped = resigned({
      secretSlot: { ...secretSlot, salt: kitSlot.salt },
      kitSlot: { ...kitSlot, salt: secretSlot.salt },
    });
    expect(await kindOf(() => openWithSecret(swapped, SECRET, SHARE))).toBe('wrong-secret');
    expect(await kindOf(() => openWithKit(swapped, KIT))).toBe('wrong-kit');
  });

  test('the slot of another vault with the same secret', async () => {
    const other = VaultKeys.create();
    const theirs = parseHeader(await createHeader(other, { secret: SECRET, share: SHARE, headerSeq: 1, kdf: KDF }));
    const mixed = resigned({ secretSlot: theirs.secretSlot });
    expect(await kindOf(() => openWithSecret(mixed, SECRET, SHARE))).toBe('wrong-secret');
  });

  test.each(['slotId', 'salt', 'commitment', 'sealed'] as const)('any bit of %s of the kit slot', async (field) => {
    const slot = header.kitSlot as Slot;
    const survivors: number[] = [];
    for (let bit = 0; bit < slot[field].length * 8; bit++) {
      const value = slot[field].slice();
      value[bit >> 3] = (value[bit >> 3] as number) ^ (1 << (bit & 7));
      const changed = { ...slot, [field]: value };
      if ((await kindOf(() => openKitSlot(changed, header.vaultId, KIT))) === 'opened') survivors.push(bit);
    }
    expect(survivors).toEqual([]);
  });
});

// GF(2^128) of GCM (NIST SP 800-38D, 6.3): bit 0 is the most significant one
const R = 0xe1n << 120n;
function times(x: bigint, y: bigint): bigint {
  let [z, v] = [0n, y];
  for (let bit = 127n; bit >= 0n; bit--) {
    if ((x >> bit) & 1n) z ^= v;
    v = v & 1n ? (v >> 1n) ^ R : v >> 1n;
  }
  return z;
}

function inverse(x: bigint): bigint {
  // x^(2^128 - 2)
  let [result, power] = [1n << 127n, x];
  for (let step = 1; step < 128; step++) {
    power = times(power, power);
    result = times(result, power);
  }
  return result;
}

const block = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`);
const unblock = (value: bigint): Uint8Array => fromHex(value.toString(16).padStart(32, '0'));
const encrypted = (key: Uint8Array, plain: Uint8Array): bigint =>
  block(createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(plain));

/** 32 sealed bytes and a tag that GCM opens under both keys with nonce 0 (Dodis et al., CRYPTO 2018; Len et al., 2021). */
function collision(one: Uint8Array, two: Uint8Array): Uint8Array {
  const [h1, h2] = [encrypted(one, new Uint8Array(16)), encrypted(two, new Uint8Array(16))];
  const counter = new Uint8Array(16);
  counter[15] = 1;
  const [e1, e2] = [encrypted(one, counter), encrypted(two, counter)];
  const lengths = 256n; // no associated data, 256 bits of ciphertext
  const power = (h: bigint, n: number): bigint => (n === 1 ? h : times(h, power(h, n - 1)));
  const first = block(new Uint8Array(16).fill(0x41));
  const rest = times(first, power(h1, 3) ^ power(h2, 3)) ^ times(lengths, h1 ^ h2) ^ e1 ^ e2;
  const second = times(rest, inverse(power(h1, 2) ^ power(h2, 2)));
  const tag = times(first, power(h1, 3)) ^ times(second, power(h1, 2)) ^ times(lengths, h1) ^ e1;
  return concat(unblock(first), unblock(second), unblock(tag));
}

/** Derivation of SPEC 4.2 by hand. */
function kitKeys(kit: Uint8Array, slot: Pick<Slot, 'slotId' | 'salt'>) {
  const info = concat(label('slot'), Uint8Array.of(2), slot.slotId, slot.salt, new Uint8Array(16));
  const okm = hkdf(kit, idBytes(header.vaultId), info, 64);
  return { commitment: okm.subarray(0, 32), key: okm.subarray(32) };
}

test('MS-13: a sealed root that GCM opens under two keys opens with one secret only: the commitment rejects the other', () => {
  const slot = header.kitSlot as Slot;
  const otherKit = new Uint8Array(20).fill(9);
  const [mine, other] = [kitKeys(KIT, slot), kitKeys(otherKit, slot)];
  expect(mine.commitment).toEqual(slot.commitment);
  const sealed = collision(mine.key, other.key);
  const roots = [open(mine.key, 0, sealed, 'collision'), open(other.key, 0, sealed, 'collision')] as const;
  expect(equal(...roots)).toBe(false);

  const hostile = { ...slot, sealed };
  expect(openKitSlot(hostile, header.vaultId, KIT)).toEqual(roots[0]);
  expect(() => openKitSlot(hostile, header.vaultId, otherKit)).toThrow(expect.objectContaining({ kind: 'wrong-kit' }));
  // and the root that does come out is not the vault's
  expect(() => openWithKit(resigned({ kitSlot: hostile }), KIT)).toThrow(
    expect.objectContaining({ kind: 'integrity' }),
  );
});

describe('MS-14: slots and roots that the server adds', () => {
  const rewritten = (slotCount: number, slots: Uint8Array): Uint8Array => {
    const start = header.bytes.slice(0, 84);
    start[80] = slotCount;
    const body = concat(start, slots);
    return concat(body, keys.sign('header', body));
  };
  const slots = () => header.bytes.subarray(84, 84 + 2 * 148);

  test('a second secret slot, a third slot, 200 slots', () => {
    const secret = slots().subarray(0, 148);
    expect(() => parseHeader(rewritten(2, concat(secret, secret)))).toThrow(
      'slot type is 1 where the kit slot belongs',
    );
    expect(() => parseHeader(rewritten(3, concat(slots(), secret)))).toThrow('3 slots');
    expect(() => parseHeader(rewritten(200, concat(...Array(200).fill(secret))))).toThrow('over 4096');
    expect(() => parseHeader(rewritten(200, slots()))).toThrow('200 slots');
  });

  test('a header wholly of the attacker, under the id of the vault: its public key is what a device has pinned against', async () => {
    const attacker = VaultKeys.create((n) => (n === 16 ? idBytes(header.vaultId) : new Uint8Array(n).fill(0x66)));
    const forged = parseHeader(
      await createHeader(attacker, { secret: SECRET, share: SHARE, headerSeq: 2, kdf: KDF, kit: KIT }),
    );
    expect(equal(forged.publicKey, header.publicKey)).toBe(false);
    expect(await kindOf(() => VaultKeys.fromRoot(forged, keys.root))).toBe('wrong-secret');

    // its slots under the vault's public key: the signature fails; signed all the same, the root does not fit
    const bytes = forged.bytes.slice();
    bytes.set(header.publicKey, 32);
    expect(await kindOf(() => openWithSecret(parseHeader(bytes), SECRET, SHARE))).toBe('signature');
    const mixed = resigned({ secretSlot: forged.secretSlot, kitSlot: forged.kitSlot });
    expect(await kindOf(() => openWithSecret(mixed, SECRET, SHARE))).toBe('integrity');
    expect(await kindOf(() => openWithKit(mixed, KIT))).toBe('integrity');
  });

  test('a share that the server chose, to test guesses with: wrong-share, found before Argon2id', async () => {
    const guess = () => openWithSecret(header, SECRET, new Uint8Array(32).fill(1));
    expect(await quickest(async () => expect(await kindOf(guess)).toBe('wrong-share'))).toBeLessThan(50);
    const other = resigned({ shareId: shareIdOf(header.vaultId, new Uint8Array(32).fill(1)) });
    expect(await kindOf(() => openWithSecret(other, SECRET, new Uint8Array(32).fill(1)))).toBe('wrong-secret');
  });
});

test('every single flipped bit of a header is refused', async () => {
  const survivors: number[] = [];
  for (let bit = 0; bit < header.bytes.length * 8; bit++) {
    const bytes = header.bytes.slice();
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    if ((await kindOf(() => openWithKit(parseHeader(bytes), KIT))) === 'opened') survivors.push(bit);
  }
  expect(survivors).toEqual([]);
});
