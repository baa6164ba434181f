/** Minutes since midnight on the wall clock of the schedule's zone. */
export type MinuteOfDay = number;

/** A span of every day on the wall clock: from `from` up to, not including, `to`; over midnight when `to` is earlier. */
export interface Hours {
  readonly from: MinuteOfDay;
  readonly to: MinuteOfDay;
}

const DAY = 24 * 60;

/** `08:05` as minutes since midnight; undefined for anything else. */
export function parseTime(text: string): MinuteOfDay | undefined {
  const match = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text);
  return match ? Number(match[1]) * 60 + Number(match[2]) : undefined;
}

/** Minutes since midnight as `08:05`. */
export function timeText(minute: MinuteOfDay): string {
  const whole = ((minute % DAY) + DAY) % DAY;
  return `${String(Math.floor(whole / 60)).padStart(2, '0')}:${String(whole % 60).padStart(2, '0')}`;
}

/** `08:00-18:00`; undefined for anything else, and for a span of no length. */
export function parseHours(text: string): Hours | undefined {
  const [first = '', second = '', ...more] = text.split('-');
  const from = parseTime(first.trim());
  const to = parseTime(second.trim());
  if (from === undefined || to === undefined || from === to || more.length > 0) return undefined;
  return { from, to };
}

/** Whether the wall clock of `zone` stands inside the hours at `now` (ms since 1970): what it shows decides, also in summer. */
export function isInside({ from, to }: Hours, now: number, zone: string): boolean {
  const minute = minuteOfDay(now, zone);
  return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

function minuteOfDay(now: number, zone: string): MinuteOfDay {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const parts = Object.fromEntries(format.formatToParts(now).map(({ type, value }) => [type, value]));
  return Number(parts['hour']) * 60 + Number(parts['minute']);
}
