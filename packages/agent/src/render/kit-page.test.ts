import { expect, test } from '@jest/globals';
import { loadTexts } from './i18n.ts';
import { groupsOf, kitPage, readKitPage } from './kit-page.ts';

const facts = {
  secret: 'CSKI-T1GR-FQUE-QGGV-FLQA-U5SL-YUFY-9U3X-4P0L-3NYE-840G',
  vaultId: '0123456789abcdef0123456789abcdef',
  number: '100001',
  url: 'https://safe.example.ch/<script>&"',
  headCode: '42-ABCD-EFGH-IJKL-MNOP',
  createdAt: Date.UTC(2026, 10, 24, 13, 5),
};

test('the kit is one page that loads nothing, in French, with all that is needed', async () => {
  const page = kitPage(facts, await loadTexts('fr'));
  expect(page).toContain('<html lang="fr">');
  expect(page).toContain('<h1>Kit de secours Crésus Safe</h1>');
  expect(page).toContain('24.11.2026 14:05');
  for (const group of groupsOf(facts.secret)) expect(page).toContain(`<li>${group}</li>`);
  for (const fact of [facts.vaultId, facts.number, facts.headCode]) expect(page).toContain(`<dd>${fact}</dd>`);
  expect(page).toMatch(/<svg[^>]*viewBox/);
  expect(page).not.toMatch(/<script|src=|href=|url\(|@import/);
});

test('the page gives back what is on it, and no other file does', async () => {
  expect(readKitPage(kitPage(facts, await loadTexts('it')))).toEqual({
    code: facts.secret,
    vaultId: facts.vaultId,
    headCode: facts.headCode,
  });
  expect(readKitPage(kitPage({ ...facts, headCode: undefined }, await loadTexts('de')))?.headCode).toBeUndefined();
  expect(readKitPage('<html><ol class="groups"></ol></html>')).toBeUndefined();
});
