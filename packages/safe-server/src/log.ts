import pino, { type Logger } from 'pino';

/**
 * Fields that never reach a log, wherever they stand (TN-47). Bodies are not logged at all; this guards what slips in
 * with an object that somebody logs whole.
 */
const SECRET = [
  'authorization',
  'cookie',
  'token',
  'code',
  'enrolmentCode',
  'secret',
  'share',
  'password',
  'signature',
];

/** Where log lines go. */
export interface LogOptions {
  readonly level: string;
  /** A file to append to; undefined: standard error. */
  readonly file?: string | undefined;
}

/** A structured logger: one JSON object a line, so a line break in a name cannot forge a line (TN-46). */
export function createLog({ level, file }: LogOptions, destination?: pino.DestinationStream): Logger {
  const target = destination ?? pino.destination({ dest: file ?? 2, sync: false, mkdir: false });
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: SECRET.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]),
        censor: '[redacted]',
      },
      serializers: { err: errorFacts },
    },
    target,
  );
}

/**
 * What of an error is logged: never its enumerable members, since drivers put the statement's parameters and HTTP
 * clients the headers there.
 */
function errorFacts(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' && { errorCode: code }),
    stack: error.stack,
    ...(error.cause !== undefined && { cause: errorFacts(error.cause) }),
  };
}
