import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { BLOCK_BYTES } from './blocks.ts';
import type { ByteSource } from './byte-source.ts';
import { entryData } from './entry-data.ts';
import { readDirectory } from './zip-directory.ts';
import { centralRecord, DEFLATED, dataDescriptor, directoryEnd, localHeader, STORED } from './zip-records.ts';
import { prepareFile, ZipWriter } from './zip-writer.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'safe-zip-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const facts = (name: string) => ({ name, mtime: 1_700_000_000_123_456, mode: 0o640 });

function noise(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = 1;
  for (let i = 0; i < size; i += 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

async function* inBlocks(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) yield bytes.subarray(at, at + BLOCK_BYTES);
}

async function zipOf(write: (zip: ZipWriter) => Promise<void>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const zip = new ZipWriter({
    write: async (bytes) => {
      pieces.push(Buffer.from(bytes));
    },
    end: async () => undefined,
  });
  await write(zip);
  await zip.end();
  return Buffer.concat(pieces);
}

function sourceOf(bytes: Buffer): ByteSource {
  return {
    size: bytes.length,
    read: async (at, length) => bytes.subarray(at, at + length),
    close: async () => undefined,
  };
}

async function contentOf(bytes: Buffer): Promise<Map<string, Buffer>> {
  const source = sourceOf(bytes);
  const content = new Map<string, Buffer>();
  for (const [key, entry] of await readDirectory(source))
    content.set(key, Buffer.concat(await Array.fromAsync(entryData(source, entry))));
  return content;
}

describe('the ZIP writer', () => {
  const text = Buffer.from('une écriture comptable; '.repeat(BLOCK_BYTES / 8));
  const files: readonly [string, Buffer][] = [
    ['files/vide.txt', Buffer.alloc(0)],
    ['files/petit.txt', Buffer.from('petit')],
    ['files/été & 山.pdf', noise(200_000)],
    ['files/gros.cre', text],
    ['files/gros.zip', noise(2 * BLOCK_BYTES + 5)],
    ['files/mêlé.fac', Buffer.concat([text.subarray(0, BLOCK_BYTES), noise(BLOCK_BYTES), text.subarray(0, 99)])],
  ];

  const whole = (): Promise<Buffer> =>
    zipOf(async (zip) => {
      await zip.folder(facts('files/dossier vide'));
      for (const [name, bytes] of files)
        if (bytes.length <= BLOCK_BYTES) await zip.prepared(await prepareFile(facts(name), bytes));
        else await zip.streamed(facts(name), bytes.length, inBlocks(bytes));
    });

  it('writes what the reader gives back, small, big, empty, compressible or not', async () => {
    const content = await contentOf(await whole());
    expect([...content.keys()].sort()).toEqual(['files/dossier vide/', ...files.map(([name]) => name)].sort());
    for (const [name, bytes] of files) expect(content.get(name)?.equals(bytes)).toBe(true);
  });

  it('compresses where it helps, and loses next to nothing where it does not', async () => {
    const entries = await readDirectory(sourceOf(await whole()));
    expect(entries.get('files/été & 山.pdf')?.method).toBe(STORED);
    expect(entries.get('files/gros.cre')?.compressedSize).toBeLessThan(text.length / 20);
    expect(entries.get('files/gros.zip')?.compressedSize).toBeLessThan((2 * BLOCK_BYTES + 5) * 1.001);
    expect(entries.get('files/mêlé.fac')?.compressedSize).toBeLessThan(BLOCK_BYTES * 1.1);
  });

  it('is read by Python, with names, times and modes', async () => {
    const file = join(dir, 'a.zip');
    writeFileSync(file, await whole());
    const script = `
import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
for i in z.infolist(): print(i.filename, i.file_size, oct(i.external_attr >> 16), i.date_time[0])`;
    const told = execFileSync('python3', ['-c', script, file], { env: { ...process.env, PYTHONIOENCODING: 'utf-8' } });
    const lines = told.toString().trim().split('\n');
    expect(lines).toContain('files/été & 山.pdf 200000 0o100640 2023');
    expect(lines).toContain('files/dossier vide/ 0 0o40640 2023');
  });

  it('writes more entries than fit 16 bits', async () => {
    const empty = await prepareFile(facts('x'), Buffer.alloc(0));
    const bytes = await zipOf(async (zip) => {
      for (let n = 0; n < 70_000; n += 1)
        await zip.prepared({ ...empty, entry: { ...empty.entry, name: Buffer.from(`f/${n}`) } });
    });
    expect((await readDirectory(sourceOf(bytes))).size).toBe(70_000);
  });

  it('says sizes and places beyond 4 GiB in 64 bits', () => {
    const entry = {
      ...({ name: Buffer.from('x'), method: DEFLATED, mtime: 0, mode: 0o100644, streamed: true, zip64: true } as const),
      ...{ crc: 7, size: 20_000_000_000, compressedSize: 5_000_000_000, offset: 6_000_000_000 },
    };
    const descriptor = dataDescriptor(entry);
    expect([descriptor.readBigUInt64LE(8), descriptor.readBigUInt64LE(16)]).toEqual([5_000_000_000n, 20_000_000_000n]);
    const record = centralRecord(entry);
    expect([20, 24, 42].map((at) => record.readUInt32LE(at))).toEqual([0xffff_ffff, 0xffff_ffff, 0xffff_ffff]);
    expect([51, 59, 67].map((at) => record.readBigUInt64LE(at))).toEqual([
      20_000_000_000n,
      5_000_000_000n,
      6_000_000_000n,
    ]);
    expect(localHeader(entry).readUInt32LE(18)).toBe(0xffff_ffff);
    const end = directoryEnd(1, 6_000_000_000, 100);
    expect([end.readBigUInt64LE(40), end.readBigUInt64LE(48), end.readBigUInt64LE(64)]).toEqual([
      100n,
      6_000_000_000n,
      6_000_000_100n,
    ]);
  });
});
