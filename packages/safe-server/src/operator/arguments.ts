import { OperatorError } from '../errors.ts';
import { type Day, isDay } from '../subscriptions/calendar.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const CONTROL = /[\p{Cc}\p{Cs}\p{Cn}]/u;

/** A date `YYYY-MM-DD` that exists. @throws OperatorError `date.invalid` */
export function parseDay(value: string): Day {
  if (!isDay(value)) throw new OperatorError('date.invalid', { value });
  return value;
}

/** `60d` as days. @throws OperatorError `period.invalid` */
export function parseDays(value: string): number {
  const days = /^(\d{1,5})d$/.exec(value)?.[1];
  if (days === undefined) throw new OperatorError('period.invalid', { value });
  return Number(days);
}

/** `50GB`, `500 MB`, `1.5TB` (decimal) as bytes. @throws OperatorError `size.invalid` */
export function parseSize(value: string): number {
  const [, amount, unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?)\s?([KMGT]?)(?:B|o)$/i.exec(value) ?? [];
  const bytes = Math.round(Number(amount) * (UNITS[unit.toUpperCase()] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) throw new OperatorError('size.invalid', { value });
  return bytes;
}

/** A name of 1 to 200 characters without control characters, NFC. @throws OperatorError `name.invalid` */
export function parseName(value: string): string {
  const name = value.normalize('NFC').trim();
  if (name === '' || [...name].length > 200 || CONTROL.test(name)) throw new OperatorError('name.invalid');
  return name;
}

/** An address that a mail can go to; whether it arrives only a mail can tell. @throws OperatorError `email.invalid` */
export function parseEmail(value: string): string {
  const email = value.trim();
  if (email.length > 254 || !/^[^\s@<>"',;]+@[^\s@<>"',;]+\.[^\s@<>"',;.]+$/.test(email) || CONTROL.test(email))
    throw new OperatorError('email.invalid', { value: email });
  return email;
}

/** A subscriber number: digits, since it becomes part of bucket keys. @throws OperatorError `number.invalid` */
export function parseNumber(value: string): string {
  if (!/^[1-9]\d{0,11}$/.test(value)) throw new OperatorError('number.invalid', { value });
  return value;
}
