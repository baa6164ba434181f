import { readdirSync } from 'node:fs';
import { MAX_NAME_BYTES } from '@cresus-safe/protocol';

const REPLACEMENT = '\ufffd';
const SURROGATE = /[\ud800-\udfff]/;

/** The names in a folder in catalog order (by bytes). */
export interface Listing {
  readonly names: readonly string[];
  /** Replacement names of what the catalog cannot name, with the reason code. */
  readonly refused: ReadonlyMap<string, string>;
}

const NONE: ReadonlyMap<string, string> = new Map();

/**
 * Lists a folder. Names are kept as they are (no Unicode normalisation). A name that is not UTF-8 or is longer than 255
 * bytes gets a replacement that no other name there has: it can only be listed as a problem.
 */
export function listNames(folder: string): Listing {
  const names = readdirSync(folder);
  // for speed as text first; as bytes only where that shows that some name may not be text
  if (names.some(isSuspect)) return listBytes(folder);
  if (names.some((name) => SURROGATE.test(name))) return { names: names.sort(byBytes), refused: NONE };
  return { names: names.sort(), refused: NONE };
}

function isSuspect(name: string): boolean {
  return name.includes(REPLACEMENT) || !name.isWellFormed() || name.length * 3 > MAX_NAME_BYTES;
}

/** UTF-16 order is byte order except where surrogates meet the code points above them. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function listBytes(folder: string): Listing {
  const raw = readdirSync(folder, { encoding: 'buffer' }).sort(Buffer.compare);
  const names = new Set<string>();
  const odd: { text: string; reason: string }[] = [];
  for (const bytes of raw) {
    const text = bytes.toString('utf8');
    if (Buffer.compare(Buffer.from(text), bytes) !== 0) odd.push({ text: text.toWellFormed(), reason: 'invalid-name' });
    else if (bytes.length > MAX_NAME_BYTES) odd.push({ text, reason: 'path-too-long' });
    else names.add(text);
  }
  const refused = new Map<string, string>();
  for (const { text, reason } of odd) refused.set(replacementFor(text, names), reason);
  return { names: [...names].sort(byBytes), refused };
}

function replacementFor(text: string, names: Set<string>): string {
  const fits = Buffer.byteLength(text) <= MAX_NAME_BYTES;
  const base = fits ? text : `${[...text].slice(0, 40).join('')}…`;
  let name = base;
  for (let n = 2; names.has(name); n++) name = `${base}~${n}`;
  names.add(name);
  return name;
}
