import { describe, expect, it } from '@jest/globals';
import { addDays, addMonths, dayInZurich, isDay } from './calendar.ts';
import { type SubscriptionFacts, subscriptionState } from './state.ts';

const durations = { graceDays: 14, readOnlyMonths: 12, noticeDays: 90 };
const at = (time: string) => Date.parse(time);
const facts = (rest: Partial<SubscriptionFacts> & { now: number }): SubscriptionFacts => ({
  expiresOn: '2026-12-31',
  suspended: false,
  holds: null,
  noticeSentOn: null,
  durations,
  ...rest,
});

// TN-37: the last day is inclusive and ends at midnight in Switzerland, whatever the season
describe('the boundaries of a subscription', () => {
  it.each([
    // winter: midnight is 23:00 UTC
    ['2026-12-31', '2026-12-31T22:59:59Z', 'active'],
    ['2026-12-31', '2026-12-31T23:00:00Z', 'grace'],
    ['2026-12-31', '2026-12-31T23:00:01Z', 'grace'],
    // summer: midnight is 22:00 UTC
    ['2026-07-31', '2026-07-31T21:59:59Z', 'active'],
    ['2026-07-31', '2026-07-31T22:00:00Z', 'grace'],
    // the last day is the one on which summer time begins (29.03.2026) or ends (25.10.2026)
    ['2026-03-28', '2026-03-28T22:59:59Z', 'active'],
    ['2026-03-28', '2026-03-28T23:00:00Z', 'grace'],
    ['2026-03-29', '2026-03-29T21:59:59Z', 'active'],
    ['2026-03-29', '2026-03-29T22:00:00Z', 'grace'],
    ['2026-10-24', '2026-10-24T22:00:00Z', 'grace'],
    ['2026-10-25', '2026-10-25T22:59:59Z', 'active'],
    ['2026-10-25', '2026-10-25T23:00:00Z', 'grace'],
    // leap day: the 29th is the last day, grace runs to 14.03.
    ['2028-02-29', '2028-02-29T22:59:59Z', 'active'],
    ['2028-02-29', '2028-02-29T23:00:00Z', 'grace'],
    ['2028-02-29', '2028-03-14T22:59:59Z', 'grace'],
    ['2028-02-29', '2028-03-14T23:00:00Z', 'read-only'],
    // grace ends after fourteen days
    ['2026-12-31', '2027-01-14T22:59:59Z', 'grace'],
    ['2026-12-31', '2027-01-14T23:00:00Z', 'read-only'],
    // nothing goes further without a notice, not even after years
    ['2026-12-31', '2028-01-14T23:00:00Z', 'read-only'],
    ['2026-12-31', '2099-01-01T00:00:00Z', 'read-only'],
  ])('expires on %s, at %s it is %s', (expiresOn, now, state) => {
    expect(subscriptionState(facts({ expiresOn, now: at(now) })).state).toBe(state);
  });
});

describe('after the deletion notice', () => {
  it.each([
    // a notice inside read-only does not shorten it
    ['2027-03-01', null, '2028-01-14T22:59:59Z', 'read-only'],
    ['2028-01-15', null, '2028-01-14T23:00:00Z', 'closing'],
    ['2028-01-15', null, '2028-04-14T21:59:59Z', 'closing'],
    ['2028-01-15', null, '2028-04-14T22:00:00Z', 'closed'],
    ['2028-01-15', '2037-12-31', '2028-04-14T22:00:00Z', 'archive'],
    ['2028-01-15', '2037-12-31', '2037-12-31T22:59:59Z', 'archive'],
    ['2028-01-15', '2037-12-31', '2037-12-31T23:00:00Z', 'closed'],
    // a notice of an earlier subscription, extended since, closes nothing
    ['2026-05-01', null, '2099-01-01T00:00:00Z', 'read-only'],
    ['2026-12-31', null, '2099-01-01T00:00:00Z', 'read-only'],
  ])('sent on %s, hold until %s, at %s it is %s', (noticeSentOn, holds, now, state) => {
    const found = subscriptionState(facts({ noticeSentOn, holds, now: at(now) }));
    expect(found.state).toBe(state);
    expect(found.mayRestore).toBe(state !== 'closed');
  });
});

describe('suspension', () => {
  it.each([
    ['2026-06-01T00:00:00Z', 'suspended'],
    ['2027-01-10T00:00:00Z', 'suspended'],
    ['2027-01-14T23:00:00Z', 'read-only'], // it stops no date
  ])('at %s it is %s and restoring works', (now, state) => {
    const found = subscriptionState(facts({ suspended: true, now: at(now) }));
    expect(found).toMatchObject({ state, maySend: false, mayRestore: true });
  });
});

describe('what each state allows', () => {
  it.each([
    ['2026-06-01T00:00:00Z', true],
    ['2027-01-05T00:00:00Z', true],
    ['2027-02-01T00:00:00Z', false],
  ])('at %s sending is %s', (now, maySend) => {
    expect(subscriptionState(facts({ now: at(now) })).maySend).toBe(maySend);
  });
  it('names the dates that follow', () => {
    expect(subscriptionState(facts({ now: at('2026-06-01T00:00:00Z') }))).toMatchObject({
      expiresOn: '2026-12-31',
      graceUntil: '2027-01-14',
      readOnlyUntil: '2028-01-14',
    });
  });
  it('goes straight back to active when the date is extended', () => {
    const now = at('2028-03-01T00:00:00Z');
    const closing = facts({ noticeSentOn: '2028-02-01', now });
    expect(subscriptionState(closing).state).toBe('closing');
    expect(subscriptionState({ ...closing, expiresOn: '2029-12-31' }).state).toBe('active');
  });
  it('takes its durations from the configuration', () => {
    const short = { graceDays: 1, readOnlyMonths: 1, noticeDays: 1 };
    const now = at('2027-01-02T12:00:00Z');
    expect(subscriptionState(facts({ durations: short, now })).state).toBe('read-only');
  });
});

describe('the calendar', () => {
  it.each([
    ['2026-02-29', false],
    ['2028-02-29', true],
    ['2026-13-01', false],
    ['2026-00-10', false],
    ['2026-1-1', false],
    ['1999-12-31', false],
    ['2026-12-31T00:00', false],
  ])('%s is a date: %s', (text, expected) => {
    expect(isDay(text)).toBe(expected);
  });
  it('clamps to the end of the month', () => {
    expect(addMonths('2028-02-29', 12)).toBe('2029-02-28');
    expect(addMonths('2026-12-31', 2)).toBe('2027-02-28');
    expect(addMonths('2026-12-15', 12)).toBe('2027-12-15');
  });
  it('counts days over the change of summer time', () => {
    expect(addDays('2026-03-28', 2)).toBe('2026-03-30');
    expect(addDays('2026-01-01', -1)).toBe('2025-12-31');
  });
  it('knows the date in Switzerland', () => {
    expect(dayInZurich(at('2026-06-30T22:30:00Z'))).toBe('2026-07-01');
    expect(dayInZurich(at('2026-12-31T22:30:00Z'))).toBe('2026-12-31');
  });
});
