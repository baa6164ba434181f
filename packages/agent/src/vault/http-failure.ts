import type { IncomingHttpHeaders } from 'node:http';
import { AgentError } from '../errors.ts';

/** Status and headers of an answer. */
export interface AnswerHead {
  readonly status: number;
  header(name: string): string | undefined;
}

/** The head of an answer as node gives it; a header that came more than once is joined. */
export function headOf(status: number, headers: IncomingHttpHeaders): AnswerHead {
  const header: AnswerHead['header'] = (name) => {
    const value = headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };
  return { status, header };
}

/** An answer beyond the cap of its kind: no honest server gives one. */
export function tooLong(limit: number): AgentError {
  return new AgentError('integrity', `the answer is longer than ${limit} bytes`, { key: 'error.bad-answer' });
}

/** A failure of the connection itself: trying again may help. `connected` tells whether the server was ever reached. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
  readonly code: string;
  readonly connected: boolean;
  constructor(code: string, connected: boolean, message: string) {
    super(message);
    this.code = code;
    this.connected = connected;
  }
}

/** Ctrl-C, as an error. */
export function interrupted(): AgentError {
  return new AgentError('interrupted', 'interrupted');
}

const TLS_CODE = /^(CERT_|ERR_TLS|ERR_SSL|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|EPROTO|INVALID_CA)/;

/** What an error of a socket means: typed, or ConnectionLost when trying again may help. */
export function classified(error: unknown, connected: boolean): unknown {
  if (error instanceof AgentError || error instanceof ConnectionLost) return error;
  const { code = 'UNKNOWN', message = String(error) } = error as NodeJS.ErrnoException;
  if (TLS_CODE.test(code)) return new AgentError('tls', `TLS: ${code}`, { details: { reason: code } });
  // header overflow, junk after the body, a wrong length: an answer that no honest server gives
  if (code.startsWith('HPE_'))
    return new AgentError('integrity', `malformed answer: ${code}`, { key: 'error.bad-answer' });
  // message and code only: the error object of a request may carry its headers
  return new ConnectionLost(code, connected, message);
}
