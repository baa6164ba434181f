/** What went wrong, as a caller must tell it apart; the message names the defect. */
export type ProtocolErrorKind =
  | 'format'
  | 'version'
  | 'integrity'
  | 'wrong-secret'
  | 'wrong-kit'
  | 'wrong-share'
  | 'kdf-limit'
  | 'kdf-downgrade'
  | 'short-secret'
  | 'bad-secret'
  | 'signature'
  | 'limit';

export interface ProtocolErrorOptions {
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The only error that this package throws on hostile or damaged input. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly kind: ProtocolErrorKind;
  readonly hint: string | undefined;

  constructor(kind: ProtocolErrorKind, message: string, options: ProtocolErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.kind = kind;
    this.hint = options.hint;
  }
}
