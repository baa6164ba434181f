import { AgentError, type AgentErrorKind } from '../errors.ts';
import { type Shape, shape } from '../local/shape.ts';
import type { Answer } from './http-client.ts';
import { Busy } from './retry.ts';

/** An RFC 9457 answer after parsing: nothing of it is trusted beyond its shape. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly facts: Shape;
}

const KINDS: Readonly<Record<string, AgentErrorKind>> = {
  unauthorized: 'device-revoked',
  'subscription-expired': 'subscription-expired',
  suspended: 'suspended',
  'code-refused': 'code-refused',
  'elevation-required': 'elevation-required',
  'storage-full': 'storage-full',
  quota: 'quota',
  'not-found': 'not-found',
  // it lost or damaged what it stored: waiting does not help, and the other packs of a restore may be right
  'stored-damaged': 'integrity',
};

const STATUS_KINDS: Readonly<Record<number, AgentErrorKind>> = {
  401: 'device-revoked',
  402: 'subscription-expired',
  404: 'not-found',
  410: 'not-found',
  507: 'quota',
};

const TRANSIENT = new Set([408, 429, 500, 502, 503, 504]);
const TITLE_CHARACTERS = 200;

/** Text of a server made harmless for a terminal: no control or escape characters, bounded length (MS-41). */
export function harmless(text: string, limit = TITLE_CHARACTERS): string {
  // Cc, Cf (bidirectional overrides) and line separators could repaint what the user reads
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ')
    .trim()
    .slice(0, limit);
}

/** The problem document of an answer; whatever else a proxy or portal sent counts as one without a code. */
export function problemOf(answer: Answer): Problem {
  const empty = { status: answer.status, code: '', title: '', facts: shape({}) };
  if (mediaType(answer) !== 'application/problem+json') return empty;
  try {
    const facts = shape(parseJson(answer.body));
    const code = facts.optionalText('code') ?? '';
    return {
      ...empty,
      code: /^[a-z-]{1,64}$/.test(code) ? code : '',
      title: harmless(facts.optionalText('title') ?? ''),
      facts,
    };
  } catch {
    return empty; // a malformed problem says no more than its status
  }
}

/** What an answer that is no success means: a typed error, or Busy when trying again may help. */
export function failureOf(answer: Answer): Error {
  const problem = problemOf(answer);
  const kind = KINDS[problem.code] ?? STATUS_KINDS[answer.status];
  if (kind === undefined && TRANSIENT.has(answer.status)) return new Busy(retryAfter(answer), describe(problem));
  if (answer.status >= 300 && answer.status < 400)
    return new AgentError('unreachable', `redirected (${answer.status})`, { key: 'error.redirected' });
  const details = { status: answer.status, ...(problem.code === '' ? {} : { code: problem.code }), ...dated(problem) };
  return new AgentError(kind ?? 'unreachable', describe(problem), {
    ...(kind === undefined ? { key: 'error.refused' } : {}),
    params: { reason: describe(problem), ...dated(problem) },
    details,
  });
}

/** JSON of a body that was capped before; @throws AgentError `unreachable` for anything else (a captive portal, F-38) */
export function jsonOf(answer: Answer): Shape {
  if (mediaType(answer) !== 'application/json') throw notASafe(`content type ${harmless(mediaType(answer), 60)}`);
  try {
    return shape(parseJson(answer.body));
  } catch (error) {
    throw notASafe(error instanceof Error ? harmless(error.message) : 'malformed');
  }
}

/** The body of a binary answer, its content type checked. */
export function binaryOf(answer: Answer): Uint8Array {
  requireBinary(answer);
  return new Uint8Array(answer.body.buffer, answer.body.byteOffset, answer.body.length);
}

/** @throws AgentError `unreachable` when an answer is not the binary that was asked for */
export function requireBinary(answer: { header(name: string): string | undefined }): void {
  if (mediaType(answer) !== 'application/octet-stream')
    throw notASafe(`content type ${harmless(mediaType(answer), 60)}`);
  if (answer.header('content-encoding') !== undefined) throw notASafe('content encoding');
}

/** An answer that no Safe server gives: another service, or a captive portal. */
export function notASafe(reason: string): AgentError {
  return new AgentError('unreachable', `not a Safe server: ${reason}`, { key: 'error.not-a-safe', params: { reason } });
}

function mediaType(answer: { header(name: string): string | undefined }): string {
  return (answer.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

function parseJson(body: Uint8Array): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
}

function describe(problem: Problem): string {
  return [String(problem.status), problem.code, problem.title].filter((part) => part !== '').join(' ');
}

function dated(problem: Problem): { date?: string } {
  const { facts } = problem;
  try {
    const date = facts.optionalText('expiresOn');
    return date !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(date) ? { date } : {};
  } catch {
    return {}; // a date of another type is no date
  }
}

function retryAfter(answer: Answer): number | undefined {
  const seconds = Number(answer.header('retry-after'));
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
}
