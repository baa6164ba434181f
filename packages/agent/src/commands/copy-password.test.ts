import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { homeAt } from '../local/home.ts';
import { loadTexts } from '../render/i18n.ts';
import type { Context } from './context.ts';
import { askCopyPassword, newCopyPassword } from './copy-password.ts';

let dir: string;
let asked: string[];
let warned: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'safe-password-'));
  asked = [];
  warned = [];
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A run at which somebody types these answers, or at which nobody sits. */
async function runWith(answers: readonly string[] | undefined, env: NodeJS.ProcessEnv = {}): Promise<Context> {
  const left = [...(answers ?? [])];
  const prompt = {
    interactive: answers !== undefined,
    secret: async (question: string) => {
      asked.push(question);
      return left.shift() ?? '';
    },
  };
  const output = { warn: (code: string) => warned.push(code), say: () => undefined };
  const facts = { home: homeAt(dir), texts: await loadTexts('fr'), env, secretFile: undefined, prompt, output };
  return facts as unknown as Context;
}

describe('the password of a new copy', () => {
  it('is typed twice', async () => {
    const password = await newCopyPassword(await runWith(['cheval pile agrafe', 'cheval pile agrafe']));
    expect([password, asked, warned]).toEqual([
      'cheval pile agrafe',
      ['Mot de passe de la copie (au moins 8 caractères) : ', 'Vérification : '],
      [],
    ]);
  });

  it('must be the same both times, whatever the keyboard composes', async () => {
    await expect(newCopyPassword(await runWith(['cheval pile', 'cheval pull']))).rejects.toMatchObject({
      kind: 'mismatch',
      key: 'error.copy-password-mismatch',
    });
    await newCopyPassword(await runWith(['été à Genève 1', 'été à Genève 1'.normalize('NFD')]));
  });

  it('is told to be weak, and must have eight characters', async () => {
    await newCopyPassword(await runWith(['password', 'password']));
    expect(warned).toEqual(['weak-copy-password']);
    await expect(newCopyPassword(await runWith(['court', 'court']))).rejects.toMatchObject({ kind: 'short-secret' });
  });

  it('comes from the environment unattended, and is not the secret key of the run', async () => {
    const env = { CRESUS_SAFE_COPY_PASSWORD: 'cheval pile agrafe' };
    expect(await newCopyPassword(await runWith(undefined, env))).toBe('cheval pile agrafe');
    const same = await runWith(undefined, { ...env, CRESUS_SAFE_SECRET: 'cheval pile agrafe' });
    await expect(newCopyPassword(same)).rejects.toMatchObject({ key: 'error.copy-password-is-secret' });
    await expect(newCopyPassword(await runWith(undefined))).rejects.toMatchObject({ kind: 'usage' });
  });
});

it('the password of a copy that exists is asked once, with the name of the copy', async () => {
  const context = await runWith(['cheval pile agrafe']);
  expect(await askCopyPassword(context, '/media/clé/Dupont.pe-backup')).toBe('cheval pile agrafe');
  expect(asked).toEqual(['Mot de passe de la copie Dupont.pe-backup : ']);
  await expect(askCopyPassword(await runWith(undefined), 'x')).rejects.toMatchObject({
    kind: 'usage',
    key: 'error.copy-password-asked',
  });
});
