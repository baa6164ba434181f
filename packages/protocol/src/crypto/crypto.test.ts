import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ascii } from '../bytes/bytes.ts';
import { fromHex, toHex } from '../bytes/hex.ts';
import { ProtocolError } from '../errors.ts';
import { open, seal } from './aead.ts';
import { argon2id } from './argon2.ts';
import { EMPTY, hkdf, hmacSha256 } from './derive.ts';
import { ed25519Sign, ed25519Verify, publicKeyOf, sign, verify } from './sign.ts';

const repeat = (byte: number, count: number): Uint8Array => new Uint8Array(count).fill(byte);
const range = (from: number, count: number): Uint8Array =>
  Uint8Array.from({ length: count }, (_, index) => from + index);

test('RFC 9106, 5.3: Argon2id', async () => {
  const extras = { secret: repeat(3, 8), associatedData: repeat(4, 12) };
  const tag = await argon2id(repeat(1, 32), repeat(2, 16), { m: 32, t: 3, p: 4 }, extras);
  expect(toHex(tag)).toBe('0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659');
});

test('what the library cannot run is kdf-limit, not an unknown exception', async () => {
  const run = argon2id(repeat(1, 32), repeat(2, 16), { m: 2 ** 40, t: 3, p: 1 });
  await expect(run).rejects.toMatchObject({ kind: 'kdf-limit' });
});

describe('RFC 5869, appendix A: HKDF', () => {
  test.each([
    [
      'A.1 SHA-256',
      'sha256' as const,
      repeat(0x0b, 22),
      range(0, 13),
      range(0xf0, 10),
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    ],
    [
      'A.2 SHA-256, longer inputs',
      'sha256' as const,
      range(0, 80),
      range(0x60, 80),
      range(0xb0, 80),
      'b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87',
    ],
    [
      'A.3 SHA-256, empty salt and info',
      'sha256' as const,
      repeat(0x0b, 22),
      EMPTY,
      EMPTY,
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    ],
    [
      'A.4 SHA-1',
      'sha1' as const,
      repeat(0x0b, 11),
      range(0, 13),
      range(0xf0, 10),
      '085a01ea1b10f36933068b56efa5ad81a4f14b822f5b091568a9cdd4f155fda2c22e422478d305f3f896',
    ],
    [
      'the inputs of A.1 with SHA-512, as used here',
      'sha512' as const,
      repeat(0x0b, 22),
      range(0, 13),
      range(0xf0, 10),
      '832390086cda71fb47625bb5ceb168e4c8e26a1a16ed34d9fc7fe92c1481579338da362cb8d9f925d7cb',
    ],
  ])('%s', (_, hash, ikm, salt, info, okm) => {
    expect(toHex(hkdf(ikm, salt, info, okm.length / 2, hash))).toBe(okm);
  });

  test('SHA-512 is what hkdf uses unless told otherwise, and an empty salt is 64 zero bytes', () => {
    const [ikm, info] = [repeat(1, 32), repeat(2, 8)];
    expect(hkdf(ikm, EMPTY, info, 64)).toEqual(hkdf(ikm, repeat(0, 64), info, 64, 'sha512'));
  });
});

describe('RFC 4231: HMAC-SHA-256', () => {
  test.each([
    ['1', repeat(0x0b, 20), ascii('Hi There'), 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'],
    [
      '2',
      ascii('Jefe'),
      ascii('what do ya want for nothing?'),
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    ],
    ['3', repeat(0xaa, 20), repeat(0xdd, 50), '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe'],
    ['4', range(1, 25), repeat(0xcd, 50), '82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b'],
    [
      '6',
      repeat(0xaa, 131),
      ascii('Test Using Larger Than Block-Size Key - Hash Key First'),
      '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
    ],
    [
      '7',
      repeat(0xaa, 131),
      ascii(
        'This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.',
      ),
      '9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2',
    ],
  ])('case %s', (_, key, data, mac) => {
    expect(toHex(hmacSha256(key, data))).toBe(mac);
    expect(toHex(hmacSha256(key, data.subarray(0, 3), data.subarray(3)))).toBe(mac);
  });
});

describe('RFC 8032, 7.1: Ed25519', () => {
  test.each([
    [
      '1',
      '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
      '',
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    ],
    [
      '2',
      '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
      '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
      '72',
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    ],
    [
      '3',
      'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
      'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
      'af82',
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
    ],
    [
      'SHA(abc)',
      '833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42',
      'ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf',
      'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
      'dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704',
    ],
  ])('test %s', (_, seed, publicKey, message, signature) => {
    expect(toHex(publicKeyOf(fromHex(seed)))).toBe(publicKey);
    expect(toHex(ed25519Sign(fromHex(seed), fromHex(message)))).toBe(signature);
    expect(ed25519Verify(fromHex(publicKey), fromHex(message), fromHex(signature))).toBe(true);
    expect(ed25519Verify(fromHex(publicKey), fromHex(`${message}00`), fromHex(signature))).toBe(false);
  });

  test('a signature with s + L is refused (8032, 5.1.7: no malleability)', () => {
    const seed = repeat(7, 32);
    const signature = ed25519Sign(seed, EMPTY);
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const s = BigInt(`0x${toHex(signature.slice(32).reverse())}`) + order;
    signature.set(fromHex(s.toString(16).padStart(64, '0')).reverse(), 32);
    expect(ed25519Verify(publicKeyOf(seed), EMPTY, signature)).toBe(false);
  });

  test('keys and signatures of other lengths are false, not an exception', () => {
    expect(ed25519Verify(repeat(1, 31), EMPTY, repeat(0, 64))).toBe(false);
    expect(ed25519Verify(repeat(1, 32), EMPTY, repeat(0, 63))).toBe(false);
    expect(ed25519Verify(repeat(0xff, 32), EMPTY, repeat(0xff, 64))).toBe(false);
  });

  test('a signature for one use is none for another', () => {
    const seed = repeat(9, 32);
    const signature = sign(seed, 'entry', EMPTY);
    expect(verify(publicKeyOf(seed), 'entry', EMPTY, signature)).toBe(true);
    expect(verify(publicKeyOf(seed), 'header', EMPTY, signature)).toBe(false);
  });
});

describe('AES-256-GCM', () => {
  test('case 14 of McGrew and Viega: zero key, zero nonce, one zero block', () => {
    const sealed = seal(repeat(0, 32), 0, repeat(0, 16));
    expect(toHex(sealed)).toBe('cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919');
  });

  test('a nonce is a number of 12 bytes', () => {
    const [key, plain] = [repeat(5, 32), repeat(6, 40)];
    expect(seal(key, 1, plain)).toEqual(seal(key, 1n, plain));
    expect(seal(key, 2n ** 96n - 1n, plain)).not.toEqual(seal(key, 2n ** 96n - 2n, plain));
    expect(() => seal(key, 2n ** 96n, plain)).toThrow('does not fit 12 bytes');
    expect(() => seal(key, -1, plain)).toThrow('does not fit 12 bytes');
  });

  test('open ∘ seal = id, also into given room', () => {
    const bytes = fc.uint8Array({ maxLength: 300 });
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(key, fc.nat(), bytes, (secret, nonce, plain) => {
        const sealed = seal(secret, nonce, plain, new Uint8Array(plain.length + 20));
        expect(sealed).toEqual(seal(secret, nonce, plain));
        expect(open(secret, nonce, sealed, 'sample')).toEqual(plain);
        expect(open(secret, nonce, sealed, 'sample', new Uint8Array(400))).toEqual(plain);
      }),
    );
  });

  test('every flipped bit and every truncation is refused, and no unauthenticated byte is left behind', () => {
    const key = repeat(1, 32);
    const sealed = seal(key, 3, repeat(9, 24));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const other = sealed.slice();
      other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7));
      const room = repeat(0xee, 24);
      expect(() => open(key, 3, other, 'sample', room)).toThrow(ProtocolError);
      expect(room).toEqual(repeat(0, 24));
    }
    for (let length = 0; length < sealed.length; length++)
      expect(() => open(key, 3, sealed.subarray(0, length), 'sample')).toThrow(ProtocolError);
    expect(() => open(key, 4, sealed, 'sample')).toThrow('sample: authentication failed');
  });

  test('room that is too small is refused', () => {
    expect(() => seal(repeat(0, 32), 0, repeat(0, 16), new Uint8Array(31))).toThrow('31 bytes of room');
  });
});
