import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { asHash, type SnapshotId } from '@cresus-safe/protocol';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { HistoryState } from '../vault/history-state.ts';
import { appendSnapshot, MANDATE } from '../vault/vault-fixture.ts';
import { Desk } from './points-fixture.ts';
import { isRenewalDue } from './renew.ts';

let desk: Desk;
let living: SnapshotId[];

beforeEach(async () => {
  desk = new Desk();
  living = [];
  await desk.with(async ({ vault }) => {
    for (let n = 0; n < 6; n++) {
      const id = await appendSnapshot(vault, 'session');
      if (n % 3 === 2) living.push(id);
      else await vault.append('snapshot-forget', { mandateRef: vault.mandate(MANDATE).ref, subject: asHash(id) });
    }
  });
});
afterEach(() => desk[Symbol.dispose]());

/** Renews the journal of the desk in a process of its own, which may be killed on the way. */
function renew(crashAt?: string): string | null {
  const here = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
  const program = `import { openPoints } from ${here('./store.ts')};
    import { homeAt } from ${here('../local/home.ts')};
    import { identityOf, readRoot } from ${here('./root.ts')};
    import { renewJournal } from ${here('./renew.ts')};
    const home = homeAt(${JSON.stringify(desk.home.dir)});
    const points = await openPoints({ home, now: Date.now, deviceName: '', agentVersion: '', warn: () => undefined });
    const [store, vault] = ['store', 'vault'].map((name) => home.points + '/' + name);
    const { keys } = points.vault;
    renewJournal({ store, vault, keys, state: points.store.state, identity: identityOf(readRoot(home)), now: 1 });`;
  const run = spawnSync(process.execPath, ['--conditions=@cresus-safe/source', '--input-type=module', '-e', program], {
    env: { ...process.env, NODE_OPTIONS: '', ...(crashAt === undefined ? {} : { SAFE_CRASH_AT: crashAt }) },
    timeout: 60_000,
  });
  if (run.status !== 0 && run.signal === null) throw new Error(run.stderr.toString());
  return run.signal;
}

const seqAfter = (): Promise<number> =>
  desk.with(async (points) => {
    expect(points.list().map(({ id }) => id)).toEqual(living.toReversed());
    for (const id of living) expect(await points.vault.record(id)).toMatchObject({ comment: 'session' });
    expect(points.vault.broken).toBeUndefined();
    return points.vault.history.seq;
  });

test('a renewed journal says the same in fewer lines, and goes on', async () => {
  const log = join(desk.home.points, 'store', 'history.log');
  const before = statSync(log).size;
  expect(await seqAfter()).toBe(12);
  expect(renew()).toBeNull();
  expect(await seqAfter()).toBe(4);
  expect(statSync(log).size).toBeLessThan(before / 2);
  living.push(await desk.with(({ vault }) => appendSnapshot(vault, 'session')));
  expect(await seqAfter()).toBe(5);
  expect(desk.codes).toEqual([]);
}, 60_000);

test.each([
  ['renew-written', 12],
  ['renew-cut', 12],
])(
  'killed at %s, it is the old one, and the next time it is renewed',
  async (point, seq) => {
    expect(renew(point)).toBe('SIGKILL');
    expect(await seqAfter()).toBe(seq);
    expect(renew()).toBeNull();
    expect(await seqAfter()).toBe(4);
    expect(readdirSync(join(desk.home.points, 'store')).sort()).toEqual([
      'history.log',
      'packs',
      'share.bin',
      'snapshots',
    ]);
  },
  60_000,
);

test('it is due when a long journal mostly speaks of what is gone', () => {
  const state = (seq: number, live: number): HistoryState => {
    const steps = Array.from({ length: seq }, () => ({ entry: { kind: 'snapshot-add' }, attached: undefined }));
    const snapshots = new Map(steps.map((step, n) => [n, { step, forgottenAt: n < live ? undefined : 1 }]));
    return { seq, steps, snapshots } as unknown as HistoryState;
  };
  expect([state(999, 1), state(1000, 300), state(1000, 249), state(5000, 100)].map(isRenewalDue)).toEqual([
    false,
    false,
    true,
    true,
  ]);
});
