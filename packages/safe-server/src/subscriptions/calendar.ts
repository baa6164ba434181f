/** A calendar date `YYYY-MM-DD`; such dates compare as text. */
export type Day = string;

const zurich = new Intl.DateTimeFormat('en-CA', {
  timeZone: 'Europe/Zurich',
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
});

/** The date in Switzerland at a moment (ms since 1970), summer time included. */
export function dayInZurich(time: number): Day {
  return zurich.format(time);
}

/** Whether the text is a date that exists, of the years 2000 to 2999. */
export function isDay(text: string): boolean {
  return /^2\d{3}-\d{2}-\d{2}$/.test(text) && fromUtc(toUtc(text)) === text;
}

/** The date that many days later (earlier when negative). */
export function addDays(day: Day, days: number): Day {
  return fromUtc(toUtc(day) + days * 86_400_000);
}

/** The same day of the month that many months later, or that month's last day where it has no such day. */
export function addMonths(day: Day, months: number): Day {
  const date = new Date(toUtc(day));
  const dayOfMonth = date.getUTCDate();
  date.setUTCDate(1);
  date.setUTCMonth(date.getUTCMonth() + months);
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  date.setUTCDate(Math.min(dayOfMonth, last));
  return fromUtc(date.getTime());
}

// Dates are counted in UTC, which has neither summer time nor gaps; only `dayInZurich` knows the zone.
function toUtc(day: Day): number {
  const [year, month, date] = day.split('-').map(Number);
  return Date.UTC(year ?? Number.NaN, (month ?? Number.NaN) - 1, date ?? Number.NaN);
}

function fromUtc(time: number): Day {
  return Number.isNaN(time) ? '' : new Date(time).toISOString().slice(0, 10);
}
