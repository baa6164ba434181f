import { normaliseSecret, openWithSecret, parseHeader } from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { AgentError } from '../errors.ts';
import { MemoryServer } from './memory-remote.ts';
import { rotateKeys, setKit } from './slots.ts';
import { unlock } from './unlock.ts';
import type { Vault } from './vault.ts';
import { appendSnapshot, CHEAP_KDF, Computer, SECRET } from './vault-fixture.ts';

jest.setTimeout(120_000); // Argon2id a dozen times, on a busy machine too

const NEW = normaliseSecret('le secret d’après');
const KIT = new Uint8Array(20).fill(7);
let server: MemoryServer;
let a: Computer;
let vault: Vault;
const computers: Computer[] = [];

beforeEach(async () => {
  server = new MemoryServer();
  a = another('a');
  vault = await a.create();
});
afterEach(() => {
  for (const computer of computers.splice(0)) computer.remove();
});

function another(name: string): Computer {
  const computer = new Computer(server, name);
  computers.push(computer);
  return computer;
}

async function failure(promise: Promise<unknown>): Promise<AgentError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AgentError);
  return error as AgentError;
}

/** Opens that computer's vault with a secret key that is typed, and remembers the root that it gave. */
async function typed(computer: Computer, secret: Uint8Array): Promise<Vault> {
  const { dir, remote, deviceId } = computer;
  const { keys } = await unlock({ dir, remote, deviceId, opener: { secret }, warn: () => undefined });
  computer.root = keys.root;
  return computer.join();
}

describe('a new root and generation', () => {
  test('records from before and after open, and only the new secret key opens the header', async () => {
    await setKit(vault, KIT);
    const before = await appendSnapshot(vault, 'avant');
    const { ref, chunkIdKey, gear } = vault.mandate((await vault.record(before)).mandateId);
    const old = vault.keys.root;
    await rotateKeys(vault, NEW, CHEAP_KDF);
    expect(vault.keys.generation).toBe(1);
    expect(vault.keys.isEarlier(old)).toBe(true);
    const after = await appendSnapshot(vault, 'après');
    expect(vault.snapshots().map(({ comment }) => comment)).toEqual(['avant', 'après']);
    expect([(await vault.record(before)).generation, (await vault.record(after)).generation]).toEqual([0, 1]);
    const mandate = vault.mandate((await vault.record(after)).mandateId);
    expect(mandate).toMatchObject({ ref, chunkIdKey });
    expect(mandate.gear).toEqual(gear);
    const shown = server.vault();
    const header = parseHeader(shown?.header ?? new Uint8Array());
    expect(header).toMatchObject({ generation: 1, headerSeq: 3, kitSlot: undefined });
    await expect(openWithSecret(header, SECRET, shown?.share ?? KIT)).rejects.toMatchObject({ kind: 'wrong-secret' });
    expect((await openWithSecret(header, NEW, shown?.share ?? KIT)).root).toEqual(vault.keys.root);
    // a kit made anew opens both generations
    await setKit(vault, KIT);
    const b = another('b');
    const { dir, remote, deviceId } = b;
    const { keys } = await unlock({ dir, remote, deviceId, opener: { kit: KIT }, warn: () => undefined });
    b.root = keys.root;
    expect((await (await b.open('read')).record(before)).comment).toBe('avant');
  });

  test('another computer adopts it only by opening its slot, and goes on with what it holds', async () => {
    const b = another('b');
    await appendSnapshot(await b.join(), 'de b');
    await rotateKeys(vault, NEW, CHEAP_KDF);
    const kept = b.root;
    expect(await failure(b.open())).toMatchObject({ kind: 'wrong-secret', key: 'error.rotated', exitCode: 4 });
    expect((await failure(typed(b, SECRET))).kind).toBe('wrong-secret');
    const opened = await typed(b, NEW);
    expect(kept !== undefined && opened.keys.isEarlier(kept)).toBe(true);
    await appendSnapshot(opened, 'encore de b');
    expect((await typed(a, NEW)).snapshots()).toHaveLength(2);
  });

  test('a run that was under way when the keys were renewed elsewhere says so and appends nothing', async () => {
    const other = await another('b').join();
    await rotateKeys(vault, NEW, CHEAP_KDF);
    const { length } = server.journal;
    expect(await failure(appendSnapshot(other, 'trop tard'))).toMatchObject({ key: 'error.rotated' });
    expect(server.journal).toHaveLength(length);
  });

  test('F-24 of two computers that rotate at once one wins; the other is told, and its own root opens nothing', async () => {
    const other = await another('b').join();
    const tried = await Promise.allSettled([rotateKeys(vault, NEW, CHEAP_KDF), rotateKeys(other, NEW, CHEAP_KDF)]);
    expect(tried.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const lost = tried.find((one) => one.status === 'rejected');
    expect(lost?.reason).toMatchObject({ kind: 'wrong-secret', key: 'error.rotated' });
    expect(server.header?.generation).toBe(1);
    const winner = tried[0].status === 'fulfilled' ? vault : other;
    await appendSnapshot(winner, 'du gagnant');
    expect(server.header?.publicKey).toEqual(winner.keys.publicKey);
  });

  test('F-24 a lost answer to the rotation is found again in the chain', async () => {
    let lost = 0;
    server.mutations.append = (act) => {
      act();
      lost += 1;
      throw new AgentError('unreachable', 'the answer is lost');
    };
    await rotateKeys(vault, NEW, CHEAP_KDF);
    delete server.mutations.append;
    expect([lost, vault.keys.generation, server.header?.generation]).toEqual([1, 1, 1]);
    await appendSnapshot(vault, 'après');
    expect((await typed(a, NEW)).snapshots()).toHaveLength(1);
  });

  test('a rotation that the server refused leaves the keys as they were', async () => {
    server.mutations.append = () => {
      throw new AgentError('unreachable', 'no');
    };
    expect((await failure(rotateKeys(vault, NEW, CHEAP_KDF))).kind).toBe('unreachable');
    delete server.mutations.append;
    expect([vault.keys.generation, server.header?.generation]).toEqual([0, 0]);
    await appendSnapshot(vault, 'comme avant');
    expect((await a.open()).snapshots()).toHaveLength(1);
  });

  test('MS-08 after a rotation, the header from before it is refused', async () => {
    const old = server.vault();
    await rotateKeys(vault, NEW, CHEAP_KDF);
    server.mutations.vault = () => old;
    expect((await failure(typed(a, SECRET))).kind).toBe('rollback');
    delete server.mutations.vault;
    // the new header with a history that does not have it yet is no better
    server.mutations.journal = (frames, after) => frames.slice(0, Math.max(0, 1 - after));
    server.mutations.heal = () => 'ignore';
    const { dir, remote, deviceId } = a;
    const { keys } = await unlock({ dir, remote, deviceId, opener: { secret: NEW }, warn: () => undefined });
    a.root = keys.root;
    expect((await failure(a.open())).kind).toBe('rollback');
  });

  test('after sixteen rotations the seventeenth is refused; the first record still opens', async () => {
    const first = await appendSnapshot(vault, 'la première');
    for (let n = 1; n <= 16; n += 1) await rotateKeys(vault, NEW, CHEAP_KDF);
    expect(vault.keys.generation).toBe(16);
    expect(await failure(rotateKeys(vault, NEW, CHEAP_KDF))).toMatchObject({
      kind: 'usage',
      key: 'error.rotations-exhausted',
    });
    expect((await vault.record(first)).comment).toBe('la première');
    const again = await typed(a, NEW);
    expect((await again.record(first)).generation).toBe(0);
  });
});
