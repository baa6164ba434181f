import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { freeTemporary } from '../bytes/temporary.ts';
import { asMandateRef, type PackId } from '../ids.ts';
import { PACK_GRANULE_BYTES } from '../public/limits.ts';
import type { ContentClass } from './chunk.ts';
import { finishPack, openPack, PackSealer, packIdOf, startPack } from './pack.ts';
import { compressSegment, expandSegment, openSegment, sealSegment } from './segment.ts';

const packKey = new Uint8Array(32).fill(7);
const keys = { ref: asMandateRef('ab'.repeat(16)), packKey: () => packKey };

interface Part {
  readonly contentClass: ContentClass;
  readonly plain: Uint8Array;
}

function sealed(parts: readonly Part[]): { packId: PackId; bytes: Uint8Array } {
  const sealer = new PackSealer(keys, 0);
  for (const { contentClass, plain } of parts) sealer.add(contentClass, plain, [plain.length]);
  return sealer.finish();
}

const some: readonly Part[] = [
  { contentClass: 1, plain: new Uint8Array(randomBytes(5000)) },
  { contentClass: 2, plain: new Uint8Array(20_000).fill(0x41) },
  { contentClass: 3, plain: Uint8Array.of(1) },
];

function refusal(bytes: Uint8Array, packId: PackId = packIdOf(bytes)): string | undefined {
  try {
    const opened = openPack(bytes, packId, keys);
    for (let i = 0; i < opened.segments.length; i++) opened.segment(i);
    return undefined;
  } catch (error) {
    return (error as { kind?: string }).kind;
  }
}

describe('packs', () => {
  it('give back what was sealed', () => {
    const part = fc.record({
      contentClass: fc.constantFrom<ContentClass>(1, 2, 3),
      plain: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 3000 }),
        fc.integer({ min: 1, max: 100_000 }).map((n) => new Uint8Array(n)),
      ),
    });
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const { packId, bytes } = sealed(parts);
        expect(bytes.length % PACK_GRANULE_BYTES).toBe(0);
        const opened = openPack(bytes, packId, keys);
        const back = opened.segments.map(({ contentClass }, i) => ({ contentClass, plain: opened.segment(i) }));
        expect(back.map(({ contentClass }) => contentClass)).toEqual(parts.map(({ contentClass }) => contentClass));
        for (const [i, { plain }] of parts.entries())
          expect(Buffer.compare(back[i]?.plain as Uint8Array, plain)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it('refuse every flipped bit (MS-01), whoever renames the pack', () => {
    const { packId, bytes } = sealed(some);
    const flips = [...Array(108).keys(), ...Array.from({ length: 48 }, (_, i) => bytes.length - 1 - i)];
    for (let i = 0; i < 200; i++) flips.push(Math.floor((bytes.length * i) / 200));
    for (const at of flips)
      for (const bit of at < 108 || at >= bytes.length - 32 ? [0, 1, 2, 3, 4, 5, 6, 7] : [at % 8]) {
        const copy = bytes.slice();
        copy[at] = (copy[at] as number) ^ (1 << bit);
        expect(refusal(copy, packId)).toBe('integrity');
        // with the id that fits the changed bytes, the seals must refuse; byte 4 is the version
        expect([at, bit, refusal(copy)]).toEqual([at, bit, at === 4 ? 'version' : 'integrity']);
      }
  });

  it('refuse every truncation and extension (MS-02, MS-03)', () => {
    const { bytes } = sealed(some);
    const ends = [0, 1, 107, 108, 109, 5124, 5125, bytes.length - 33, bytes.length - 32, bytes.length - 1];
    for (const end of ends) expect([end, refusal(bytes.slice(0, end))]).toEqual([end, 'integrity']);
    for (const more of [1, PACK_GRANULE_BYTES]) {
      const longer = new Uint8Array(bytes.length + more);
      longer.set(bytes);
      expect(refusal(longer)).toBe('integrity');
    }
  });

  it('never use a salt twice, not for the same content either (R-04)', () => {
    const salts = new Set(
      Array.from({ length: 200 }, () => Buffer.from(startPack(keys, 0).bytes.subarray(44, 76)).toString('hex')),
    );
    expect(salts.size).toBe(200);
    const [a, b] = [sealed(some), sealed(some)];
    expect(a.packId).not.toBe(b.packId);
  });

  it('heal under the old name and a new salt', () => {
    const first = new PackSealer(keys, 0);
    const healed = new PackSealer(keys, 0, undefined, first.packRef);
    for (const sealer of [first, healed]) sealer.add(1, some[0]?.plain as Uint8Array, [5000]);
    const [a, b] = [first.finish(), healed.finish()];
    expect(b.packRef).toBe(a.packRef);
    expect(b.packId).not.toBe(a.packId);
    expect(openPack(b.bytes, b.packId, keys).segment(0)).toEqual(openPack(a.bytes, a.packId, keys).segment(0));
  });

  it('do not tell a planted file of 16 KB by their size (MS-45)', () => {
    const quiet = new Uint8Array(randomBytes(60_000));
    const planted = new Uint8Array(randomBytes(16_000));
    const without = sealed([{ contentClass: 1, plain: quiet }]);
    const withIt = sealed([
      { contentClass: 1, plain: quiet },
      { contentClass: 2, plain: planted },
    ]);
    expect(withIt.bytes.length).toBe(without.bytes.length);
  });

  it('do not hold nothing, and not more than 17 MiB', () => {
    const start = startPack(keys, 0);
    expect(() => finishPack(start, new Uint8Array(PACK_GRANULE_BYTES), 108, [])).toThrow(/0 segments/);
    const entry = {
      contentClass: 1,
      compression: 0,
      sealedLength: 116,
      plainLength: 100,
      chunkLengths: [100],
    } as const;
    const used = 17 * 1024 * 1024 - 20;
    expect(() => finishPack(start, new Uint8Array(18 * 1024 * 1024), used, [entry])).toThrow(/a pack of/);
  });
});

describe('segments', () => {
  it('are compressed only where that helps, in one frame that says its length', () => {
    expect(compressSegment(new Uint8Array(randomBytes(4096)))).toBeUndefined();
    const frame = compressSegment(new Uint8Array(1_000_000)) as Uint8Array;
    expect(frame.length).toBeLessThan(1000);
    expect(expandSegment(frame, 1, 1_000_000).length).toBe(1_000_000);
    expect(() => expandSegment(frame, 1, 999_999)).toThrow(/does not declare 999999 bytes/);
  });

  it('refuse every flipped bit of a frame, or give the right bytes', () => {
    const plain = Buffer.from('Débit 1000 Crédit 2000 '.repeat(100));
    const frame = compressSegment(plain) as Uint8Array;
    for (let at = 0; at < frame.length; at++) {
      const copy = frame.slice();
      copy[at] = (copy[at] as number) ^ 0x10;
      let opened: Uint8Array | undefined;
      try {
        opened = expandSegment(copy, 1, plain.length);
      } catch (error) {
        expect(error).toMatchObject({ kind: 'integrity' });
      }
      if (opened) expect(Buffer.compare(opened, plain)).toBe(0);
    }
  });

  it('catch a bit that flips in memory after sealing (F-44)', () => {
    const plain = new Uint8Array(randomBytes(100_000));
    const { sealed: bytes, compression } = sealSegment(packKey, 3, plain);
    bytes[50_000] = (bytes[50_000] as number) ^ 1;
    expect(() => openSegment(packKey, 3, bytes, { compression, plainLength: plain.length })).toThrow(/authentication/);
  });

  it('open the same through a scratch buffer', () => {
    const scratch = new Uint8Array(2 * 1024 * 1024);
    for (const plain of [new Uint8Array(randomBytes(70_000)), new Uint8Array(70_000)]) {
      const { sealed: bytes, compression } = sealSegment(packKey, 0, plain);
      const opened = openSegment(packKey, 0, bytes, { compression, plainLength: plain.length }, scratch);
      expect(Buffer.compare(opened, plain)).toBe(0);
    }
  });
});

describe('temporaries', () => {
  it('are freed only where nobody shares their buffer: Node pools small ones', () => {
    const small = Buffer.from('a small one lies in the pool');
    const neighbour = Buffer.from('its neighbour');
    freeTemporary(small);
    expect(neighbour.toString()).toBe('its neighbour');
    expect(small.toString()).toBe('a small one lies in the pool');
    // also the one that lies at offset 0 of a pool, which looks most like an owner
    for (let i = 0; i < 50; i++) freeTemporary(Buffer.allocUnsafe(30_000));
    for (let i = 0; i < 50; i++) freeTemporary(Buffer.from(new Uint8Array(20_000)));
    for (const length of [100, 20_000, 40_000]) {
      const frame = compressSegment(new Uint8Array(length)) as Uint8Array;
      freeTemporary(expandSegment(frame, 1, length));
      freeTemporary(frame);
    }
    expect(neighbour.toString()).toBe('its neighbour');
    const large = Buffer.alloc(1_000_000);
    freeTemporary(large);
    expect(large.length).toBe(0);
    const shared = new Uint8Array(new SharedArrayBuffer(1_000_000));
    freeTemporary(shared);
    expect(shared.length).toBe(1_000_000);
    const inner = new Uint8Array(1_000_000).subarray(8);
    freeTemporary(inner);
    expect(inner.length).toBe(999_992);
  });
});
