import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asMandateRef, asPackId, asPackRef } from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ChunkIndex, dropPacks, FILE_CACHE } from './chunk-index.ts';
import { ChunkTable } from './chunk-table.ts';

const KEY = [new Uint8Array(32).fill(5)];
const REF = asMandateRef('ab'.repeat(16));
const packRef = (n: number) => asPackRef(n.toString(16).padStart(32, '0'));
const packId = (n: number) => asPackId(n.toString(16).padStart(64, '0'));

function ids(from: number, count: number): Uint32Array {
  const words = new Uint32Array(count * 4);
  for (let i = 0; i < count; i++) {
    const hash = createHash('sha256')
      .update(`chunk ${from + i}`)
      .digest();
    for (let word = 0; word < 4; word++) words[i * 4 + word] = hash.readUInt32LE(word * 4);
  }
  return words;
}

let dir: string;
let warnings: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'safe-index-'));
  warnings = [];
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const load = (key = KEY): ChunkIndex => ChunkIndex.load(dir, key, REF, ({ code }) => warnings.push(code));
const file = (): string => join(dir, 'chunks.idx');

/** An index with `packs` packs of 100 chunks each, chunk i of a pack in segment i % 4. */
async function filled(packs: number): Promise<void> {
  const index = load();
  for (let n = 0; n < packs; n++) {
    const words = ids(n * 100, 100);
    const places = Uint32Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? (i / 2) % 4 : i * 1000));
    await index.acknowledge(index.addPack(packRef(n)), packId(n), words, places);
  }
  await index.close();
}

const knows = (index: ChunkIndex, chunk: number): boolean => index.find(ids(chunk, 1), 0);

describe('the table of chunks', () => {
  it('finds what was put in, through every growth, and nothing else', () => {
    const table = new ChunkTable();
    const words = ids(0, 5000);
    for (let i = 0; i < 5000; i++) table.set(words, i * 4, i, i % 4096, (i * 401) % 2_097_152);
    expect(table.size).toBe(5000);
    for (let i = 0; i < 5000; i++) {
      expect(table.find(words, i * 4)).toBe(true);
      expect(table.found).toEqual({ pack: i, segment: i % 4096, offset: (i * 401) % 2_097_152 });
    }
    const others = ids(5000, 1000);
    for (let i = 0; i < 1000; i++) expect(table.find(others, i * 4)).toBe(false);
  });

  it('holds the largest location, and moves a chunk', () => {
    const table = new ChunkTable();
    table.set(ids(1, 1), 0, 2 ** 30 - 2, 4095, 2_097_151);
    table.find(ids(1, 1), 0);
    expect(table.found).toEqual({ pack: 2 ** 30 - 2, segment: 4095, offset: 2_097_151 });
    table.set(ids(1, 1), 0, 0, 0, 0);
    expect(table.find(ids(1, 1), 0)).toBe(true);
    expect([table.found, table.size]).toEqual([{ pack: 0, segment: 0, offset: 0 }, 1]);
  });
});

describe('the chunk index', () => {
  it('knows after a restart what was acknowledged, and nothing that was not (MS-25)', async () => {
    await filled(2);
    const index = load();
    const open = index.addPack(packRef(9));
    index.set(ids(900, 1), 0, open, 0, 0);
    expect(knows(index, 900)).toBe(true);
    await index.close();
    const again = load();
    expect([0, 99, 100, 199].map((chunk) => knows(again, chunk))).toEqual([true, true, true, true]);
    expect(knows(again, 900)).toBe(false);
    expect(again.packId(packRef(1))).toBe(packId(1));
    expect(again.packId(packRef(9))).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  it('forgets dropped packs for good, and takes their chunks anew', async () => {
    await filled(2);
    const index = load();
    expect(await index.drop([packId(0)])).toEqual(new Set([packRef(0)]));
    await index.acknowledge(index.addPack(packRef(3)), packId(3), ids(0, 1), Uint32Array.of(1, 2));
    await index.close();
    const again = load();
    expect([0, 1, 100].map((chunk) => knows(again, chunk))).toEqual([true, false, true]);
    expect(again.packId(packRef(0))).toBeUndefined();
  });

  it('is unreadable without the key and holds no chunk id in clear', async () => {
    await filled(1);
    const bytes = readFileSync(file());
    expect(bytes.includes(Buffer.from(ids(0, 1).buffer))).toBe(false);
    expect(bytes.includes(Buffer.from(packId(0), 'hex'))).toBe(false);
    expect(knows(load([new Uint8Array(32)]), 0)).toBe(false);
    expect(warnings).toEqual(['index-rebuilt']);
  });

  it('keeps the frames before a torn or damaged end, says so, and goes on', async () => {
    await filled(3);
    const whole = readFileSync(file());
    const frame = (whole.length - 8) / 3;
    for (const end of [7, 8 + frame * 2 + 1, whole.length - 1]) {
      warnings = [];
      writeFileSync(file(), whole.subarray(0, end));
      const index = load();
      const kept = Math.max(0, Math.floor((end - 8) / frame));
      expect([50, 150, 250].map((chunk) => knows(index, chunk))).toEqual([kept > 0, kept > 1, kept > 2]);
      expect(warnings).toEqual(['index-rebuilt']);
      await index.acknowledge(index.addPack(packRef(7)), packId(7), ids(700, 10), new Uint32Array(20));
      await index.close();
      warnings = [];
      expect(knows(load(), 705)).toBe(true);
      expect(warnings).toEqual([]);
    }
  });

  it('never believes a flipped bit', async () => {
    await filled(1);
    const whole = readFileSync(file());
    for (let at = 8; at < whole.length; at += 97) {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] as number) ^ 4;
      writeFileSync(file(), copy);
      warnings = [];
      expect(knows(load(), 0)).toBe(false);
      expect(warnings).toEqual(['index-rebuilt']);
    }
  });

  it('is forgotten together with the cache of files when packs are dropped from outside', async () => {
    await filled(1);
    writeFileSync(join(dir, FILE_CACHE), 'x');
    await dropPacks(dir, KEY, REF, [packId(0)]);
    expect(existsSync(join(dir, FILE_CACHE))).toBe(false);
    expect(knows(load(), 0)).toBe(false);
  });
});
