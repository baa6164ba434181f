import { PROBLEMS, type ProblemCode } from '@cresus-safe/protocol/http';

/**
 * What a program needs to react: `expiresOn`, `head`, `missingPacks`, … (`problemFacts` of the protocol). They are
 * members of the problem document beside `code`, so they hold no secret, no path, no SQL. `retryAfter` (whole seconds)
 * also becomes the header `Retry-After`.
 */
export type ErrorFacts = Readonly<Record<string, unknown>> & { readonly retryAfter?: number; readonly detail?: string };

/**
 * The one error class of the server, with a code of the protocol's one table of problems (`protocol/src/http/problems.ts`;
 * add rows there): thrown anywhere below a route, rendered as problem+json in
 * `http/problem.ts`.
 */
export class ServerError extends Error {
  readonly code: ProblemCode;
  readonly status: number;
  readonly facts: ErrorFacts;

  constructor(code: ProblemCode, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(facts.detail ?? PROBLEMS[code].title, options);
    this.name = 'ServerError';
    this.code = code;
    this.status = PROBLEMS[code].status;
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
