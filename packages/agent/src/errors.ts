import { ProtocolError } from '@cresus-safe/protocol';

/**
 * Every way a command can fail, and its exit code: the one table (contract for scripts, never renumber).
 * The keys are the `error.code` of the JSON output.
 */
export const EXIT_CODES = {
  unexpected: 1,
  usage: 2,
  'short-secret': 2,
  mismatch: 2,
  'nested-mandate': 2,
  'plain-http': 2,
  'wrong-secret': 4,
  'subscription-expired': 5,
  suspended: 5,
  quota: 6,
  'module-open': 7,
  'mandate-unstable': 7,
  'acceptance-missing': 8,
  unreachable: 9,
  tls: 9,
  'code-refused': 9,
  'device-revoked': 9,
  'elevation-required': 9,
  'storage-full': 9,
  integrity: 10,
  'wrong-server': 10,
  'wrong-share': 10,
  'vault-missing': 10,
  'kdf-downgrade': 10,
  'kdf-limit': 10,
  rollback: 11,
  fork: 12,
  omission: 13,
  'not-found': 14,
  'path-missing': 14,
  'disk-full': 15,
  'read-only': 15,
  permission: 15,
  'another-run': 16,
  interrupted: 130,
} as const;

export type AgentErrorKind = keyof typeof EXIT_CODES;

/** Exit code of a run that did its work while some files could not be read or had to be renamed. */
export const EXIT_PARTIAL = 3;

export interface AgentErrorOptions {
  /** Key of the localised message; default `error.<kind>`. */
  readonly key?: string;
  /** Values for the localised message and its hint. Never secrets. */
  readonly params?: Readonly<Record<string, string | number>>;
  /** Key of the localised way out; default `hint.<kind>` where the locale has one. */
  readonly hint?: string;
  /** Facts a script can use; goes into `error.details` of the JSON output. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The agent's one error class. `message` is English and technical; people see the text behind `key` and `hint`. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly kind: AgentErrorKind;
  readonly key: string;
  readonly params: Readonly<Record<string, string | number>>;
  readonly hint: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(kind: AgentErrorKind, message: string, options: AgentErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.kind = kind;
    this.key = options.key ?? `error.${kind}`;
    this.params = options.params ?? {};
    this.hint = options.hint ?? `hint.${kind}`;
    this.details = options.details ?? {};
  }

  get exitCode(): number {
    return EXIT_CODES[this.kind];
  }
}

const PROTOCOL_KINDS: Readonly<Record<string, AgentErrorKind>> = {
  'wrong-secret': 'wrong-secret',
  'wrong-kit': 'wrong-secret',
  'wrong-share': 'wrong-share',
  'kdf-limit': 'kdf-limit',
  'kdf-downgrade': 'kdf-downgrade',
  'short-secret': 'short-secret',
  'bad-secret': 'usage',
};

const SYSTEM_KINDS: Readonly<Record<string, AgentErrorKind>> = {
  ENOSPC: 'disk-full',
  EDQUOT: 'disk-full',
  EROFS: 'read-only',
  EACCES: 'permission',
  EPERM: 'permission',
  ECONNREFUSED: 'unreachable',
  ECONNRESET: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  ETIMEDOUT: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EPIPE: 'unreachable',
};

/**
 * The AgentError for anything thrown: protocol errors by their kind (what is malformed, badly signed or does not
 * open is `integrity`), system errors by their code, the rest `unexpected`.
 */
export function toAgentError(error: unknown): AgentError {
  if (error instanceof AgentError) return error;
  if (error instanceof ProtocolError) {
    const kind = PROTOCOL_KINDS[error.kind] ?? 'integrity';
    const key = error.kind === 'integrity' || kind === 'integrity' ? 'error.integrity' : `error.${error.kind}`;
    return new AgentError(kind, error.message, { key, details: { defect: error.kind }, cause: error });
  }
  if (error instanceof Error) {
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    const kind = SYSTEM_KINDS[code] ?? 'unexpected';
    return new AgentError(kind, error.message, { params: { reason: error.message }, cause: error });
  }
  return new AgentError('unexpected', String(error), { params: { reason: String(error) } });
}
