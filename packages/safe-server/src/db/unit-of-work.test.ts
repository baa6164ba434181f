import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { MetaEntity } from '../accounts/entities.ts';
import { SCHEMA } from './entities.ts';
import { Db } from './unit-of-work.ts';

let dir: string;
let db: Db;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'safe-db-'));
  db = await Db.open(join(dir, 'safe.sqlite'), SCHEMA);
});

afterEach(async () => {
  await db.close();
  await rm(dir, { recursive: true, force: true });
});

const put = (name: string, value = '') => db.write((m) => m.insert(MetaEntity, { name, value }));
const names = async () => (await db.read((m) => m.find(MetaEntity))).map(({ name }) => name).sort();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('units of work', () => {
  test('F-31: of twenty parallel mixed writes nothing acknowledged is lost, and nobody reads what rolls back', async () => {
    const seen = new Set<string>();
    let reading = true;
    const reader = (async () => {
      while (reading) {
        for (const name of await names()) seen.add(name);
        await pause(1);
      }
    })();
    const writes = Array.from({ length: 20 }, (_, i) =>
      db.write(async (m) => {
        await m.insert(MetaEntity, { name: `first-${i}`, value: '' });
        await pause(i % 3);
        if (i % 2 === 0) await m.update(MetaEntity, { name: `first-${i}` }, { value: 'changed' });
        await m.insert(MetaEntity, { name: `second-${i}`, value: '' });
        if (i === 7) throw new Error('this one is undone');
        return i;
      }),
    );
    const results = await Promise.allSettled(writes);
    reading = false;
    await reader;
    const done = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(done).toEqual(Array.from({ length: 20 }, (_, i) => i).filter((i) => i !== 7));
    expect(await names()).toEqual(done.flatMap((i) => [`first-${i}`, `second-${i}`]).sort());
    expect([...seen].filter((name) => name.endsWith('-7'))).toEqual([]);
  });

  test('what a unit of work wrote is seen only after its commit, and inside it', async () => {
    await db.write(async (m) => {
      await m.insert(MetaEntity, { name: 'x', value: '' });
      expect(await names()).toEqual(['x']);
      expect(await outside(() => names())).toEqual([]);
    });
    expect(await names()).toEqual(['x']);
  });

  test('a nested write joins: both or neither', async () => {
    const failing = db.write(async () => {
      await put('inner');
      throw new Error('undone');
    });
    await expect(failing).rejects.toThrow('undone');
    expect(await names()).toEqual([]);
    await db.write(async (m) => {
      await m.insert(MetaEntity, { name: 'outer', value: '' });
      await put('inner');
    });
    expect(await names()).toEqual(['inner', 'outer']);
  });

  test('a promise that a unit of work left behind does not slip into another one', async () => {
    let late: Promise<unknown> = Promise.resolve();
    await db.write(async () => {
      late = pause(20).then(() => put('late'));
    });
    const failing = db.write(async () => {
      await pause(60);
      throw new Error('undone');
    });
    await expect(failing).rejects.toThrow('undone');
    await late;
    expect(await names()).toEqual(['late']);
  });

  test('typeorm’s own transactions inside become savepoints', async () => {
    await db.write(async (m) => {
      await m.save(MetaEntity, { name: 'a', value: '' });
      const inner = m.transaction(async (n) => {
        await n.insert(MetaEntity, { name: 'b', value: '' });
        throw new Error('only this part');
      });
      await expect(inner).rejects.toThrow('only this part');
    });
    expect(await names()).toEqual(['a']);
  });

  test('the reading connection cannot write', async () => {
    await expect(db.read((m) => m.insert(MetaEntity, { name: 'x', value: '' }))).rejects.toThrow('READONLY');
  });

  test('safe settings are on: WAL, full sync, foreign keys', async () => {
    const pragma = (name: string) => db.write((m) => m.query(`PRAGMA ${name}`) as Promise<Record<string, unknown>[]>);
    expect(await pragma('journal_mode')).toEqual([{ journal_mode: 'wal' }]);
    expect(await pragma('synchronous')).toEqual([{ synchronous: 2 }]);
    expect(await pragma('foreign_keys')).toEqual([{ foreign_keys: 1 }]);
  });
});

/** Runs `work` as code that no unit of work called. */
function outside<T>(work: () => Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  waiting.push(() => void work().then(resolve, reject));
  return promise;
}
const waiting: (() => void)[] = [];
const ticker = setInterval(() => waiting.shift()?.(), 5);
ticker.unref();

describe('other processes', () => {
  /** Another process takes the write lock and holds it for `ms`. */
  const hold = async (ms: number) => {
    const script = `
      const sqlite3 = require('sqlite3');
      const db = new sqlite3.Database(process.argv[1]);
      db.exec('BEGIN IMMEDIATE', (error) => {
        if (error) throw error;
        console.log('held');
        setTimeout(() => db.exec('COMMIT', () => process.exit(0)), ${ms});
      });`;
    const child = spawn(process.execPath, ['-e', script, join(dir, 'safe.sqlite')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return child;
  };

  test('F-32: a write waits for another process without blocking anything, reads go on', async () => {
    const child = await hold(800);
    let worst = 0;
    let last = performance.now();
    const beat = setInterval(() => {
      worst = Math.max(worst, performance.now() - last - 10);
      last = performance.now();
    }, 10);
    const write = put('x');
    expect(await names()).toEqual([]);
    await write;
    clearInterval(beat);
    expect(await names()).toEqual(['x']);
    expect(worst).toBeLessThan(100);
    if (child.exitCode === null) await once(child, 'exit');
  });

  test('F-32: when it takes too long the answer is busy, and nothing was written', async () => {
    const child = await hold(8000);
    await expect(put('x')).rejects.toMatchObject({ code: 'busy', status: 503, facts: { retryAfter: 1 } });
    child.kill();
    await once(child, 'exit');
    expect(await names()).toEqual([]);
    await put('x');
    expect(await names()).toEqual(['x']);
  }, 20_000);

  test('two servers that start at once agree on the tables', async () => {
    const file = join(dir, 'other.sqlite');
    const both = await Promise.all([Db.open(file, SCHEMA), Db.open(file, SCHEMA)]);
    for (const [i, one] of both.entries()) await one.write((m) => m.insert(MetaEntity, { name: `${i}`, value: '' }));
    for (const one of both) {
      expect(await one.read((m) => m.count(MetaEntity))).toBe(2);
      await one.close();
    }
  });
});
