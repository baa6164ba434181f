import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHeader, encodeHeader, type Header, normaliseSecret, VaultKeys, withSecret } from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { AgentError } from '../errors.ts';
import { MemoryServer } from './memory-remote.ts';
import type { RemoteVault } from './remote.ts';
import { changeSecret, setKit } from './slots.ts';
import { unlock } from './unlock.ts';
import type { Vault } from './vault.ts';
import { CHEAP_KDF, Computer, SECRET } from './vault-fixture.ts';

jest.setTimeout(60_000);

const OTHER = normaliseSecret('un tout autre secret');
let server: MemoryServer;
let a: Computer;
let vault: Vault;
const computers: Computer[] = [];

beforeEach(async () => {
  server = new MemoryServer();
  a = new Computer(server);
  computers.push(a);
  vault = await a.create();
});

afterEach(() => {
  for (const computer of computers.splice(0)) computer.remove();
});

function newComputer(): Computer {
  const computer = new Computer(server, 'b');
  computers.push(computer);
  return computer;
}

/** Unlocks by the typed secret. */
function typed(computer: Computer, secret = SECRET): Promise<unknown> {
  const { dir, remote, deviceId } = computer;
  return unlock({ dir, remote, deviceId, opener: { secret }, warn: () => undefined });
}

async function failure(promise: Promise<unknown>): Promise<AgentError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AgentError);
  return error as AgentError;
}

function show(change: (honest: RemoteVault) => Partial<RemoteVault> | undefined): void {
  server.mutations.vault = (honest) => {
    const changed = honest === undefined ? undefined : change(honest);
    return honest === undefined || changed === undefined ? undefined : { ...honest, ...changed };
  };
}

/** The current header with other fields, signed by keys that a server could have made itself. */
function forged(fields: Partial<Header>, keys = vault.keys): Uint8Array {
  const header = vault.history.state.header as Header;
  return encodeHeader({ ...header, ...fields }, (message) => keys.sign('header', message));
}

const files = (computer: Computer): string => readFileSync(join(computer.dir, 'pin.json'), 'utf8');

describe('unlock', () => {
  test('a wrong secret is told, the right one opens, and nothing made from it is sent', async () => {
    const b = newComputer();
    server.calls.length = 0;
    expect((await failure(typed(b, OTHER))).kind).toBe('wrong-secret');
    expect(server.calls).toEqual(['vault']);
    await typed(b);
    expect(server.calls).toEqual(['vault', 'vault', 'account', 'prove']);
    await b.open();
    server.calls.length = 0;
    await typed(b);
    expect(server.calls).toEqual(['vault']);
  });

  test('MS-08: the header of before a change of the secret is a rollback on a computer that saw the new one', async () => {
    const old = server.vault() as RemoteVault;
    await changeSecret(vault, OTHER, CHEAP_KDF);
    const before = files(a);
    show(() => old);
    expect((await failure(typed(a))).kind).toBe('rollback');
    expect(files(a)).toBe(before);
    delete server.mutations.vault;
    await typed(a, OTHER);
  });

  test('MS-08: a new computer is not told an old header when the journal knows a newer one', async () => {
    const old = server.vault() as RemoteVault;
    await changeSecret(vault, OTHER, CHEAP_KDF);
    const b = newComputer();
    server.mutations.vault = () => old;
    await typed(b);
    const opened = await b.open();
    // the journal brings the newer header: the pin follows it
    expect(opened.history.state.header?.headerSeq).toBe(2);
  });

  test('MS-09: weaker key derivation is a downgrade, also when it is only weaker than seen before', async () => {
    const kdf = { m: 131_072, t: 3, p: 1 };
    await changeSecret(vault, OTHER, kdf);
    await typed(a, OTHER);
    const header = vault.history.state.header as Header;
    const weaker = await withSecret(header, vault.keys, OTHER, server.share, { kdf: CHEAP_KDF });
    show(() => ({ header: weaker }));
    expect((await failure(typed(a, OTHER))).kind).toBe('kdf-downgrade');
    for (const change of [{ m: 8 }, { t: 1 }]) {
      const { secretSlot } = header;
      show(() => ({
        header: forged({ headerSeq: 3, secretSlot: { ...secretSlot, kdf: { ...secretSlot.kdf, ...change } } }),
      }));
      const start = performance.now();
      expect((await failure(typed(newComputer(), OTHER))).kind).toBe('kdf-downgrade');
      expect(performance.now() - start).toBeLessThan(500);
    }
  });

  test('MS-10: absurd costs are refused at once', async () => {
    const { secretSlot } = vault.history.state.header as Header;
    for (const change of [{ m: 0xffffffff }, { t: 0xffffffff }, { p: 1 << 24 }]) {
      show(() => ({ header: forged({ secretSlot: { ...secretSlot, kdf: { ...secretSlot.kdf, ...change } } }) }));
      const start = performance.now();
      const before = process.memoryUsage().rss;
      expect((await failure(typed(newComputer()))).kind).toBe('kdf-limit');
      expect(performance.now() - start).toBeLessThan(500);
      expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
    }
  });

  test('MS-12: a header altered anywhere never opens', async () => {
    const honest = server.vault() as RemoteVault;
    for (let at = 0; at < honest.header.length; at += 23) {
      show(() => ({ header: honest.header.map((byte, index) => (index === at ? byte ^ 1 : byte)) }));
      const { kind } = await failure(typed(newComputer()));
      expect(['integrity', 'wrong-share', 'kdf-downgrade', 'kdf-limit']).toContain(kind);
    }
  });

  test('R-03: a share that does not fit is its own error, never a wrong secret', async () => {
    show(() => ({ share: new Uint8Array(32) }));
    expect((await failure(typed(a))).kind).toBe('wrong-share');
  });

  test('MS-14 MS-15: a vault that the server made itself is refused where the real one was seen', async () => {
    const keys = VaultKeys.create();
    const share = new Uint8Array(32).fill(1);
    const header = await createHeader(keys, { secret: SECRET, share, headerSeq: 9, kdf: CHEAP_KDF });
    show(() => ({ vaultId: keys.vaultId, header, share }));
    expect((await failure(typed(a))).kind).toBe('wrong-server');
    const b = newComputer();
    server.prove = () => undefined;
    server.requireActive = () => undefined;
    // the substituted vault opens on a new computer, but the history there is not of its key
    expect((await failure(b.open())).kind).toBe('integrity');
    delete server.mutations.vault;
    b.root = undefined;
    expect((await b.open()).history.seq).toBe(1);
  });

  test('MS-14: another header with the number of the one that was seen is a fork', async () => {
    const { keys } = vault;
    const header = await createHeader(keys, { secret: SECRET, share: server.share, headerSeq: 1, kdf: CHEAP_KDF });
    show(() => ({ header }));
    expect((await failure(typed(a))).kind).toBe('fork');
  });

  test('MS-16: "no vault" is not believed by a computer that has one, whatever it lost', async () => {
    show(() => undefined);
    expect((await failure(typed(a))).kind).toBe('vault-missing');
    rmSync(join(a.dir, 'pin.json'));
    expect((await failure(typed(a))).kind).toBe('vault-missing');
    expect((await failure(a.create())).kind).toBe('vault-missing');
    expect((await failure(typed(newComputer()))).kind).toBe('not-found');
  });

  test('R-03: the kit opens without secret and share, and survives a change of the secret', async () => {
    const kit = new Uint8Array(20).fill(9);
    await setKit(vault, kit);
    await changeSecret(vault, OTHER, CHEAP_KDF);
    show(() => ({ share: new Uint8Array(32) }));
    const b = newComputer();
    const { dir, remote, deviceId } = b;
    const { keys } = await unlock({ dir, remote, deviceId, opener: { kit }, warn: () => undefined });
    expect(keys.publicKey).toEqual(vault.keys.publicKey);
    const wrong = { kit: new Uint8Array(20) };
    expect((await failure(unlock({ dir, remote, deviceId, opener: wrong, warn: () => undefined }))).kind).toBe(
      'wrong-secret',
    );
  });

  test('the cached header opens without a server', async () => {
    const { dir, deviceId } = a;
    const offline = { dir, remote: undefined, deviceId, warn: () => undefined };
    const { keys } = await unlock({ ...offline, opener: { secret: SECRET } });
    expect(keys.vaultId).toBe(vault.keys.vaultId);
  });

  test('a damaged pin is told and rebuilt, and the computer must be anchored again', async () => {
    rmSync(join(a.dir, 'requests'), { recursive: true });
    writeFileSync(join(a.dir, 'pin.json'), '{"version":1,');
    const opened = await a.open();
    expect(a.codes).toContain('pin-rebuilt');
    expect(opened.anchorNeeded).toBe(true);
  });
});
