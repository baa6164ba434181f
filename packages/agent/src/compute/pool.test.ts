import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { asMandateRef, chunkId, chunkParams, cutFile, openPack, PackSealer, PIECE_BYTES } from '@cresus-safe/protocol';
import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { blockPlace, FILE_RESULT_BYTES } from './arena.ts';
import { PIECE_STATUS, type Piece, statOf } from './jobs.ts';
import { Pool } from './pool.ts';

// workers start from TypeScript here, two at a time, on a machine that may be busy
jest.setTimeout(60_000);

const keys = {
  chunkIdKey: new Uint8Array(32).fill(3),
  gear: Uint32Array.from({ length: 256 }, (_, i) => createHash('sha256').update(String(i)).digest().readUInt32BE(0)),
};
const packKey = new Uint8Array(32).fill(9);
const packKeys = { ref: asMandateRef('cd'.repeat(16)), packKey: () => packKey };

const pool = new Pool();
pool.useMandate(keys);
afterAll(() => pool.close());

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'safe-pool-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function piece(name: string, content: Uint8Array): Piece {
  const path = join(dir, name);
  writeFileSync(path, content);
  const stat = statOf(statSync(path, { bigint: true })); // as the scan does: milliseconds are rounded otherwise elsewhere
  return { path, stat, offset: 0, length: stat.size };
}

async function block(pieces: readonly Piece[]) {
  const slot = await pool.blocks.take();
  await pool.run({ type: 'block', slot, contentClass: 2, params: chunkParams(1), pieces });
  const place = blockPlace(slot);
  let chunk = 0;
  const results = pieces.map((_, i) => {
    const [status, count] = pool.arena.u32(place.files + i * FILE_RESULT_BYTES, 2) as unknown as [number, number];
    const lengths = Array.from(pool.arena.u32(place.lengths + chunk * 4, count));
    const ids = pool.arena.bytes(place.ids + chunk * 16, count * 16).toString('hex');
    const sha256 = pool.arena.bytes(place.files + i * FILE_RESULT_BYTES + 8, 32).toString('hex');
    chunk += count;
    return { status, lengths, ids, sha256 };
  });
  pool.blocks.release(slot);
  return results;
}

describe('the pool', () => {
  it('costs no worker before its first job', () => {
    const idle = new Pool();
    idle.useMandate(keys);
    return idle.close();
  });

  it('cuts, names and hashes files as the format says', async () => {
    const contents = [1, 16_384, 16_385, 300_000].map((length) => new Uint8Array(randomBytes(length)));
    const results = await block(contents.map((content, i) => piece(`f${i}`, content)));
    for (const [i, content] of contents.entries()) {
      const lengths = cutFile(content, keys.gear, chunkParams(content.length));
      let at = 0;
      const ids = lengths.map((length) => {
        at += length;
        return Buffer.from(chunkId(keys.chunkIdKey, 2, content.subarray(at - length, at))).toString('hex');
      });
      const sha256 = createHash('sha256').update(content).digest('hex');
      expect(results[i]).toEqual({ status: PIECE_STATUS.ok, lengths, ids: ids.join(''), sha256 });
    }
  });

  it('tells files that changed, vanished, or became links, and still reads the others', async () => {
    const good = piece('good', new Uint8Array(100));
    const grown = piece('grown', new Uint8Array(100));
    writeFileSync(grown.path, new Uint8Array(101));
    const gone = piece('gone', new Uint8Array(100));
    rmSync(gone.path);
    const link = piece('link', new Uint8Array(100));
    rmSync(link.path);
    symlinkSync(good.path, link.path);
    const other = { ...good, stat: { ...good.stat, ino: good.stat.ino + 1 } };
    const statuses = (await block([grown, gone, link, other, good])).map(({ status }) => status);
    const { changed, vanished, ok } = PIECE_STATUS;
    expect(statuses).toEqual([changed, vanished, changed, changed, ok]);
  });

  it('F-44: seals, and names a pack only if all its chunks are what was read', async () => {
    const plain = randomBytes(700_000);
    const slot = await pool.segments.take();
    plain.copy(pool.arena.segmentPlain(slot));
    const result = await pool.run({ type: 'seal', slot, ordinal: 0, plainLength: plain.length, key: packKey });
    expect(result).toEqual({ compression: 0, sealedLength: plain.length + 16 });
    pool.segments.release(slot);

    const sealer = new PackSealer(packKeys, 0);
    sealer.add(1, new Uint8Array(plain), [300_000, 400_000]);
    const { packId, bytes } = sealer.finish();
    const place = await pool.packs.take();
    pool.arena.pack(place).set(bytes);
    const checks = Uint32Array.of(crc32(plain.subarray(0, 300_000)), crc32(plain.subarray(300_000)));
    const { length } = bytes;
    const job = { type: 'hash', slot: place, length, mandateRef: packKeys.ref, packKey, checks } as const;
    expect(await pool.run(job)).toBe(packId);
    for (const other of [checks.map((check) => check ^ 1), checks.subarray(1), Uint32Array.of(...checks, 0)])
      await expect(pool.run({ ...job, checks: other })).rejects.toMatchObject({ kind: 'integrity' }); // F-44
    pool.packs.release(place);
  });

  it('unpacks runs to open files and new ones, with their hashes and chunk ids', async () => {
    const sealer = new PackSealer(packKeys, 0);
    const first = new Uint8Array(randomBytes(50_000));
    const second = new Uint8Array(60_000).fill(7);
    sealer.add(1, first, [20_000, 30_000]);
    sealer.add(2, second, [60_000]);
    const { packId, packRef, bytes } = sealer.finish();
    const slot = await pool.packs.take();
    pool.arena.pack(slot).set(bytes);
    const target = join(dir, 'target');
    const file = openSync(target, 'w');
    const job = { type: 'unpack', slot, length: bytes.length, packId, mandateRef: packKeys.ref, packKey } as const;
    const fresh = join(dir, 'fresh');
    const result = await pool.run({
      ...job,
      writes: [
        { target: file, position: 5, segment: 0, offset: 100, length: 900 },
        { target: fresh, position: 0, segment: 1, offset: 0, length: 60_000, digest: true },
      ],
      chunks: true,
    });
    closeSync(file);
    expect(Buffer.compare(readFileSync(target).subarray(5), first.subarray(100, 1000))).toBe(0);
    expect(Buffer.compare(readFileSync(fresh), second)).toBe(0);
    expect(result.digests).toEqual([createHash('sha256').update(second).digest('hex')]);
    expect(result.packRef).toBe(packRef);
    expect(Buffer.from(result.chunks[0]?.ids as Uint8Array).subarray(16)).toEqual(
      Buffer.from(chunkId(keys.chunkIdKey, 1, first.subarray(20_000))),
    );
    expect(await pool.run({ type: 'hashFile', path: fresh })).toBe(result.digests[0]);
    const past = { target: fresh, position: 0, segment: 1, offset: 1, length: 60_000 };
    await expect(pool.run({ ...job, writes: [past], chunks: false })).rejects.toMatchObject({ kind: 'integrity' });
    pool.arena.pack(slot).fill(0xff, 300, 310);
    await expect(pool.run({ ...job, writes: [], chunks: false })).rejects.toMatchObject({ kind: 'integrity' });
    pool.packs.release(slot);
    expect(openPack(bytes, packId, packKeys).segments).toHaveLength(2);
  });

  it('reports the code of a system error', async () => {
    await expect(pool.run({ type: 'hashFile', path: join(dir, 'none') })).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('rejects everything under way, and every wait, when it is closed', async () => {
    const doomed = new Pool();
    doomed.useMandate(keys);
    const one = piece('one', new Uint8Array(PIECE_BYTES));
    const slots = await Promise.all([0, 1, 2, 3, 4].map(() => doomed.blocks.take()));
    const jobs = slots.map((slot) =>
      doomed.run({ type: 'block', slot, contentClass: 1, params: chunkParams(1), pieces: [one] }),
    );
    const waiting = doomed.blocks.take();
    const reason = new Error('stop');
    const settled = Promise.allSettled([...jobs, waiting]);
    await doomed.close(reason);
    for (const outcome of await settled) expect(outcome).toEqual({ status: 'rejected', reason });
    await expect(doomed.run({ type: 'hashFile', path: one.path })).rejects.toBe(reason);
  });
});
