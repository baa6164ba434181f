import { createInstance, type i18n as I18n } from 'i18next';
import type { fr } from './locales/fr.ts';

/** The languages of the agent; French is the first and the one the others are checked against. */
export const LANGUAGES = ['fr', 'de', 'it', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

/** What a locale file is: the tree of French with any texts at its leaves. */
export type Locale = Leaves<typeof fr>;
type Leaves<T> = { readonly [K in keyof T]: T[K] extends string ? string : Leaves<T[K]> };

type Paths<T> = {
  [K in keyof T & string]: T[K] extends string ? Singular<K> : `${K}.${Paths<T[K]>}`;
}[keyof T & string];
type Singular<K extends string> = K extends `${infer Base}_${'one' | 'other'}` ? Base : K;

/** A text that exists in all four languages. A key in `_one` and `_other` is asked for without them, with `count`. */
export type TextKey = Paths<typeof fr>;
export type Params = Readonly<Record<string, string | number>>;

/** Texts of one language. */
export interface Texts {
  readonly language: Language;
  /** The text behind a key; parameters are put in as they are (escape outside text with `visible` first). */
  (key: TextKey, params?: Params): string;
  /** The text behind a key that is only known at run time (an error's), or undefined when there is none. */
  find(key: string, params?: Params): string | undefined;
}

/** The language asked for by `--lang`, then the configuration, then the locale of the environment; else French. */
export function chooseLanguage(flag: string | undefined, configured: string | undefined, env = process.env): Language {
  const locale = env['LC_ALL'] || env['LC_MESSAGES'] || env['LANG'] || '';
  return known(flag) ?? known(configured) ?? known(locale) ?? (/^(C|POSIX)\b/i.test(locale) ? 'fr' : fallback(locale));
}

function known(text: string | undefined): Language | undefined {
  const code = text?.slice(0, 2).toLowerCase();
  return LANGUAGES.find((language) => language === code && !/^[a-z]{2}[a-z]/i.test(text ?? ''));
}

/** A locale in a language we do not speak reads English; no locale at all reads French. */
function fallback(locale: string): Language {
  return locale === '' ? 'fr' : 'en';
}

/** Loads the texts of one language; only that locale's file is read. */
export async function loadTexts(language: Language): Promise<Texts> {
  const instance = createInstance();
  await instance.init({
    lng: language,
    resources: { [language]: { translation: await loadLocale(language) } },
    interpolation: { escapeValue: false, skipOnVariables: true },
    initAsync: false,
  });
  return textsOf(instance, language);
}

function textsOf(instance: I18n, language: Language): Texts {
  const text = (key: TextKey, params?: Params): string => instance.t(key, params ?? {});
  const find = (key: string, params?: Params): string | undefined =>
    instance.exists(key, params ?? {}) ? instance.t(key, params ?? {}) : undefined;
  return Object.assign(text, { language, find });
}

/** The texts of a language as a tree. */
export async function loadLocale(language: Language): Promise<Locale> {
  if (language === 'de') return (await import('./locales/de.ts')).de;
  if (language === 'it') return (await import('./locales/it.ts')).it;
  if (language === 'en') return (await import('./locales/en.ts')).en;
  return (await import('./locales/fr.ts')).fr;
}
