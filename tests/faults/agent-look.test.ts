import { appendFileSync, cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent, type Listed, type Sent, type Verified } from '../support/agent.ts';
import { MANDATE, Patient } from '../support/patient.ts';
import { collect, until } from '../support/process.ts';
import { BadLine } from '../support/tcp-proxy.ts';

let patient: Patient;
let line: BadLine;

beforeAll(async () => {
  patient = await Patient.create({}, async (url) => {
    line = await BadLine.to(url);
    return line.url;
  });
  await patient.converges();
});
afterAll(async () => {
  await line[Symbol.asyncDispose]();
  await patient[Symbol.asyncDispose]();
});

/** Every file of the home that a look-up could write, with its bytes; the caches of the mandate belong to the send. */
function kept(): Record<string, string> {
  const { home } = patient.agent;
  const names = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter(
    (name) => !name.includes('mandates/') && statSync(join(home, name)).isFile(),
  );
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(home, name), 'base64')]));
}

/** A clone of this computer with a line of its own: what it sends, the held up run has not heard of. */
function otherComputer(): Agent {
  const other = new Agent(patient.world.path('other', 'cresus-safe'));
  cpSync(patient.agent.home, other.home, { recursive: true });
  const config = join(other.home, 'config.json');
  writeFileSync(config, readFileSync(config, 'utf8').replace(line.url, patient.world.server.url));
  const books = patient.world.path('other', 'books');
  cpSync(patient.books, books, { recursive: true, preserveTimestamps: true });
  const list = join(other.home, 'mandates.json');
  writeFileSync(list, readFileSync(list, 'utf8').replaceAll(JSON.stringify(patient.books), JSON.stringify(books)));
  writeFileSync(join(books, 'autre.txt'), 'autre poste');
  return other;
}

describe('looking up beside a send that takes its time', () => {
  it('F-12 snapshots, show, receipts and verify answer from what is on the disk and at the server, and write nothing', async () => {
    const other = otherComputer();
    patient.work(2_000_000);
    const copy = patient.copy();
    const { up } = line.carried;
    line.set({ bytesPerSecond: 100_000 });
    const child = patient.agent.start(['send', MANDATE, '--json']);
    const output = collect(child);
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    await until(
      () => (line.carried.up - up > 200_000 || child.exitCode !== null ? true : undefined),
      () => 'no upload',
    );
    const theirs = await other.send(MANDATE);
    const log = join(patient.agent.home, 'vault/history.log');
    const { size } = statSync(log);
    appendFileSync(log, Buffer.alloc(10, 1)); // as the run that holds the lock writes it, half written
    const before = kept();

    const { snapshots } = await patient.agent.json<Listed>(['snapshots', MANDATE]);
    expect(snapshots.map(({ id }) => id)).toEqual([theirs.id, patient.acknowledged[0]?.id]);
    expect(await patient.agent.json(['show', theirs.id])).toMatchObject({ id: theirs.id, mandate: MANDATE });
    expect((await patient.agent.json<{ receipts: unknown[] }>(['receipts'])).receipts).toHaveLength(theirs.seq);
    const { checked, problems } = await patient.agent.json<Verified>(['verify', '--full']);
    expect([checked.snapshots, problems]).toEqual([2, []]);

    expect(kept()).toEqual(before);
    expect(child.exitCode).toBeNull();
    truncateSync(log, size);
    line.set({});
    expect([await ended, output.stderr()]).toEqual([0, expect.any(String)]);
    const [mine] = (JSON.parse(output.stdout()) as Sent).snapshots;
    expect(mine?.seq).toBe(theirs.seq + 1);
    const theirCopy = patient.copy(patient.world.path('other', 'books'));
    patient.acknowledged.push({ id: theirs.id, copy: theirCopy }, { id: mine?.id ?? '', copy });
    expect((await patient.converges()).unchanged).toBe(true);
    await patient.holds('all');
  });
});
