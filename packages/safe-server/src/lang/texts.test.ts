import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { fr } from './fr.ts';
import { LANGUAGES, languageOf, TABLES, type TextKey, textOf, textsOf } from './texts.ts';

const keys = Object.keys(fr) as TextKey[];
const placeholders = (text: string) => [...text.matchAll(/\{[a-z-]+\}/g)].map(([name]) => name).sort();

describe.each(LANGUAGES)('the texts in %s', (language) => {
  it('have every key, none empty, with the same parameters', () => {
    expect(Object.keys(TABLES[language]).sort()).toEqual([...keys].sort());
    for (const key of keys) {
      expect(TABLES[language][key].trim()).not.toBe('');
      expect([key, placeholders(TABLES[language][key])]).toEqual([key, placeholders(fr[key])]);
    }
  });
});

it('every key that an OperatorError names has its text', async () => {
  const sources = [
    'config.ts',
    'system.ts',
    'serve.ts',
    'keyring/ring.ts',
    'keyring/ring-file.ts',
    'keyring/heartbeat.ts',
  ];
  sources.push('operator/arguments.ts', 'operator/keys.ts', 'operator/devices.ts', 'operator/subscribers.ts');
  sources.push('operator/program.ts', 'operator/verify-store.ts', 'subscriptions/service.ts');
  for (const source of sources) {
    const text = await readFile(new URL(`../${source}`, import.meta.url), 'utf8');
    for (const [, key] of text.matchAll(/OperatorError\(\s*'([^']+)'/g)) expect(keys).toContain(key);
  }
});

describe('the language', () => {
  it.each([
    ['de', {}, 'de'],
    [undefined, { SAFE_LANG: 'it' }, 'it'],
    [undefined, { LANG: 'en_US.UTF-8' }, 'en'],
    [undefined, { LC_ALL: 'de_CH.UTF-8', LANG: 'en_US.UTF-8' }, 'de'],
    [undefined, { LANG: 'C.UTF-8' }, 'fr'],
    [undefined, {}, 'fr'],
  ])('%s with %j is %s', (flag, env, language) => {
    expect(languageOf(flag, env)).toBe(language);
  });
  it('fills parameters in', () => {
    expect(textsOf('en')('subscriber.none', { number: '7' })).toBe('Subscriber 7 does not exist.');
    expect(textOf(textsOf('en'), 'no.such.key', {})).toBe('no.such.key');
  });
});
