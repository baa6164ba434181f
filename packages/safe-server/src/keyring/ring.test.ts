import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adoptReceiptKeys, verify } from '@cresus-safe/protocol/public';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KeyRing } from './ring.ts';
import { createRingFile, readRing, replaceRingFile } from './ring-file.ts';

const random = (n: number) => new Uint8Array(randomBytes(n));
const ring = KeyRing.create(random, 0);
const SHARE = `v/${'a'.repeat(32)}/s/1`;

describe('sealing', () => {
  it.each([SHARE, 'a/100001/1', `a/100001/d/${'b'.repeat(32)}/2`, 'meta/clock/0000000001'])('%s opens again', (key) => {
    const plain = random(100);
    const sealed = ring.seal(key, plain);
    expect(sealed.subarray(0, 8)).toEqual(Buffer.from('CSSV\x01\0\0\0', 'latin1'));
    expect(sealed).toHaveLength(8 + 8 + 32 + 100 + 16);
    expect(ring.open(key, sealed)).toEqual(Buffer.from(plain));
  });
  it('draws a new salt each time', () => {
    expect(ring.seal(SHARE, random(1)).subarray(16, 48)).not.toEqual(ring.seal(SHARE, random(1)).subarray(16, 48));
  });
  it('does not open at another place', () => {
    const sealed = ring.seal('a/100001/1', random(10));
    expect(() => ring.open('a/100002/1', sealed)).toThrow(expect.objectContaining({ code: 'stored-damaged' }));
    expect(() => ring.open(SHARE, sealed)).toThrow(expect.objectContaining({ code: 'stored-damaged' }));
  });
  it('does not open with any bit changed, nor cut short', () => {
    const sealed = ring.seal(SHARE, random(4));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(() => ring.open(SHARE, changed)).toThrow(expect.objectContaining({ code: 'stored-damaged' }));
    }
    for (let length = 0; length < sealed.length; length++)
      expect(() => ring.open(SHARE, sealed.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'stored-damaged' }),
      );
  });
  it('R-03 does not open with another ring', () => {
    expect(() => KeyRing.create(random, 0).open(SHARE, ring.seal(SHARE, random(4)))).toThrow();
  });
});

describe('a rotated ring', () => {
  const rotated = ring.rotated(1000).rotated(2000);
  it('opens what the earlier ones sealed, and seals so that they cannot open it', () => {
    expect(rotated.open(SHARE, ring.seal(SHARE, Buffer.of(7)))).toEqual(Buffer.of(7));
    expect(() => ring.open(SHARE, rotated.seal(SHARE, Buffer.of(7)))).toThrow();
  });
  it('has receipt keys that agents adopt from the first on', () => {
    const keys = rotated.receiptKeys();
    expect(keys).toHaveLength(3);
    expect(keys[0]).toEqual(ring.receiptKeys()[0]);
    expect(adoptReceiptKeys(ring.serverId, ring.receiptKeys(), keys)).toEqual(keys);
    expect(rotated.receiptKeyId).toBe(keys[2]?.keyId);
  });
  it('signs with the newest', () => {
    const message = random(40);
    const key = Buffer.from(rotated.receiptKeys()[2]?.publicKey ?? '', 'hex');
    expect(verify(key, 'receipt', message, rotated.sign('receipt', message))).toBe(true);
    expect(verify(key, 'receipt-key', message, rotated.sign('receipt', message))).toBe(false);
  });
  it('survives its file', () => {
    const again = KeyRing.parse(rotated.serialize(), random);
    expect(again.fingerprint()).toBe(rotated.fingerprint());
    expect(again.receiptKeys()).toEqual(rotated.receiptKeys());
  });
});

describe('a ring file', () => {
  let dir: string;
  let file: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'ring-'));
    file = join(dir, 'safe.keys.json');
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('is readable by its owner only, and never replaced by accident', async () => {
    await createRingFile(file, ring);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await expect(createRingFile(file, KeyRing.create(random, 0))).rejects.toMatchObject({ key: 'keys.exists' });
    expect((await readRing(file, random))?.fingerprint()).toBe(ring.fingerprint());
    await replaceRingFile(file, ring.rotated(1));
    expect((await readRing(file, random))?.receiptKeys()).toHaveLength(2);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });
  it('missing is undefined; readable by others is refused', async () => {
    expect(await readRing(file, random)).toBeUndefined();
    await createRingFile(file, ring);
    await chmod(file, 0o640);
    await expect(readRing(file, random)).rejects.toMatchObject({ key: 'keys.exposed' });
  });
  it.each([
    ['empty', () => ''],
    ['cut short', (text: string) => text.slice(0, -10)],
    ['an unknown field', (text: string) => text.replace('{', '{"extra":1,')],
    ['another version', (text: string) => text.replace('"version": 1', '"version": 2')],
    [
      'another server id, so that endorsements do not fit',
      (text: string) => text.replace(/"serverId": "../, '"serverId": "00'),
    ],
    ['a seal key under a wrong id', (text: string) => text.replace(/("seal": \[\s*\{\s*"keyId": ")../, '$1zz')],
    ['a changed seed', (text: string) => text.replace(/"seed": ".{8}/, '"seed": "AAAAAAAA')],
    ['a changed endorsement', (text: string) => text.replace(/"endorsement": ".{8}/, '"endorsement": "AAAAAAAA')],
    ['no share key', (text: string) => text.replace(/"share": \[[^\]]*\]/, '"share": []')],
  ])('%s is refused', async (_, damage) => {
    await createRingFile(file, ring.rotated(1));
    await writeFile(file, damage(await readFile(file, 'utf8')));
    await expect(readRing(file, random)).rejects.toMatchObject({ key: 'keys.invalid' });
  });
});
