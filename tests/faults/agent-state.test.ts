import { cpSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent, type Listed } from '../support/agent.ts';
import { MANDATE, Patient } from '../support/patient.ts';
import { until } from '../support/process.ts';

let patient: Patient;

beforeAll(async () => {
  patient = await Patient.create();
  for (let day = 0; day < 2; day++) {
    patient.work();
    await patient.converges();
  }
});
afterAll(() => patient[Symbol.asyncDispose]());

/** Sends; a computer that lost its anchor says so (exit 8) and goes on once it got one from another computer. */
async function sendAnchored(): Promise<'kept' | 'anew'> {
  const copy = patient.copy();
  const tried = await patient.agent.run(['send', MANDATE, '--json']);
  if (tried.code === 8) {
    const { headCode } = await patient.watcher.json<{ headCode: string }>(['anchor']);
    await patient.agent.json(['anchor', headCode]);
  } else {
    expect([tried.code, tried.stdout]).toEqual([0, expect.any(String)]);
    const { snapshots } = JSON.parse(tried.stdout) as { snapshots: { id: string }[] };
    const id = snapshots[0]?.id ?? '';
    if (!patient.acknowledged.some((known) => known.id === id)) patient.acknowledged.push({ id, copy });
  }
  await patient.converges();
  return tried.code === 8 ? 'anew' : 'kept';
}

/** The salts of everything that was ever sealed into the bucket: a salt gives a key, which may seal one thing only. */
function salts(): string[] {
  const vaults = join(patient.world.server.dataDir, 'blobs/v');
  const vault = join(vaults, readdirSync(vaults)[0] ?? '', 'p');
  return readdirSync(vault).map((name) => readFileSync(join(vault, name)).toString('hex', 44, 76));
}

describe('F-09 the state of this computer', () => {
  it.each<[string, string, 'kept' | 'anew']>([
    ['history.log', 'vault/history.log', 'kept'],
    ['pin.json', 'vault/pin.json', 'kept'], // the first request, its own, tells that it made the vault
    ['header.bin', 'vault/header.bin', 'kept'],
    ['share.bin', 'vault/share.bin', 'kept'],
    ['state.json', 'state.json', 'kept'],
    ['the caches', 'vault/mandates', 'kept'],
    ['own requests and records', 'vault/requests', 'kept'],
    ['the whole vault folder', 'vault', 'anew'],
  ])(
    'F-09 is without %s, or with half of it (%s): rebuilt, its anchor %s, nothing is lost',
    async (_, path, anchor) => {
      const full = join(patient.agent.home, path);
      const files = statSync(full).isFile()
        ? [full]
        : readdirSync(full, { recursive: true, withFileTypes: true })
            .filter((file) => file.isFile())
            .map(({ parentPath, name }) => join(parentPath, name));
      for (const file of files) truncateSync(file, Math.floor(statSync(file).size / 2));
      patient.work();
      expect([path, await sendAnchored()]).toEqual([path, anchor]);
      rmSync(full, { recursive: true });
      patient.work();
      expect([path, await sendAnchored()]).toEqual([path, anchor]);
      await patient.holds();
    },
  );

  it('F-09 is yesterday’s (a virtual machine put back): it catches up, and no salt is ever used twice', async () => {
    const yesterday = patient.world.path('yesterday');
    cpSync(patient.agent.home, yesterday, { recursive: true });
    for (let day = 0; day < 2; day++) {
      patient.work();
      await patient.converges();
    }
    rmSync(patient.agent.home, { recursive: true });
    cpSync(yesterday, patient.agent.home, { recursive: true });
    await patient.holds();
    patient.work();
    await patient.converges();
    await patient.holds('all');
    const all = salts();
    expect(all.length).toBeGreaterThan(10);
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('two of them', () => {
  it('F-10 a cloned machine with the same device id and books of its own: both send at once, both converge', async () => {
    const home = patient.world.path('clone', 'cresus-safe');
    cpSync(patient.agent.home, home, { recursive: true });
    const clone = new Agent(home, patient.agent.options);
    const theirs = patient.world.path('clone', 'books');
    cpSync(patient.books, theirs, { recursive: true, preserveTimestamps: true });
    const list = join(home, 'mandates.json');
    writeFileSync(list, readFileSync(list, 'utf8').replaceAll(JSON.stringify(patient.books), JSON.stringify(theirs)));
    for (let round = 0; round < 3; round++) {
      patient.work();
      const copy = patient.copy();
      writeFileSync(join(theirs, `clone-${round}.txt`), `clone ${round}`);
      const theirCopy = patient.copy(theirs);
      const [mine, other] = await Promise.all([patient.agent.send(MANDATE), clone.send(MANDATE)]);
      expect(mine.seq).not.toBe(other.seq);
      patient.acknowledged.push({ id: mine.id, copy }, { id: other.id, copy: theirCopy });
    }
    expect(await patient.snapshots()).toHaveLength(patient.acknowledged.length);
    await patient.holds('all');
  });

  it('F-12 a second run on one machine leaves with exit 16; after kill -9 of the first the next takes over', async () => {
    patient.work();
    const lock = join(patient.agent.home, 'lock');
    const first = patient.agent.start(['send', MANDATE, '--json']);
    const ended = new Promise((resolve) => first.once('exit', resolve));
    await until(
      () => statSync(lock, { throwIfNoEntry: false }) && true,
      () => 'no lock',
    );
    first.kill('SIGSTOP');
    const refusal = await patient.agent.refused(['send', MANDATE]);
    expect(refusal).toMatchObject({ exitCode: 16, error: { code: 'another-run', details: { pid: first.pid } } });
    // what only looks does not wait
    const { snapshots } = await patient.agent.json<Listed>(['snapshots', MANDATE]);
    expect(snapshots).toHaveLength(patient.acknowledged.length);
    await patient.agent.json(['status']);
    first.kill('SIGKILL');
    await ended;
    expect(statSync(lock).isFile()).toBe(true);
    await patient.converges();
    await patient.holds();
  });

  it('F-12 commands that start while others run: each does its work or leaves with exit 16, none breaks another', async () => {
    for (let round = 0; round < 2; round++) {
      patient.work();
      const commands = [['send', MANDATE], ['status'], ['snapshots', MANDATE], ['verify', MANDATE], ['send', MANDATE]];
      const ended = await Promise.all(commands.map((command) => patient.agent.run([...command, '--json'])));
      const codes = ended.map(({ code }) => code);
      expect(codes.filter((code) => code !== 0 && code !== 16)).toEqual([]);
      expect(codes).toContain(0);
      expect(codes[1]).toBe(0);
      await patient.converges();
      await patient.holds();
    }
  });
});
