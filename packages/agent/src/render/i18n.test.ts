import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { EXIT_CODES } from '../errors.ts';
import { chooseLanguage, LANGUAGES, type Locale, loadLocale, loadTexts } from './i18n.ts';

function leaves(tree: object, prefix = ''): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]: [string, unknown]) =>
    typeof value === 'string'
      ? [[prefix + key, value] as [string, string]]
      : leaves(value as object, `${prefix}${key}.`),
  );
}

function placeholders(text: string): string[] {
  return [...new Set([...text.matchAll(/\{\{(.*?)\}\}/g)].map(([, name]) => name ?? ''))].sort();
}

const source = join(import.meta.dirname, '..');

function sourceFiles(): string[] {
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.includes('locales'))
    .map((name) => readFileSync(join(source, name), 'utf8'));
}

test('all four languages have the same keys with the same placeholders', async () => {
  const french = new Map(leaves(await loadLocale('fr')));
  for (const language of LANGUAGES) {
    const own = new Map(leaves(await loadLocale(language)));
    expect([...own.keys()].sort()).toEqual([...french.keys()].sort());
    for (const [key, text] of own) {
      const expected = placeholders(french.get(key) ?? '');
      // a singular may say "tomorrow" instead of the number
      expect([key, placeholders(text)]).toEqual([key, expected]);
      expect(text.trim()).not.toBe('');
    }
  }
});

test('German is written as in Switzerland, and nobody is addressed as du or tu', async () => {
  for (const [, text] of leaves(await loadLocale('de'))) expect(text).not.toMatch(/ß|„|“|\b(du|dein)\b/i);
  for (const [, text] of leaves(await loadLocale('fr'))) expect(text).not.toMatch(/\b(tu|ton|tes|erreur inconnue)\b/i);
});

test('every kind of error has a message, and every exit code a meaning', async () => {
  const { find } = await loadTexts('fr');
  for (const [kind, code] of Object.entries(EXIT_CODES)) {
    expect([kind, find(`error.${kind}`)]).toEqual([kind, expect.any(String)]);
    expect([code, find(`exit.${code}`)]).toEqual([code, expect.any(String)]);
  }
});

test('every message, hint and warning that the code names exists', async () => {
  const { find } = await loadTexts('fr');
  const named = sourceFiles().flatMap((text) => [
    ...[...text.matchAll(/'((?:error|hint)\.[a-z-]+)'/g)].map(([, key]) => key ?? ''),
    ...[...text.matchAll(/warn\(\{\s*code: '([a-z-]+)'/g)].map(([, code]) => `warning.${code}`),
    ...[...text.matchAll(/warnings\.push\(\{\s*code: '(snapshot-[a-z]+)'/g)].map(([, code]) => `warning.${code}`),
  ]);
  expect(named.length).toBeGreaterThan(50);
  // hint.none is the way to say that there is no way out
  const lacking = [...new Set(named)].filter((key) => find(key) === undefined && key !== 'hint.none');
  expect(lacking).toEqual([]);
});

test.each<[string | undefined, string | undefined, NodeJS.ProcessEnv, string]>([
  ['de', 'it', { LANG: 'en_US.UTF-8' }, 'de'],
  [undefined, 'it', { LANG: 'en_US.UTF-8' }, 'it'],
  [undefined, undefined, { LC_ALL: 'de_CH.UTF-8', LANG: 'en_US' }, 'de'],
  [undefined, undefined, { LANG: 'it_CH' }, 'it'],
  [undefined, undefined, { LANG: 'es_ES.UTF-8' }, 'en'],
  [undefined, undefined, { LANG: 'C.UTF-8' }, 'fr'],
  [undefined, undefined, {}, 'fr'],
  ['xx', undefined, {}, 'fr'],
])('--lang %s, configured %s and %j give %s', (flag, configured, env, language) => {
  expect(chooseLanguage(flag, configured, env)).toBe(language);
});

test('numbers choose singular and plural, also beyond a million', async () => {
  const t = await loadTexts('fr');
  expect(t('count.files', { count: 1, n: '1' })).toBe('1 fichier');
  expect(t('count.files', { count: 2, n: '2' })).toBe('2 fichiers');
  expect(t('count.files', { count: 1_000_000, n: "1'000'000" })).toBe("1'000'000 fichiers");
});

test('a parameter is text: it is not read as a template or a reference', async () => {
  const t = await loadTexts('fr');
  expect(t('error.no-mandate', { name: '{{what}} $t(help.about)' })).toBe(
    "Aucun mandat ne s'appelle « {{what}} $t(help.about) ».",
  );
});

test('a locale is typed as a tree of texts', async () => {
  const locale: Locale = await loadLocale('en');
  expect(locale.module.payroll).toBe('Payroll');
});
