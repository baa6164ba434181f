import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { makeBooks } from '../support/books.ts';
import { differences } from '../support/compare.ts';
import { lacksProgram, testWith } from '../support/faults.ts';
import { type Certificate, selfSigned, TlsFront } from '../support/tls-front.ts';
import { World } from '../support/world.ts';

describe('a server behind TLS', () => {
  const lacks = lacksProgram('openssl', ['version']);
  const it = testWith(lacks);
  let world: World;
  let own: Certificate;
  let front: TlsFront;
  let code: string;
  let computer: Agent;

  beforeAll(async () => {
    if (lacks !== undefined) return;
    world = await World.create();
    own = selfSigned(world.path('own'), 'localhost');
    front = await TlsFront.before(world.server.url, own);
    code = (await world.server.addSubscriber()).enrolmentCode;
    computer = world.computer();
  });
  afterAll(async () => {
    if (lacks !== undefined) return;
    await front[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  it('MS-40 is refused while nobody vouches for its certificate: exit 9, said clearly, nothing was exchanged', async () => {
    const connect = ['connect', '--server', front.url, '--code', code];
    const { exitCode, error } = await computer.refused(connect);
    expect([exitCode, error.code, error.details]).toEqual([9, 'tls', { reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' }]);
    expect(front.used).toBe(0);
    const said = await computer.run([...connect, '--lang', 'fr']);
    expect([said.code, said.stdout]).toEqual([9, '']);
    expect(said.stderr).toContain(
      'Le serveur ne prouve pas son identité : la liaison a été coupée avant tout échange.',
    );
    expect(said.stderr).toContain("Vérifiez l'adresse, la date de cet ordinateur et le réseau utilisé");
    expect(said.ms).toBeLessThan(10_000); // trying again would not help
  });

  it('is trusted through NODE_EXTRA_CA_CERTS, with the code that was not spent: there and back', async () => {
    computer = computer.with({ env: { NODE_EXTRA_CA_CERTS: own.cert } });
    expect(await computer.connect(front.url, code)).toMatchObject({ vault: 'none' });
    await computer.json(['secret', 'set']);
    await computer.json(['secret', 'remember']);
    makeBooks(world.path('books'), { scale: 0.005 });
    await computer.json(['mandate', 'add', 'Dupont SA', '--path', world.path('books')]);
    await computer.send('Dupont SA');
    await computer.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('restored'));
    expect(differences(world.path('books'), world.path('restored'))).toEqual([]);
    expect(front.used).toBeGreaterThan(0);
  });

  it('MS-40 is refused once it shows another certificate, for another name or by a stranger; the right one works again', async () => {
    const named = selfSigned(world.path('named'), 'safe.example');
    const stranger = selfSigned(world.path('stranger'), 'localhost');
    const trusting = computer.with({ env: { NODE_EXTRA_CA_CERTS: named.cert } });
    const commands = [
      ['send', 'Dupont SA'],
      ['restore', 'Dupont SA', '--snapshot', 'latest', '--to', world.path('other')],
      ['devices'],
    ];
    const { used } = front;
    for (const [shown, agent, reason] of [
      [named, trusting, 'ERR_TLS_CERT_ALTNAME_INVALID'],
      [stranger, computer, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ] as const) {
      front.show(shown);
      for (const command of commands) {
        const { exitCode, error } = await agent.refused(command);
        expect([command[0], exitCode, error.code, error.details]).toEqual([command[0], 9, 'tls', { reason }]);
      }
    }
    expect(front.used).toBe(used);
    front.show(own);
    expect((await computer.send('Dupont SA')).unchanged).toBe(true);
  });
});
