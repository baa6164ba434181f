import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RestoreResult, restore, restoreExitCode, vaultSource } from '@cresus-safe/agent';
import {
  concat,
  type MandateKeys,
  type OpenedPack,
  openPack,
  type PackId,
  type SnapshotId,
} from '@cresus-safe/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type AnswerHook, flipped, problem } from '../support/hostile.ts';
import { noise } from '../support/noise.ts';
import { ProtocolClient } from '../support/protocol-client.ts';
import { Victim } from '../support/victim.ts';

jest.setTimeout(300_000); // dozens of processes, on a busy machine too

let victim: Victim;
let sent: string;
/** The first day's pack, then the second day's, which holds the newest catalog. */
let packs: PackId[];
let opened: OpenedPack;
let keys: MandateKeys;

const FIRST = ['comptabilite.cre', 'documents/facture.pdf'];

function makeBooks(books: string): void {
  mkdirSync(join(books, 'documents'), { recursive: true });
  writeFileSync(join(books, 'comptabilite.cre'), noise('books', 60_000));
  writeFileSync(join(books, 'documents', 'facture.pdf'), noise('invoice', 30_000));
}

beforeAll(async () => {
  victim = await Victim.create(makeBooks);
  await victim.send();
  const [first] = stored();
  writeFileSync(join(victim.books, 'lettre.pdf'), noise('letter', 20_000));
  sent = await victim.send();
  packs = [first as PackId, ...stored().filter((id) => id !== first)];
  expect(packs).toHaveLength(2);
  const { vault, remote } = await victim.engine();
  const info = vault.snapshots().at(-1);
  if (info === undefined) throw new Error('nothing was sent');
  keys = vault.mandate(info.mandateId);
  opened = openPack(readFileSync(onDisk(packs[0] as PackId)), packs[0] as PackId, keys);
  remote.close();
});
afterEach(() => victim.line.reset());
afterAll(() => victim[Symbol.asyncDispose]());

const onDisk = (id: PackId): string => join(victim.packFolder, id);
const stored = (): PackId[] => readdirSync(victim.packFolder) as PackId[];

/** Answers for one pack with other bytes. */
const instead =
  (id: PackId, change: (honest: Buffer) => Buffer | undefined): AnswerHook =>
  ({ method, path }, answer) => {
    if (method !== 'GET' || path !== `/v1/packs/${id}`) return undefined;
    const body = change(answer.body);
    return body === undefined ? problem(404, 'not-found') : { ...answer, body };
  };

const restoring = (...where: string[]) => ['restore', 'Dupont SA', '--snapshot', 'latest', ...where];

/** Restores in this process to a new folder, which must hold exactly the files that do not lie in the first pack. */
async function partly(change: (honest: Buffer) => Buffer | undefined): Promise<RestoreResult> {
  const target = victim.target();
  victim.lies({ onAnswer: instead(packs[0] as PackId, change) });
  const { vault, home, remote } = await victim.engine();
  try {
    const snapshot = vault.snapshots().at(-1)?.id as SnapshotId;
    const intents = join(home.dir, 'swaps');
    const result = await restore({
      source: await vaultSource({ vault, snapshot, kind: 'snapshot' }),
      ...{ target, mode: 'to', intents, replacedWord: 'remplacé' },
    });
    expect(result.damaged.map(({ path }) => path).sort()).toEqual(FIRST);
    expect(restoreExitCode(result)).toBe(10);
    expect(readdirSync(target, { recursive: true }).map(String).sort()).toEqual(['documents', 'lettre.pdf']);
    expect(readFileSync(join(target, 'lettre.pdf')).equals(readFileSync(join(sent, 'lettre.pdf')))).toBe(true);
    return result;
  } finally {
    remote.close();
    victim.line.reset();
    rmSync(target, { recursive: true, force: true });
  }
}

/** Where each part of the first pack begins, with its end. */
function regions(): [name: string, from: number, to: number][] {
  const header: [string, number, number][] = [
    ['magic', 0, 4],
    ['version and zeros', 4, 8],
    ['generation', 8, 12],
    ['mandateRef', 12, 28],
    ['packRef', 28, 44],
    ['salt', 44, 76],
    ['commitment', 76, 108],
  ];
  const length = readFileSync(onDisk(packs[0] as PackId)).length;
  let at = 108;
  const segments = opened.segments.map(({ sealedLength }, index): [string, number, number] => {
    at += sealedLength;
    return [`segment ${index}`, at - sealedLength, at];
  });
  const index: [string, number, number][] = [
    ['index', at, at + 200],
    ['padding', at + 200, length - 48],
    ['index tag', length - 48, length - 32],
    ['footer', length - 32, length],
  ];
  return [...header, ...segments, ...index];
}

/**
 * Fetches the first pack through the agent's reader as each of `changes` has it; gives the names of those that were not
 * refused as damage after exactly one more try, which a bit flipped on the wire would deserve.
 */
async function survivors(changes: Iterable<[name: string, change: (honest: Buffer) => Buffer]>): Promise<string[]> {
  const id = packs[0] as PackId;
  const { vault, remote } = await victim.engine();
  const reader = vault.reader();
  const passed: string[] = [];
  try {
    for (const [name, change] of changes) {
      let fetched = 0;
      const counted = (honest: Buffer): Buffer => {
        fetched += 1;
        return change(honest);
      };
      victim.lies({ onAnswer: instead(id, counted) });
      const outcome = await reader.open(id, keys).then(
        () => 'opened',
        (error: { kind?: string }) => String(error.kind),
      );
      if (outcome !== 'integrity' || fetched !== 2) passed.push(`${name}: ${outcome} after ${fetched}`);
    }
  } finally {
    remote.close();
    victim.line.reset();
  }
  return passed;
}

describe('a pack that is not what was stored', () => {
  it('MS-01 no flipped bit of 200, in every region of a pack, is taken for the pack', async () => {
    const all = regions();
    const each = Math.ceil(200 / all.length);
    const changes = all.flatMap(([name, from, to]) =>
      Array.from({ length: each }, (_, n): [string, (honest: Buffer) => Buffer] => {
        const at = from + Math.floor(((to - from - 1) * n) / (each - 1));
        return [`${name} at ${at}`, (honest) => flipped(honest, at, 1 << (n % 8))];
      }),
    );
    expect(changes.length).toBeGreaterThanOrEqual(200);
    expect(await survivors(changes)).toEqual([]);
  });

  it('MS-01 a flipped bit in each kind of region costs a restore to a folder the files of that pack, and no other', async () => {
    for (const region of ['salt', 'segment 0', 'padding', 'footer']) {
      const [, from] = regions().find(([name]) => name === region) ?? ['', 0];
      await partly((honest) => flipped(honest, from + 1));
    }
  });

  it('MS-02 a pack cut at any of its parts, a byte before or after, is refused, also when zeros fill it up', async () => {
    const ends = regions().flatMap(([name, , to]) =>
      [-1, 0, 1].map((off): [string, number] => [`${name}${off}`, to + off]),
    );
    const cuts = ends.flatMap(([name, at]): [string, (honest: Buffer) => Buffer][] => [
      [`${name}, shorter`, (honest) => honest.subarray(0, Math.min(at, honest.length - 1))],
      // zeros after the end of what is not zero anyway would change nothing
      [
        `${name}, filled`,
        (honest) => Buffer.concat([honest.subarray(0, Math.min(at, honest.length - 1))], honest.length),
      ],
    ]);
    const changed = cuts.filter(
      ([, cut]) => !cut(readFileSync(onDisk(packs[0] as PackId))).equals(readFileSync(onDisk(packs[0] as PackId))),
    );
    expect(changed.length).toBeGreaterThan(40);
    expect(await survivors(changed)).toEqual([]);
    await partly((honest) => honest.subarray(0, 70_000));
  });

  it('MS-03 MS-04 MS-07 bytes after a pack, another genuine pack, or one of another vault, are refused', async () => {
    const other = readFileSync(onDisk(packs[1] as PackId));
    const subscriber = await victim.world.server.addSubscriber({ name: 'Rochat', email: 'rochat@example.ch' });
    const stranger = await ProtocolClient.withVault(victim.world.server.url, subscriber.enrolmentCode);
    const foreign = Buffer.from(stranger.seal(noise('foreign', 1000)).bytes);
    const changes: [string, (honest: Buffer) => Buffer][] = [
      ['a byte more', (honest) => Buffer.from(concat(honest, Buffer.alloc(1)))],
      ['256 KiB of zeros more', (honest) => Buffer.from(concat(honest, Buffer.alloc(256 * 1024)))],
      ['followed by another pack', (honest) => Buffer.from(concat(honest, other))],
      ['after another pack', (honest) => Buffer.from(concat(other, honest))],
      ['another pack', () => other],
      ['a pack of another vault', () => foreign],
    ];
    expect(await survivors(changes)).toEqual([]);
  });
});

describe('through the commands', () => {
  const damage: AnswerHook = (asked, answer) =>
    instead(packs[0] as PackId, (honest) => flipped(honest, 20_000))(asked, answer);

  it('MS-01 into the current mandate and as another one: integrity, the files named, nothing replaced', async () => {
    for (const where of [
      ['--into-current', '--accept-replace'],
      ['--as', 'Dupont essai'],
    ]) {
      const { error } = await victim.repels({ onAnswer: damage }, restoring(...where), [10, 'integrity']);
      const { files } = error.details as { files: { path: string }[] };
      expect(files.map(({ path }) => path).sort()).toEqual(FIRST);
    }
    await victim.restores(sent);
  });

  it('MS-26 a withheld pack: nothing replaced, or with --to the other files and a list, none filled with zeros', async () => {
    const withheld: AnswerHook = (asked, answer) => instead(packs[0] as PackId, () => undefined)(asked, answer);
    await victim.repels({ onAnswer: withheld }, restoring('--into-current', '--accept-replace'), [10, 'integrity']);
    victim.lies({ onAnswer: withheld });
    const target = victim.target();
    const { damaged } = await victim.agent.json<{ damaged: { path: string }[] }>(restoring('--to', target), 10);
    expect(damaged.map(({ path }) => path).sort()).toEqual(FIRST);
    expect(readdirSync(target, { recursive: true }).map(String).sort()).toEqual(['documents', 'lettre.pdf']);
    rmSync(target, { recursive: true });
  });

  it('MS-04 two packs that changed places in the bucket are both refused, and are right again in their own', async () => {
    const [one, two] = packs.map(onDisk) as [string, string];
    const swap = (): void => {
      renameSync(one, `${one}.aside`);
      renameSync(two, one);
      renameSync(`${one}.aside`, two);
    };
    swap();
    await victim.repels({}, restoring('--into-current', '--accept-replace'), [10, 'integrity']);
    swap();
    await victim.restores(sent);
  });
});
