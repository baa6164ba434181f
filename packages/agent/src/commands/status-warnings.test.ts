import { expect, test } from '@jest/globals';
import type { State } from '../local/state.ts';
import { loadTexts } from '../render/i18n.ts';
import type { Account } from '../vault/remote.ts';
import type { Context } from './context.ts';
import { accountWarnings, localWarnings } from './status-warnings.ts';

const NOW = Date.UTC(2026, 10, 24, 12);
const DAY = 86_400_000;
const EMPTY: State = { version: 1, twins: [], kept: [] };

async function contextAt(now = NOW): Promise<Context> {
  return { texts: await loadTexts('fr'), now: () => now } as unknown as Context;
}

function account(state: string, expiresOn: string, serverTime = NOW): Account {
  return { subscription: { state, expiresOn }, serverTime } as Account;
}

test.each([
  ['active', '2050-12-31', []],
  ['active', '2027-01-24', []],
  ['active', '2027-01-23', ["L'abonnement arrive à échéance dans 60 jours (23.01.2027)."]],
  ['active', '2026-11-25', ["L'abonnement arrive à échéance demain (25.11.2026)."]],
  ['active', '2026-11-24', ["L'abonnement arrive à échéance aujourd'hui (24.11.2026)."]],
  [
    'grace',
    '2026-11-20',
    ["L'abonnement est échu depuis le 20.11.2026 : l'envoi reste possible quelques jours encore."],
  ],
  ['suspended', '2050-12-31', ["L'abonnement est suspendu : la restitution reste possible."]],
  ['constructor', '2050-12-31', []],
])('a subscription that is %s until %s warns %j', async (state, expiresOn, messages) => {
  const warnings = accountWarnings(await contextAt(), account(state, expiresOn), EMPTY);
  expect(warnings.map(({ message }) => message)).toEqual(messages);
});

test('the last known subscription counts when the server cannot be asked', async () => {
  const state = { ...EMPTY, subscription: { expiresOn: '2026-11-20', state: 'grace', at: NOW } };
  expect(accountWarnings(await contextAt(), undefined, state)).toMatchObject([{ code: 'grace' }]);
});

test.each([
  [9 * 60_000, []],
  [-365 * DAY, ['clock']],
  [11 * 60_000, ['clock']],
])('a clock that is off by %d ms warns %j', async (skew, codes) => {
  const warnings = accountWarnings(await contextAt(NOW + skew), account('active', '2050-12-31'), EMPTY);
  expect(warnings.map(({ code }) => code)).toEqual(codes);
});

test('mandates that were never sent, not for long, or whose folder is away are named', async () => {
  const mandate = (name: string, mandateId: string) => ({ name, mandateId, path: `/${name}`, modules: [] });
  const known = (mandateId: string, days: number) => ({
    mandateId,
    ref: '',
    name: '',
    lastSnapshot: { id: '', seq: 1, receivedAt: NOW - days * DAY },
  });
  const warnings = localWarnings({
    context: await contextAt(),
    mandates: [mandate('Neuf', '1'), mandate('Vieux', '2'), mandate('Frais', '3')],
    state: { ...EMPTY, known: [known('2', 20), known('3', 13)] },
    unanchored: true,
    hasKit: false,
    present: (path) => path !== '/Frais',
  });
  expect(warnings.map(({ code }) => code)).toEqual([
    'never-sent',
    'old-snapshot',
    'path-missing',
    'unanchored',
    'no-kit',
  ]);
});

test('several mandates from one snapshot warn until one of them is left, replaced folders while they are there', async () => {
  const mandate = (name: string, mandateId: string) => ({ name, mandateId, path: `/${name}`, modules: [] });
  const state: State = {
    ...EMPTY,
    twins: [{ sourceId: 'a', mandateId: 'b', at: NOW }],
    kept: [
      { mandate: 'Dupont', path: '/gone', at: NOW },
      { mandate: 'Dupont', path: '/there', at: NOW },
    ],
    known: [],
    rebuiltAt: NOW,
  };
  const facts = {
    context: await contextAt(),
    state,
    unanchored: false,
    hasKit: true,
    present: (path: string) => path !== '/gone',
  };
  const both = localWarnings({ ...facts, mandates: [mandate('Dupont', 'a'), mandate('Essai', 'b')] });
  expect(both.map(({ code }) => code)).toEqual([
    'never-sent',
    'never-sent',
    'several-from-one',
    'replaced-kept',
    'state-rebuilt',
  ]);
  expect(both[2]?.message).toContain('Dupont, Essai');
  const one = localWarnings({ ...facts, mandates: [mandate('Essai', 'b')] });
  expect(one.map(({ code }) => code)).not.toContain('several-from-one');
});
