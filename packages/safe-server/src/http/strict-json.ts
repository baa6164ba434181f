import { ServerError } from '../errors.ts';

const MAX_DEPTH = 32;
/** Names that reach prototypes when a careless merge copies them (TN-18). No message of ours has such a field. */
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Parses JSON that came from outside: an object or array at the top, at most 32 levels, no key twice in one object
 * (two parsers would see two different messages), no key that reaches a prototype.
 *
 * @throws ServerError `malformed-json`
 */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ServerError('malformed-json', { detail: 'The body is not JSON' }, { cause });
  }
  if (typeof value !== 'object' || value === null) throw refuse('The body must be a JSON object');
  scan(text);
  return value;
}

/** Walks the tokens of a text that JSON.parse accepted, so only strings, brackets and commas matter. */
function scan(text: string): void {
  const open: (Set<string> | undefined)[] = []; // the keys seen in each open object; undefined for an array
  let keyNext = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charAt(at)) {
      case '{':
      case '[':
        open.push(text[at] === '{' ? new Set() : undefined);
        if (open.length > MAX_DEPTH) throw refuse(`The body is nested deeper than ${MAX_DEPTH} levels`);
        keyNext = text[at] === '{';
        break;
      case '}':
      case ']':
        open.pop();
        keyNext = false;
        break;
      case ',':
        keyNext = open.at(-1) !== undefined;
        break;
      case '"': {
        const end = endOfString(text, at);
        if (keyNext) addKey(open.at(-1), JSON.parse(text.slice(at, end + 1)) as string);
        keyNext = false;
        at = end;
        break;
      }
      default: // a colon, white space or a piece of a number or literal
    }
  }
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

function addKey(keys: Set<string> | undefined, key: string): void {
  if (FORBIDDEN.has(key)) throw refuse('The body has a forbidden key');
  if (keys?.has(key)) throw refuse('The body has a key twice');
  keys?.add(key);
}

function refuse(detail: string): ServerError {
  return new ServerError('malformed-json', { detail });
}
