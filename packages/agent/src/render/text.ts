import type { Language, Texts } from './i18n.ts';

/**
 * Makes text from outside (file and mandate names, comments, a server's words) safe for a terminal: control and
 * formatting characters become visible escapes, so that nothing can move the cursor, colour or hide (MS-41).
 */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** `visible`, and cut to at most `length` code points. */
export function brief(text: string, length: number): string {
  const points = [...visible(text)];
  return points.length <= length ? points.join('') : `${points.slice(0, length - 1).join('')}…`;
}

const ZONE = 'Europe/Zurich';

interface DateParts {
  readonly day: string;
  readonly month: string;
  readonly year: string;
  readonly hour: string;
  readonly minute: string;
}

function partsOf(time: number, zone: string): DateParts {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const parts = Object.fromEntries(format.formatToParts(time).map((part) => [part.type, part.value]));
  return parts as unknown as DateParts;
}

/** A moment (ms since 1970) as `24.11.2026`, in Swiss time. */
export function dateText(time: number, zone: string = ZONE): string {
  const { day, month, year } = partsOf(time, zone);
  return `${day}.${month}.${year}`;
}

/** A moment (ms since 1970) as `24.11.2026 14:05`, in Swiss time. */
export function momentText(time: number, zone: string = ZONE): string {
  const { hour, minute } = partsOf(time, zone);
  return `${dateText(time, zone)} ${hour}:${minute}`;
}

/** A moment (ms since 1970) as it stands in names of files and folders: `2026-11-24 14h05`, in Swiss time. */
export function stampText(time: number, zone: string = ZONE): string {
  const { day, month, year, hour, minute } = partsOf(time, zone);
  return `${year}-${month}-${day} ${hour}h${minute}`;
}

/** A calendar date `2050-12-31` as `31.12.2050`. */
export function calendarText(date: string): string {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(date);
  return match ? `${match[3]}.${match[2]}.${match[1]}` : visible(date);
}

const UNITS: Readonly<Record<Language, readonly string[]>> = {
  fr: ['octets', 'Ko', 'Mo', 'Go', 'To'],
  de: ['Bytes', 'KB', 'MB', 'GB', 'TB'],
  it: ['byte', 'KB', 'MB', 'GB', 'TB'],
  en: ['bytes', 'KB', 'MB', 'GB', 'TB'],
};
const COMMA: ReadonlySet<Language> = new Set(['fr', 'it']);

/** A number of bytes: `3,7 Mo` in French, `3,7 MB` in Italian, `3.7 MB` in (Swiss) German and English. */
export function sizeText(bytes: number, language: Language): string {
  let value = bytes;
  let unit = 0;
  // 999.95 would be rounded to four digits: the next unit says it better
  for (; value >= (unit === 0 ? 1000 : 999.95) && unit < 4; unit++) value /= 1000;
  const digits = unit === 0 ? String(value) : value >= 99.95 ? value.toFixed(0) : value.toFixed(1);
  const number = COMMA.has(language) ? digits.replace('.', ',') : digits;
  return `${number}\u00a0${UNITS[language][unit]}`;
}

/** A whole number with Swiss separators: `12'345`. */
export function countText(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, "'");
}

/** `1 fichier`, `33 fichiers`, `12'345 fichiers`. */
export function counted(texts: Texts, what: 'files' | 'folders' | 'snapshots' | 'packs', count: number): string {
  return texts(`count.${what}`, { count, n: countText(count) });
}

/** A duration: `0,8 s`, `42 s`, `3 min 05 s`, `2 h 04 min`. */
export function durationText(ms: number, language: Language): string {
  const seconds = ms / 1000;
  if (seconds < 9.95) {
    const digits = seconds.toFixed(1);
    return `${COMMA.has(language) ? digits.replace('.', ',') : digits}\u00a0s`;
  }
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}\u00a0s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min ${String(whole % 60).padStart(2, '0')}\u00a0s`;
  return `${Math.floor(whole / 3600)}\u00a0h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}\u00a0min`;
}

/** Lines of a table whose columns are as wide as their widest cell; `right` lists the columns of numbers. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, at) => {
      widths[at] = Math.max(widths[at] ?? 0, widthOf(cell));
    });
  return rows.map((row) =>
    row
      .map((cell, at) => pad(cell, widths[at] ?? 0, right.includes(at)))
      .join('  ')
      .trimEnd(),
  );
}

function pad(cell: string, width: number, right: boolean): string {
  const gap = ' '.repeat(width - widthOf(cell));
  return right ? gap + cell : cell + gap;
}

/** Columns on a terminal, good enough for names: combining marks take none, wide East Asian characters two. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u.test(
      character,
    )
      ? 2
      : 1;
  }
  return width;
}
