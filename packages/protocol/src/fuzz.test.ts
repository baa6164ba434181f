import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { concat } from './bytes/bytes.ts';
import { parseRecord } from './formats/record-plain.ts';
import { decodeKit } from './keys/kit.ts';
import { normaliseSecret } from './keys/secret.ts';
import { parseLiveSet } from './public/checkpoint.ts';
import { parseEntry } from './public/entry.ts';
import { parseFrame, parseHeal, parseHistory, parseRequest } from './public/frames.ts';
import { parseHeadCode } from './public/head-code.ts';
import { parseHeader } from './public/header.ts';
import { parseLostHistory } from './public/lost-history.ts';
import { parsePackIds } from './public/pack-list.ts';
import { parsePlan } from './public/plan.ts';
import { parseReceipt } from './public/receipt.ts';
import { parseReplacement } from './public/replacement.ts';

const onlyProtocolErrors = (run: () => unknown): void => {
  try {
    run();
  } catch (error) {
    expect((error as Error).name).toBe('ProtocolError');
  }
};

const codePoint = fc.integer({ min: 0, max: 0x10ffff }).map((point) => String.fromCodePoint(point));

// the magic and version let the bytes through to what lies behind them
test.each<[string, string, (bytes: Uint8Array) => unknown]>([
  ['header', 'CSVH', parseHeader],
  ['entry', 'CSJE', parseEntry],
  ['receipt', 'CSRC', parseReceipt],
  ['plan', 'CSPL', parsePlan],
  ['live set', 'CSLS', parseLiveSet],
  ['replacement', 'CSRP', parseReplacement],
  ['lost history', 'CSLH', parseLostHistory],
  ['request', '', parseRequest],
  ['frame', '', parseFrame],
  ['history', '', parseHistory],
  ['heal', '', parseHeal],
  ['pack ids', '', parsePackIds],
  ['record', '', parseRecord],
])('whatever bytes: %s is refused by a ProtocolError, or read', (_, magic, parse) => {
  const start = magic === '' ? new Uint8Array(0) : concat(new TextEncoder().encode(magic), Uint8Array.of(1));
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 600 }), fc.uint8Array({ maxLength: 600, max: 3 }));
  fc.assert(fc.property(bytes, (rest) => onlyProtocolErrors(() => parse(concat(start, rest)))));
});

test.each<[string, (text: string) => unknown]>([
  ['kit', decodeKit],
  ['head code', parseHeadCode],
  ['secret key', normaliseSecret],
])('whatever text: %s', (_, parse) => {
  const text = fc.oneof(
    fc.string({ unit: codePoint }),
    fc.string().map((tail) => `cskit1${tail}`),
    fc.string({ unit: fc.constantFrom('\ud800', '\0', 'a', '1', '-') }),
  );
  fc.assert(fc.property(text, (typed) => onlyProtocolErrors(() => parse(typed))));
});
