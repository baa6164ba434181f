import { expect, test } from '@jest/globals';
import { AgentError } from '../errors.ts';
import { loadTexts } from './i18n.ts';
import { Output, type OutputOptions } from './output.ts';
import { Progress } from './progress.ts';

const standing = { bytes: 50_000_000, totalBytes: 200_000_000, files: 12, sent: 20_000_000, reused: 30_000_000 };

async function show(options: Partial<OutputOptions>, isTTY: boolean): Promise<{ out: string; err: string }> {
  const texts = await loadTexts('fr');
  const written = { out: '', err: '' };
  const output = new Output(
    { json: false, quiet: false, progress: true, ...options },
    { write: (text) => (written.out += text) },
    { isTTY, columns: 120, write: (text) => (written.err += text) },
  );
  let now = 0;
  const progress = new Progress(output, texts, 'send', 'Dupont', () => now);
  for (now = 1000; now <= 3000; now += 1000) progress.update({ ...standing, bytes: now * 10_000 });
  progress.finish();
  written.err = written.err.replaceAll('\u00a0', ' ');
  return written;
}

test('on a terminal one line shows bytes, rate, time left, and what was sent or there already', async () => {
  const { out, err } = await show({}, true);
  expect(out).toBe('');
  expect(err).not.toContain('\n');
  const last = err.split('\r').at(-2) ?? '';
  expect(last).toBe(
    '15 %  30,0 Mo sur 200 Mo  10,0 Mo/s  encore 17 s  fichiers 12  envoyé 20,0 Mo  déjà dans le coffre 30,0 Mo\u001b[K',
  );
});

test('elsewhere one clean line at the end, without control characters', async () => {
  const { err } = await show({}, false);
  expect(err).toBe('Dupont : 12 fichiers, 200 Mo lus, 20,0 Mo envoyés, 30,0 Mo déjà dans le coffre, 4,0 s\n');
});

test('with --json events on stderr, with --quiet or --no-progress nothing', async () => {
  const { out, err } = await show({ json: true }, true);
  expect(out).toBe('');
  expect(
    err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toHaveLength(3);
  expect(await show({ quiet: true }, true)).toEqual({ out: '', err: '' });
  expect(await show({ progress: false }, false)).toEqual({ out: '', err: '' });
});

test('an error is one document with code, message, hint and details, and shows nothing unescaped', async () => {
  const texts = await loadTexts('fr');
  let out = '';
  const output = new Output(
    { json: true, quiet: false, progress: true },
    { write: (text) => (out += text) },
    { write: () => 0 },
  );
  const params = { path: '/tmp/\u001b[2J' };
  output.failure(new AgentError('path-missing', 'x', { params, details: { path: '/tmp' } }), texts);
  expect(JSON.parse(out)).toEqual({
    error: {
      code: 'path-missing',
      message: "Le dossier /tmp/\\x1b[2J n'existe pas.",
      hint: 'Vérifiez le chemin, et que le disque est branché.',
      details: { path: '/tmp' },
    },
  });
});

test('a message that no locale has falls back to that of its kind', async () => {
  const texts = await loadTexts('de');
  let err = '';
  const output = new Output(
    { json: false, quiet: true, progress: true },
    { write: () => 0 },
    { write: (text) => (err += text) },
  );
  output.failure(new AgentError('quota', 'full', { key: 'error.unheard-of' }), texts);
  expect(err).toContain('Der Platz in Ihrem Tresor ist aufgebraucht.');
});
