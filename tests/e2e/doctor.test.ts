import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { Clock } from '../support/clock.ts';
import { lacksSmallDisk, SmallDisk, testWith } from '../support/faults.ts';
import { SECRET, World } from '../support/world.ts';

interface Doctor {
  readonly checks: readonly {
    readonly id: string;
    readonly state: string;
    readonly message: string;
    readonly hint?: string;
  }[];
}

let world: World;
let first: Agent;
let patients = 0;

beforeAll(async () => {
  world = await World.create();
  ({ first } = await world.household());
  mkdirSync(world.path('Autre'));
  writeFileSync(world.path('Autre', 'a.cre'), 'x');
  await first.json(['mandate', 'add', 'Autre', '--path', world.path('Autre')]);
  await first.json(['send', '--all']);
  await first.json(['point', 'Dupont SA']);
});
afterAll(() => world[Symbol.asyncDispose]());

describe('doctor', () => {
  const doctor = (code: number, agent = first) => agent.json<Doctor>(['doctor'], code);
  const states = ({ checks }: Doctor) => Object.fromEntries(checks.map(({ id, state }) => [id, state]));

  /** The same computer on a copy of its home, to break. */
  function patient(): Agent {
    patients += 1;
    const home = world.path(`patient-${patients}`, 'home');
    mkdirSync(join(home, '..'));
    cpSync(first.home, home, { recursive: true, preserveTimestamps: true });
    chmodSync(home, 0o700);
    return new Agent(home, first.options);
  }

  it('finds a sound computer sound, with a way out for what only could be better', async () => {
    const found = await doctor(0);
    expect(states(found)).toEqual({
      versions: 'ok',
      home: 'ok',
      space: 'ok',
      server: 'ok',
      clock: 'ok',
      subscription: 'ok',
      quota: 'ok',
      keyring: 'ok',
      vault: 'ok',
      caches: 'ok',
      mandates: 'ok',
      points: 'ok',
      schedule: 'warn',
    });
    for (const { state, hint } of found.checks) if (state !== 'ok') expect(hint).toBeTruthy();
    expect(found).toMatchObject({
      subscription: { state: 'active', expiresOn: '2050-12-31' },
      mandates: [{ name: 'Autre' }, { name: 'Dupont SA' }],
      warnings: [{ code: 'schedule' }],
    });
  });

  it('TN-47 prints no secret', async () => {
    const { stdout, stderr } = await first.run(['doctor', '--json']);
    const secrets = ['token', 'root.key', 'points/root.key'].map((name) =>
      readFileSync(join(first.home, name), 'utf8'),
    );
    for (const secret of [SECRET, ...secrets.flatMap((text) => text.match(/[\w-]{24,}/g) ?? [])])
      expect(stdout + stderr).not.toContain(secret);
    expect(secrets.join('').length).toBeGreaterThan(100);
  });

  it('F-09 says what others could read (exit 15), and that caches are damaged, which costs time and no data', async () => {
    const sick = patient();
    chmodSync(join(sick.home, 'token'), 0o644);
    const folder = join(sick.home, 'vault/mandates');
    for (const name of readdirSync(folder)) writeFileSync(join(folder, name, 'files.cat'), 'garbage');
    const found = await doctor(15, sick);
    expect(states(found)).toMatchObject({ permissions: 'bad', caches: 'warn', vault: 'ok' });
    expect(found.checks.find(({ id }) => id === 'permissions')?.message).toContain('token');
  });

  it('says that a run stopped without ending, and that nothing has to be done', async () => {
    const sick = patient();
    expect(await sick.dies('state-temp', 1, ['mandate', 'remove', 'Autre'])).toBe(true);
    expect(existsSync(join(sick.home, 'lock'))).toBe(true);
    expect(states(await doctor(0, sick))).toMatchObject({ lock: 'warn', vault: 'ok' });
    expect(Object.keys(states(await doctor(0, sick)))).not.toContain('lock');
  });

  it('says that a mandate is not there (exit 14), and that a module file is gone', async () => {
    const sick = patient();
    renameSync(world.path('Autre'), world.path('Ailleurs'));
    try {
      const found = await doctor(14, sick);
      expect(states(found)).toMatchObject({ mandates: 'bad' });
      expect(found.checks.find(({ id }) => id === 'mandates')?.message).toContain('Autre');
      mkdirSync(world.path('Autre'));
      expect(states(await doctor(0, sick))).toMatchObject({ mandates: 'warn' });
      rmSync(world.path('Autre'), { recursive: true });
    } finally {
      renameSync(world.path('Ailleurs'), world.path('Autre'));
    }
  });

  it('F-41 says that the clock is wrong', async () => {
    const clock = new Clock(world.path('doctor-clock'));
    clock.advance(3 * 3_600_000);
    expect(states(await doctor(0, first.with({ env: clock.env })))).toMatchObject({ clock: 'warn' });
  });

  it('says that settings and the schedule are damaged (exit 2), one after the other', async () => {
    const sick = patient();
    writeFileSync(join(sick.home, 'schedule.json'), '{');
    expect(states(await doctor(2, sick))).toMatchObject({ schedule: 'bad', server: 'ok' });
    writeFileSync(join(sick.home, 'config.json'), '{"version":');
    writeFileSync(join(sick.home, 'mandates.json'), '[');
    expect(states(await doctor(2, sick))).toMatchObject({ schedule: 'bad', server: 'bad', mandates: 'bad' });
  });

  it('says that no key is remembered, and looks at all the rest', async () => {
    const sick = patient();
    await sick.json(['secret', 'forget']);
    expect(states(await doctor(0, sick))).toMatchObject({ keyring: 'warn', server: 'ok', mandates: 'ok' });
  });

  it('says that the points cannot be opened (exit 10)', async () => {
    const sick = patient();
    rmSync(join(sick.home, 'points/root.key'));
    rmSync(join(sick.home, 'points/root.sealed'), { force: true });
    expect(states(await doctor(10, sick))).toMatchObject({ points: 'bad', vault: 'ok' });
  });

  it('says that a schedule is set and nothing starts it, and later how its last run went', async () => {
    const sick = patient();
    const clock = new Clock(world.path('schedule-clock'));
    const timed = sick.with({ env: clock.env });
    await timed.json(['schedule', 'set', 'Autre', '--at', '12:00', '--window', '0']);
    clock.advance(26 * 3_600_000);
    expect(states(await doctor(0, timed))).toMatchObject({ schedule: 'warn' });
    await timed.json(['run-scheduled', '--wait', '0']);
    expect(states(await doctor(0, timed))).toMatchObject({ schedule: 'ok' });
  });

  const onSmallDisk = testWith(lacksSmallDisk());
  onSmallDisk('F-25 says that the disk is full (exit 15)', async () => {
    const sick = patient();
    const disk = await SmallDisk.over(world.path('small'), '40m');
    try {
      cpSync(sick.home, join(disk.outside, 'home'), { recursive: true });
      const there = new Agent(join(disk.dir, 'home'), { ...sick.options, wrap: disk.wrap });
      expect(states(await doctor(0, there))).toMatchObject({ space: 'warn' });
      writeFileSync(join(disk.outside, 'filler'), Buffer.alloc(24 * 1024 * 1024));
      expect(states(await doctor(15, there))).toMatchObject({ space: 'bad' });
    } finally {
      await disk[Symbol.asyncDispose]();
    }
  });

  it('says that the subscription ended (exit 5)', async () => {
    await world.server.operateJson('subscriber', 'suspend', '100001');
    expect(states(await doctor(5))).toMatchObject({ subscription: 'bad', vault: 'ok' });
    await world.server.operateJson('subscriber', 'resume', '100001');
  });

  it('says that the server is down (exit 9), and looks at all that is here', async () => {
    await world.server.stop();
    expect(states(await doctor(9))).toMatchObject({ server: 'bad', keyring: 'ok', mandates: 'ok', points: 'ok' });
    await world.server.start();
  });

  it('tells a new computer how to begin', async () => {
    const { exitCode, finished } = await world
      .computer()
      .run(['doctor', '--json'])
      .then((done) => ({ exitCode: done.code, finished: done }));
    expect(exitCode).toBe(2);
    const found = JSON.parse(finished.stdout) as Doctor;
    expect(states(found)).toMatchObject({ home: 'warn', server: 'bad' });
  });
});
