import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { Agent, Listed } from '../support/agent.ts';
import { makeBooks } from '../support/books.ts';
import { lacksProgram, testWith } from '../support/faults.ts';
import { until } from '../support/process.ts';
import { CTRL_C, Terminal } from '../support/pty.ts';
import { BadLine } from '../support/tcp-proxy.ts';
import { World } from '../support/world.ts';

const SECRET = 'le héron pêche à midi';
const NEW = 'Clé secrète (au moins 8 caractères) : ';
const AGAIN = 'Vérification : ';
const ASK = 'Clé secrète : ';
const MANDATE = 'Dupont SA';

/** With a person at a real terminal, in French. `Terminal.ends` checks that echo and signals work again afterwards. */
describe('at the terminal', () => {
  const it = testWith(lacksProgram('python3'));
  let world: World;
  let line: BadLine;
  let computer: Agent;

  const terminal = (...args: string[]): Terminal => new Terminal(computer, [...args, '--lang', 'fr']);

  beforeAll(async () => {
    world = await World.create();
    line = await BadLine.to(world.server.url);
    computer = world.computer({});
    await computer.connect(line.url, (await world.server.addSubscriber()).enrolmentCode);
    makeBooks(world.path('books'), { scale: 0.01 });
    await computer.json(['mandate', 'add', MANDATE, '--path', world.path('books')]);
  });
  afterAll(async () => {
    await line[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  it('a first secret key typed differently the second time makes no vault: exit 2, mismatch', async () => {
    const screen = terminal('secret', 'set');
    await screen.answer(NEW, `${SECRET}\r`);
    await screen.answer(AGAIN, 'le héron pêche à minuit\r');
    expect(await screen.ends()).toBe(2);
    expect(screen.written).toContain('mismatch');
    expect(screen.written).not.toMatch(/héron|pêche/);
    expect(await computer.refused(['snapshots', MANDATE])).toMatchObject({ exitCode: 2 }); // nothing to open, nobody to ask
  });

  it('a short one is refused before it is asked again', async () => {
    const screen = terminal('secret', 'set');
    await screen.answer(NEW, 'court\r');
    expect(await screen.ends()).toBe(2);
    expect(screen.written).toContain('short-secret');
    expect(screen.written).not.toContain(AGAIN);
    expect(screen.written).not.toContain('court\r');
  });

  it.each([
    ['at once', ''],
    ['in the middle of typing', 'le héron'],
  ])('Ctrl-C at the question, %s: exit 130, nothing was made', async (_, typed) => {
    const screen = terminal('secret', 'set');
    await screen.answer(NEW, typed + CTRL_C);
    expect(await screen.ends()).toBe(130);
    expect(screen.written).toContain('Interrompu');
    expect(screen.written).not.toContain('héron');
  });

  it('the same key twice makes the vault, its strength is shown, the key never is; corrections work', async () => {
    const screen = terminal('secret', 'set');
    await screen.answer(NEW, `faux\u0015${SECRET}x\u007f\r`); // Ctrl-U, Backspace
    await screen.answer(AGAIN, `${SECRET}\r`);
    expect(await screen.ends()).toBe(0);
    expect(screen.written).toContain('Solidité : ');
    expect(screen.written).not.toMatch(/faux|héron|pêche|midi/);
  });

  it('a send asks for the key, draws its progress on one line and takes it away', async () => {
    const screen = terminal('send', MANDATE);
    await screen.answer(ASK, `${SECRET}\r`);
    expect(await screen.ends()).toBe(0);
    expect(screen.written).toMatch(/\r\s*\d+ % {2}.* sur .*envoyé/);
    const drawn = screen.lines.filter((shown) => shown.includes(' %  ') || shown.includes('lecture du dossier'));
    expect(drawn).toEqual([]);
    expect(screen.lines.join('\n')).toContain(MANDATE);
    expect(screen.written).not.toContain('héron');
  });

  it('a wrong key is refused, and Ctrl-C in the middle of a send leaves a clean line within a second', async () => {
    const wrong = terminal('send', MANDATE);
    await wrong.answer(ASK, `${SECRET}!\r`);
    expect(await wrong.ends()).toBe(4);
    expect(wrong.written).not.toContain('héron');

    makeBooks(world.path('books', 'encore'), { scale: 0.03 });
    const { up } = line.carried;
    line.set({ bytesPerSecond: 50_000 });
    const screen = terminal('send', MANDATE);
    await screen.answer(ASK, `${SECRET}\r`);
    await until(
      () => (line.carried.up - up > 100_000 ? true : undefined),
      () => `no upload: ${screen.written}`,
    );
    const pressed = performance.now();
    await screen.answer(' %  ', CTRL_C);
    expect(await screen.ends()).toBe(130);
    expect(performance.now() - pressed).toBeLessThan(2000); // one of the agent, and the relay on a busy machine
    expect(screen.lines.filter((shown) => shown.includes(' %  '))).toEqual([]);
    expect(screen.lines.join('\n')).toContain('Interrompu');
    line.set({});
    const remembering = terminal('secret', 'remember');
    await remembering.answer(ASK, `${SECRET}\r`);
    expect(await remembering.ends()).toBe(0);
    await computer.send(MANDATE);
    expect((await computer.json<Listed>(['snapshots', MANDATE])).snapshots).toHaveLength(2);
  });
});
