import type { Language, Texts } from '../lang/texts.ts';
import { dayInZurich } from '../subscriptions/calendar.ts';

const WIDTH = 100;

/** Where a command writes, and how. */
export interface Terminal {
  readonly json: boolean;
  readonly language: Language;
  readonly t: Texts;
  out(text: string): void;
  err(text: string): void;
}

/** Prints one result: the document with `--json`, else its lines. */
export function print(terminal: Terminal, document: object, lines: () => readonly string[]): void {
  if (terminal.json) terminal.out(`${JSON.stringify(document)}\n`);
  else for (const line of lines()) terminal.out(`${visible(line)}\n`);
}

/** A table of at most 100 columns: the column number `flexible` gives way, cut with an ellipsis. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], flexible: number): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => [...(row[column] ?? '')].length)),
  );
  const total = widths.reduce((sum, width) => sum + width, 2 * (head.length - 1));
  const spare = Math.max(0, total - WIDTH);
  widths[flexible] = Math.max(8, (widths[flexible] ?? 0) - spare);
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => fit(cell, widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(head), ...rows.map(line)];
}

function fit(cell: string, width: number): string {
  const characters = [...cell];
  if (characters.length <= width) return cell + ' '.repeat(width - characters.length);
  return `${characters.slice(0, width - 1).join('')}…`;
}

/** What came from outside (a device's name) cannot move the cursor or colour the terminal (TN-46, MS-41). */
function visible(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** dd.mm.yyyy of a date `YYYY-MM-DD`. */
export function showDay(day: string): string {
  return day.split('-').reverse().join('.');
}

/** dd.mm.yyyy in Switzerland of a moment; `never` for null. */
export function showTime(time: number | null, t: Texts): string {
  return time === null ? t('never') : showDay(dayInZurich(time));
}

/** Bytes with one decimal in Ko, Mo, Go (French) or KB, MB, GB. */
export function showBytes(bytes: number, language: Language): string {
  const unit = language === 'fr' ? 'o' : 'B';
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  const amount = bytes / 1000 ** power;
  const text = Number.isInteger(amount) ? String(amount) : amount.toFixed(1);
  return `${language === 'en' ? text : text.replace('.', ',')} ${['', 'K', 'M', 'G', 'T'][power]}${unit}`;
}
