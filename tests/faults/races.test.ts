import { once } from 'node:events';
import { connect } from 'node:net';
import { chainHash, type Hash, parseHistory, pathOf, splitHistory } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MANDATE, Patient } from '../support/patient.ts';
import { ProtocolClient } from '../support/protocol-client.ts';
import { Tenants } from '../support/tenants.ts';

interface Link {
  readonly hash: string;
  readonly chain: Hash;
  readonly seq: number;
}

/** The entries of a vault after a seq, in order, their chain checked. */
async function links(client: ProtocolClient, after: number): Promise<Link[]> {
  const { bytes } = await client.call('GET', `${pathOf('journal')}?after=${after}`);
  const raw = splitHistory(bytes).map(({ entry, receipt }) => chainHash(entry, receipt));
  return parseHistory(bytes).map(({ entry: { seq, hash, previous } }, at) => {
    expect(seq).toBe(after + at + 1);
    if (at > 0) expect(previous).toBe(raw[at - 1]);
    return { seq, hash, chain: raw[at] as Hash };
  });
}

const history = async (client: ProtocolClient, after = 0): Promise<string[]> =>
  (await links(client, after)).map(({ hash }) => hash);

/** Takes the newest entry as the head, as an agent does after a sync. */
async function catchUp(client: ProtocolClient): Promise<void> {
  const last = (await links(client, client.head.seq)).at(-1);
  if (last !== undefined) client.head = { seq: last.seq, hash: last.chain };
}

describe('F-31 twenty computers of two subscribers at once', () => {
  let tenants: Tenants;
  const clients: ProtocolClient[] = [];

  beforeAll(async () => {
    tenants = await Tenants.create();
    const { server } = tenants.world;
    for (const [owner, { number }] of [
      [tenants.a, tenants.subscribers.a],
      [tenants.b, tenants.subscribers.b],
    ] as const) {
      const devices = [owner];
      for (let n = 1; n < 3; n++)
        devices.push(await ProtocolClient.enrol(server.url, await server.newCode(number), `poste ${n}`));
      for (const device of devices.slice(1)) expect((await device.join(owner)).status).toBe(200);
      clients.push(...devices);
      for (let n = devices.length; n < 10; n++) {
        const twin = new ProtocolClient(server.url, devices[n % devices.length] as ProtocolClient);
        await twin.join(owner); // proved already: what counts is that it holds the keys
        clients.push(twin);
      }
    }
  });
  afterAll(() => tenants[Symbol.asyncDispose]());

  it('F-31 put and append, one dies in the middle of its append: all that was acknowledged is in the chain, nothing else was ever seen', async () => {
    const acknowledged = new Map<ProtocolClient, string[]>(clients.map((client) => [client, []]));
    const send = async (client: ProtocolClient): Promise<void> => {
      const pack = client.seal();
      expect((await client.put(pack)).status).toBe(201);
      for (let tries = 0; tries < 100; tries++) {
        const prepared = client.snapshot(pack);
        const answer = await client.append(prepared);
        if (answer.status === 201) {
          const [entry] = await history(client, client.head.seq - 1); // read your own write
          acknowledged.get(client)?.push(entry ?? '');
          return;
        }
        expect([answer.status, answer.code]).toEqual([409, 'stale-head']);
        await catchUp(client);
      }
      throw new Error('always too late');
    };
    // the one that dies: its request is whole, nobody will read the answer
    const dies = async (client: ProtocolClient): Promise<void> => {
      await catchUp(client);
      const { bytes } = client.snapshot(await stored(client));
      const socket = connect(Number(new URL(client.url).port), '127.0.0.1');
      await once(socket, 'connect');
      const type = 'content-type: application/octet-stream';
      const lines = ['host: x', `authorization: Bearer ${client.token}`, type, `content-length: ${bytes.length}`];
      socket.write(`POST ${pathOf('journal')} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      socket.write(bytes);
      await new Promise((resume) => setTimeout(resume, 2));
      socket.resetAndDestroy();
    };
    const seen = new Map<ProtocolClient, string[][]>([
      [tenants.a, []],
      [tenants.b, []],
    ]);
    let isOver = false;
    const watch = async (client: ProtocolClient): Promise<void> => {
      while (!isOver) {
        seen.get(client)?.push(await history(client));
        await new Promise((resume) => setTimeout(resume, 25));
      }
    };
    const watching = [...seen.keys()].map(watch);
    const [mortal, ...others] = clients.toReversed();
    await Promise.all([
      dies(mortal as ProtocolClient),
      ...others.map(send),
      ...others.slice(0, 5).map((one) => one.account()),
    ]);
    isOver = true;
    await Promise.all(watching);

    for (const owner of [tenants.a, tenants.b]) {
      const final = await history(owner);
      const mine = clients.filter(({ vault }) => vault === owner.vault);
      const known = mine.flatMap((client) => acknowledged.get(client) ?? []);
      expect(known).toHaveLength(owner === tenants.b ? 9 : 10);
      expect(known.filter((hash) => !final.includes(hash))).toEqual([]);
      expect(new Set(final).size).toBe(final.length);
      expect(final.length - 1 - known.length).toBeLessThanOrEqual(owner === tenants.b ? 1 : 0); // the dead one's, or not
      for (const shown of seen.get(owner) ?? []) expect(shown).toEqual(final.slice(0, shown.length));
      const packs = tenants.objects(`v/${owner.keys.vaultId}/p`);
      expect((await owner.used()).usedObjects).toBe(packs.length);
    }
  });
});

async function stored(client: ProtocolClient): Promise<ReturnType<ProtocolClient['seal']>> {
  const pack = client.seal();
  expect((await client.put(pack)).status).toBe(201);
  return pack;
}

describe('F-11 two computers of one vault', () => {
  it('F-11 real agents that send at once, round after round: both succeed, no snapshot is lost', async () => {
    await using patient = await Patient.create();
    const { server } = patient.world;
    const other = await patient.world.connected(await server.newCode(patient.subscriber.number));
    const { headCode } = await patient.agent.json<{ headCode: string }>(['anchor']);
    await other.json(['anchor', headCode]);
    const theirs = patient.copy();
    await other.json(['mandate', 'add', 'Rochat', '--path', theirs]);
    for (let round = 0; round < 4; round++) {
      patient.work();
      const [copy, theirCopy] = [patient.copy(), patient.copy(theirs)];
      const [mine, other1] = await Promise.all([
        patient.agent.send(MANDATE),
        other.send('Rochat', '--comment', `${round}`), // a comment makes a snapshot of what did not change
      ]);
      expect(mine.seq).not.toBe(other1.seq);
      patient.acknowledged.push({ id: mine.id, copy }, { id: other1.id, copy: theirCopy });
    }
    expect(await patient.snapshots()).toHaveLength(8);
    await patient.holds('all');
  });
});
