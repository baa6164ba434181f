import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { lacksProgram, testWith } from '../support/faults.ts';
import { ProtocolClient } from '../support/protocol-client.ts';
import { World } from '../support/world.ts';

const lacks = lacksProgram('strace');
const CALLS =
  'fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg,rename,renameat,renameat2,link,linkat,openat';

/*
 * A power loss cannot be staged honestly here: what the kernel holds in its page cache survives every kill, and a copy of
 * the database without its last WAL frames is not what a disk keeps after a completed fsync. What can be shown is the
 * order of the server's own system calls: nothing that an answer promises was still unsynced when the answer went out.
 */
describe('F-33 power loss after an answer', () => {
  let world: World;
  let client: ProtocolClient;
  let log: string;

  beforeAll(async () => {
    if (lacks !== undefined) return;
    world = new World();
    log = world.path('strace.log');
    await world.server.start({ wrap: ['strace', '-f', '-y', '-s', '64', '-e', `trace=${CALLS}`, '-o', log] });
    const subscriber = await world.server.addSubscriber();
    client = await ProtocolClient.withVault(world.server.url, subscriber.enrolmentCode);
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  /** The completed system calls of the server in order, each in one line also when strace had to split it. */
  function calls(): string[] {
    const open = new Map<string, string>();
    return readFileSync(log, 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [, pid = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
        if (text.endsWith('<unfinished ...>')) {
          open.set(pid, text.slice(0, -'<unfinished ...>'.length));
          // what is being written counts from its beginning, what is being synced from its end
          return /^(write|writev|sendto|sendmsg|pwrite)/.test(text) ? [text] : [];
        }
        const [, rest] = /^<\.\.\. \w+ resumed>(.*)$/.exec(text) ?? [];
        return [rest === undefined ? text : `${open.get(pid) ?? ''}${rest}`];
      });
  }

  testWith(lacks)(
    'F-33 the commit: the database’s log is synced after its last write and before each 201',
    async () => {
      for (let n = 0; n < 3; n++) await client.send();
      let [answers, unsynced] = [0, false];
      for (const call of calls()) {
        if (/^(pwrite64|pwritev|write)\(\d+<[^>]*safe\.sqlite-wal>/.test(call)) unsynced = true;
        if (/^f(data)?sync\(\d+<[^>]*safe\.sqlite-wal>\) *= 0/.test(call)) unsynced = false;
        if (!/HTTP\/1\.1 201/.test(call)) continue;
        answers += 1;
        expect([call.slice(0, 80), unsynced]).toEqual([call.slice(0, 80), false]);
      }
      expect(answers).toBeGreaterThanOrEqual(8); // enrolment, vault, three packs and three snapshots
    },
  );

  testWith(lacks)('F-33 the objects: written, synced, renamed, and the folder synced, before the answer', async () => {
    const { pack } = await client.send();
    const all = calls();
    const found = (from: number, pattern: RegExp): number => {
      const at = all.findIndex((call, index) => index >= from && pattern.test(call));
      expect([String(pattern), at]).not.toEqual([String(pattern), -1]);
      return at;
    };
    const placed = found(0, new RegExp(`^(rename|link)\\w*\\(.*${pack.packId}"`));
    const temporary = /"([^"]+)"/.exec(all[placed] ?? '')?.[1] ?? '';
    const synced = all.findIndex((call) => call.startsWith('f') && call.includes(`<${temporary}>`) && /= 0/.test(call));
    expect([synced >= 0, synced < placed]).toEqual([true, true]);
    const folder = found(placed, /^f(data)?sync\(\d+<[^>]*\/p>\) *= 0/);
    expect(folder).toBeLessThan(found(placed, /HTTP\/1\.1 201/));
  });
});
