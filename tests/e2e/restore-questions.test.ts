import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { copyTree, differences } from '../support/compare.ts';
import { testWith } from '../support/faults.ts';
import { repository } from '../support/process.ts';
import { type Dialog, lacksTerminal, type Spoken, speak } from '../support/terminal.ts';
import { World } from '../support/world.ts';

const program = join(repository, 'packages/agent/bin/cresus-safe.mjs');
const it = testWith(lacksTerminal());

describe('restoring on a terminal', () => {
  const world = new World(); // its server is never started: nothing here needs one
  const agent = new Agent(world.path('computer', 'cresus-safe'));
  const books = world.path('Dupont');
  const saved = world.path('saved');
  const copies = world.path('copies');

  beforeAll(async () => {
    mkdirSync(books);
    mkdirSync(copies);
    writeFileSync(join(books, 'compta.cre'), 'écritures');
    await agent.json(['mandate', 'add', 'Dupont SA', '--path', books]);
    await agent.json(['point', 'Dupont SA', '--comment', 'avant bouclement']);
    await agent.json(['copy', 'Dupont SA', join(copies, 'dupont.pe-backup'), '--comment', 'pour la fiduciaire']);
    copyTree(books, saved);
    writeFileSync(join(books, 'compta.cre'), 'travail');
    await agent.json(['point', 'Dupont SA']);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  function restore(flags: readonly string[], dialog: Dialog): Promise<Spoken> {
    const argv = [
      process.execPath,
      program,
      '--home',
      agent.home,
      '--lang',
      'fr',
      '--no-progress',
      'restore',
      ...flags,
    ];
    return speak(argv, dialog, { CRESUS_SAFE_KEYRING: 'file', HOME: dirname(agent.home) });
  }

  it('asks the two questions, points newest first; half a yes replaces nothing', async () => {
    const { code, screen } = await restore(
      [],
      [
        ['Que restituer ?', 'x'], // no choice: asked again
        ['Votre choix [1-2] : ', '2'],
        ['Quel point ?', '2'],
        ['Où restituer ?', '1'],
        ['Le mandat actuel sera remplacé. Cochez pour accepter [tapez oui] ', 'o'],
      ],
    );
    expect(code).toBe(8);
    const [newest, oldest] = [screen.indexOf('   1  '), screen.indexOf('avant bouclement')];
    expect(screen).toContain('Restituer une copie de sauvegarde');
    expect(screen).toContain('Revenir à un point de sauvegarde automatique');
    expect(newest).toBeGreaterThan(0);
    expect(oldest).toBeGreaterThan(newest);
    // details and preview before anything is accepted
    const asked = screen.indexOf('Cochez pour accepter');
    for (const text of [
      '« avant bouclement » : 1 fichier',
      'Aperçu : ajoutés 0, changés 1, supprimés 0',
      'plus récent que',
    ])
      expect([text, screen.indexOf(text) > 0 && screen.lastIndexOf(text, asked) > 0]).toEqual([text, true]);
    expect(readFileSync(join(books, 'compta.cre'), 'utf8')).toBe('travail');
  });

  it('a point into the current mandate, once accepted in full', async () => {
    const { code, screen } = await restore(
      [],
      [
        ['Que restituer ?', '2'],
        ['Quel point ?', '2'],
        ['Où restituer ?', '1'],
        ['[tapez oui] ', 'oui'],
      ],
    );
    expect([code, screen]).toEqual([0, expect.stringContaining('restore --undo "Dupont SA"')]);
    expect(differences(saved, books)).toEqual([]);
  });

  it('a copy chosen in a folder, into another mandate that is created', async () => {
    const { code, screen } = await restore(
      [],
      [
        ['Que restituer ?', '1'],
        ['Fichier .pe-backup', copies],
        ['Quelle copie ?', '1'],
        ['Où restituer ?', '2'],
        ['Nom du mandat : ', 'Recherches'],
      ],
    );
    expect([code, screen]).toEqual([0, expect.stringContaining('« pour la fiduciaire »')]);
    expect(differences(saved, join(dirname(books), 'Recherches'))).toEqual([]);
  });

  it('flags answer their question: only the place is asked', async () => {
    const target = world.path('ici');
    const { code, screen } = await restore(
      ['Dupont SA', '--point', 'latest'],
      [
        ['Où restituer ?', '3'],
        ['Dossier (neuf ou vide) : ', target],
      ],
    );
    expect([code, screen]).toEqual([0, expect.not.stringContaining('Que restituer')]);
    expect(readdirSync(target)).toEqual(['compta.cre']);
  });
});
