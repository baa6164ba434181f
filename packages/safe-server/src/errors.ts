/**
 * Every refusal of the server, with its HTTP status and the title that humans read. `code` is the contract: agents and
 * scripts branch on it, so a code is never renamed. One table, so that no route invents a status of its own.
 */
export const ERRORS = {
  'bad-request': { status: 400, title: 'The request is malformed' },
  'bad-json': { status: 400, title: 'The body is not acceptable JSON' },
  'invalid-field': { status: 400, title: 'A field is unknown, missing or has an unacceptable value' },
  'bad-entry': { status: 400, title: 'The journal entry is not acceptable' },
  'bad-format': { status: 400, title: 'The binary body is not well formed' },
  unauthorized: { status: 401, title: 'A valid device token is required' },
  'subscription-expired': { status: 402, title: 'The subscription does not allow sending' },
  suspended: { status: 402, title: 'The subscription is suspended' },
  forbidden: { status: 403, title: 'This device does not have the right to do this' },
  pending: { status: 403, title: 'This device has not yet proved that it knows the vault key' },
  'elevation-required': { status: 403, title: 'This needs a fresh elevation' },
  'bad-signature': { status: 403, title: 'The signature of the vault key is missing or wrong' },
  'not-found': { status: 404, title: 'There is nothing here' },
  'vault-none': { status: 404, title: 'No vault exists yet' },
  'code-refused': { status: 404, title: 'This enrolment code is not valid' },
  'method-not-allowed': { status: 405, title: 'This method is not allowed here' },
  timeout: { status: 408, title: 'The request arrived too slowly' },
  conflict: { status: 409, title: 'The request conflicts with what is stored' },
  'stale-head': { status: 409, title: 'The journal has moved on' },
  'missing-packs': { status: 409, title: 'Some packs are not stored' },
  'vault-exists': { status: 409, title: 'A vault exists already' },
  'pack-differs': { status: 409, title: 'Other bytes are stored under this id' },
  gone: { status: 410, title: 'This was removed' },
  closed: { status: 410, title: 'The vault is closed' },
  'length-required': { status: 411, title: 'A Content-Length is required' },
  'too-large': { status: 413, title: 'The body is too large' },
  'uri-too-long': { status: 414, title: 'The address is too long' },
  'unsupported-media-type': { status: 415, title: 'The content type, charset or encoding is not supported' },
  'bad-range': { status: 416, title: 'The range cannot be served' },
  'expectation-failed': { status: 417, title: 'The expectation cannot be met' },
  'hash-mismatch': { status: 422, title: 'The bytes do not have the declared hash' },
  'hold-too-far': { status: 422, title: 'The hold lies too far ahead' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'headers-too-large': { status: 431, title: 'The headers are too large or too many' },
  internal: { status: 500, title: 'The server failed' },
  'stored-damaged': { status: 502, title: 'What is stored does not match its hash' },
  busy: { status: 503, title: 'The server is busy' },
  draining: { status: 503, title: 'The server is shutting down' },
  'read-only': { status: 503, title: 'The server is read-only until its database is rebuilt' },
  'storage-full': { status: 503, title: 'The server has no storage left' },
  quota: { status: 507, title: 'The quota is used up' },
} as const;

/** A code of the table above. */
export type ErrorCode = keyof typeof ERRORS;

/**
 * What a program needs to react: `expiresOn`, `head`, `missingPacks`, … They are members of the problem document beside
 * `code`, so they hold no secret, no path, no SQL. `retryAfter` (whole seconds) also becomes the header `Retry-After`.
 */
export type ErrorFacts = Readonly<Record<string, unknown>> & { readonly retryAfter?: number; readonly detail?: string };

/** The one error class of the server: thrown anywhere below a route, rendered as problem+json in `http/problem.ts`. */
export class ServerError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(facts.detail ?? ERRORS[code].title, options);
    this.name = 'ServerError';
    this.code = code;
    this.status = ERRORS[code].status;
    this.facts = facts;
  }
}

/**
 * What an operator did wrong at the command line or in the configuration: `exitCode` 2 is usage, 1 anything else,
 * 14 something named was not found. `key` and `params` are a text of `lang/`.
 */
export class OperatorError extends Error {
  readonly key: string;
  readonly params: Readonly<Record<string, string>>;
  readonly exitCode: number;

  constructor(key: string, params: Readonly<Record<string, string>> = {}, exitCode = 2, options?: ErrorOptions) {
    super(`${key} ${JSON.stringify(params)}`, options);
    this.name = 'OperatorError';
    this.key = key;
    this.params = params;
    this.exitCode = exitCode;
  }
}
