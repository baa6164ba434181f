import { z } from 'zod';
import { dateField, packIdField } from './fields.ts';
import { headField, SUBSCRIPTION_STATES } from './responses.ts';

interface ProblemKind {
  readonly status: number;
  /** English; programs go by the code, the agent has its own words in four languages. */
  readonly title: string;
}

/** Every `code` of a problem (RFC 9457), with the one HTTP status it comes with. */
export const PROBLEMS = {
  invalid: { status: 400, title: 'The request is not valid' },
  'malformed-json': { status: 400, title: 'The body is not valid JSON' },
  'bad-entry': { status: 400, title: 'The journal entry is not acceptable' },
  unauthorized: { status: 401, title: 'No valid device token' },
  'subscription-expired': { status: 402, title: 'The subscription does not allow this' },
  suspended: { status: 402, title: 'The subscription is suspended' },
  forbidden: { status: 403, title: 'The device has no right to do this' },
  pending: { status: 403, title: 'The device has not yet proved that it holds the vault key' },
  'bad-signature': { status: 403, title: 'The signature is not by the vault key' },
  'elevation-required': { status: 403, title: 'This needs a freshly mailed code' },
  'not-found': { status: 404, title: 'There is no such thing' },
  'vault-none': { status: 404, title: 'The subscriber has no vault yet' },
  'code-refused': { status: 404, title: 'The code is unknown, used or expired' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  timeout: { status: 408, title: 'The request came too slowly' },
  conflict: { status: 409, title: 'This does not fit what is stored' },
  'stale-head': { status: 409, title: 'The entry does not extend the head of the journal' },
  'seq-taken': { status: 409, title: 'Another entry has this sequence number' },
  'missing-packs': { status: 409, title: 'Listed packs are not stored' },
  'pack-differs': { status: 409, title: 'Another pack is being stored under this id' },
  'vault-exists': { status: 409, title: 'The subscriber already has a vault' },
  'pack-gone': { status: 410, title: 'The pack was deleted: seal it anew' },
  closed: { status: 410, title: 'The vault is closed' },
  'length-required': { status: 411, title: 'A Content-Length is needed' },
  'too-large': { status: 413, title: 'The body is too large' },
  'uri-too-long': { status: 414, title: 'The address is too long' },
  'unsupported-media-type': { status: 415, title: 'The content type is not the one expected' },
  'range-not-satisfiable': { status: 416, title: 'The range cannot be satisfied' },
  'expectation-failed': { status: 417, title: 'The expectation cannot be met' },
  'hash-mismatch': { status: 422, title: 'The bytes do not have the hash of their id' },
  'hold-too-far': { status: 422, title: 'The hold lies too far ahead' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  'header-too-large': { status: 431, title: 'The request headers are too large' },
  internal: { status: 500, title: 'The server failed' },
  'stored-damaged': { status: 502, title: 'What is stored does not match its hash' },
  'no-mailer': { status: 501, title: 'This server sends no mail: ask its operator for a code' },
  busy: { status: 503, title: 'The server is busy' },
  draining: { status: 503, title: 'The server is stopping' },
  'read-only': { status: 503, title: 'The server takes no writes at present' },
  'catching-up': { status: 503, title: 'The server is being brought up to what is stored' },
  'store-unavailable': { status: 503, title: 'The object store does not answer' },
  'storage-full': { status: 503, title: 'The server has no room left' },
  quota: { status: 507, title: 'The quota is used up' },
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof PROBLEMS;

export function problemType(code: ProblemCode): string {
  return `urn:cresus-safe:problem:${code}`;
}

/** What a program can do something with; which facts come with which code is in the descriptions. */
export const problemFacts = z.looseObject({
  detail: z.string().max(4000).optional(),
  requestId: z.string().max(200).optional(),
  head: headField.nullable().optional().meta({ description: 'stale-head, seq-taken' }),
  missingPacks: z.array(packIdField).optional().meta({ description: 'missing-packs' }),
  expiresOn: dateField.optional().meta({ description: 'subscription-expired, suspended' }),
  state: z.enum(SUBSCRIPTION_STATES).optional().meta({ description: 'subscription-expired, suspended, closed' }),
  retryAfter: z.int().min(0).optional().meta({ description: 'Seconds; also in the header Retry-After' }),
  limit: z.int().min(0).optional().meta({ description: 'too-large, quota: bytes' }),
  issues: z
    .array(z.looseObject({ path: z.string(), message: z.string() }))
    .optional()
    .meta({ description: 'invalid: what is wrong where' }),
});

/** A problem as an agent reads it; `code` stays a string, since a newer server may know more of them. */
export const problemResponse = problemFacts
  .extend({ type: z.string(), title: z.string(), status: z.int(), code: z.string() })
  .meta({ id: 'Problem', description: 'RFC 9457' });

export type ProblemFacts = z.input<typeof problemFacts>;
export type Problem = z.output<typeof problemResponse>;

/** The body of a problem. */
export function problemBody(code: ProblemCode, facts: ProblemFacts = {}): z.input<typeof problemResponse> {
  const { status, title } = PROBLEMS[code];
  return { ...facts, type: problemType(code), title, status, code };
}
