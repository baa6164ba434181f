import { renderSVG } from 'uqr';
import type { Texts } from './i18n.ts';
import { momentText } from './text.ts';

/** What the printed kit says. `secret` is the kit's code in groups of four. */
export interface KitFacts {
  readonly secret: string;
  readonly vaultId: string;
  readonly number: string;
  readonly url: string;
  readonly headCode: string | undefined;
  readonly createdAt: number;
}

/** The printable page: one self-contained HTML file that loads nothing, since it holds a key. */
export function kitPage(facts: KitFacts, texts: Texts): string {
  const title = escapeHtml(texts('kitPage.title'));
  const date = momentText(facts.createdAt);
  return `<!doctype html>
<html lang="${texts.language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="robots" content="noindex">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<header><h1>${title}</h1><p class="date">${escapeHtml(date)}</p></header>
<p class="lead">${escapeHtml(texts('kitPage.lead'))}</p>
<section class="key">
<div class="qr">${qrCode(facts)}</div>
<div><h2>${escapeHtml(texts('kitPage.secret'))}</h2>
<ol class="groups">${groupsOf(facts.secret).map(groupItem).join('')}</ol></div>
</section>
<dl>${rows(facts, texts, date)}</dl>
<section class="how"><h2>${escapeHtml(texts('kitPage.how-title'))}</h2>
<ol>${steps(facts, texts)}</ol></section>
<footer>${escapeHtml(texts('kitPage.foot'))}</footer>
</main>
</body>
</html>
`;
}

/** The groups of a kit's code, in order. */
export function groupsOf(secret: string): string[] {
  return secret.split(/[\s-]+/).filter((group) => group !== '');
}

/** What a page that `kitPage` wrote holds; undefined for any other file. */
export function readKitPage(html: string): { code: string; vaultId: string; headCode: string | undefined } | undefined {
  const list = /<ol class="groups">(.*?)<\/ol>/s.exec(html)?.[1];
  const vaultId = /<dd>([0-9a-f]{32})<\/dd>/.exec(html)?.[1];
  if (list === undefined || vaultId === undefined) return undefined;
  const code = groupsOf(list.replace(/<[^>]*>/g, ' ')).join('-');
  const headCode = /<dd>([0-9]+(?:-[A-Z2-7]{4}){4})<\/dd>/.exec(html)?.[1];
  return { code, vaultId, headCode };
}

/** The code holds the secret alone, not the address: whoever photographs it by chance has half of what is needed. */
function qrCode({ secret }: KitFacts): string {
  return renderSVG(groupsOf(secret).join(''), { border: 2, ecc: 'M' });
}

function groupItem(group: string): string {
  return `<li>${escapeHtml(group)}</li>`;
}

function rows(facts: KitFacts, texts: Texts, date: string): string {
  const pairs: [string, string][] = [
    [texts('kitPage.number'), facts.number],
    [texts('kitPage.vault'), facts.vaultId],
    [texts('kitPage.server'), facts.url],
  ];
  if (facts.headCode !== undefined) pairs.push([texts('kitPage.head', { date }), facts.headCode]);
  return pairs.map(([term, what]) => `<dt>${escapeHtml(term)}</dt><dd>${escapeHtml(what)}</dd>`).join('\n');
}

function steps({ url }: KitFacts, texts: Texts): string {
  const lines = [
    texts('kitPage.how-1'),
    texts('kitPage.how-2', { url }),
    texts('kitPage.how-3'),
    texts('kitPage.how-4'),
  ];
  return lines.map((line) => `<li>${escapeHtml(line)}</li>`).join('\n');
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #1a1d21; background: #fff; }
body { margin: 0; } main { max-width: 720px; margin: 0 auto; padding: 32px 24px; }
header { display: flex; justify-content: space-between; align-items: baseline; border-bottom: 2px solid #1f5fa8; }
h1 { font-size: 28px; margin: 0 0 8px; } h2 { font-size: 16px; margin: 0 0 8px; } .date { margin: 0; color: #555b63; }
.lead { font-size: 16px; margin: 20px 0; }
.key { display: flex; gap: 24px; align-items: center; border: 1px solid #c3c8cf; border-radius: 8px; padding: 20px; }
.qr svg { width: 180px; height: 180px; display: block; }
.groups { display: grid; grid-template-columns: repeat(4, auto); gap: 8px 20px; margin: 0; padding: 0; list-style: none; counter-reset: group; }
.groups li { font: 600 20px/1.2 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; counter-increment: group; }
.groups li::before { content: counter(group); font: 12px system-ui; color: #555b63; margin-right: 6px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 24px 0; }
dt { color: #555b63; } dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.how li { margin-bottom: 4px; overflow-wrap: anywhere; } footer { margin-top: 24px; border-top: 1px solid #c3c8cf; padding-top: 12px; color: #555b63; font-size: 14px; }
@media print { main { padding: 0; } .key { break-inside: avoid; } }
`;
