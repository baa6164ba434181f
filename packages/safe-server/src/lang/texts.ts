import { de } from './de.ts';
import { en } from './en.ts';
import { fr } from './fr.ts';
import { it } from './it.ts';

export const LANGUAGES = ['fr', 'de', 'it', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];
export type TextKey = keyof typeof fr;
/** One text for each key of French. */
export type Table = Readonly<Record<TextKey, string>>;
/** Gives a text of the chosen language with its `{name}`s filled in. */
export type Texts = (key: TextKey, params?: Readonly<Record<string, string>>) => string;

export const TABLES: Readonly<Record<Language, Table>> = { fr, de, it, en };

/** The texts of a language. */
export function textsOf(language: Language): Texts {
  const table = TABLES[language];
  return (key, params = {}) => table[key].replace(/\{([a-z-]+)\}/g, (_, name: string) => params[name] ?? '');
}

/** A text for the key of an error; the key itself where there is none. */
export function textOf(texts: Texts, key: string, params: Readonly<Record<string, string>>): string {
  return key in fr ? texts(key as TextKey, params) : key;
}

/** The operator's language: `--lang`, `SAFE_LANG`, the locale, else French. */
export function languageOf(flag: unknown, env: Readonly<Record<string, string | undefined>>): Language {
  for (const wish of [flag, env['SAFE_LANG'], env['LC_ALL'], env['LC_MESSAGES'], env['LANG']]) {
    const language = LANGUAGES.find(
      (known) => typeof wish === 'string' && new RegExp(`^${known}\\b|^${known}_`).test(wish),
    );
    if (language !== undefined) return language;
  }
  return 'fr';
}
