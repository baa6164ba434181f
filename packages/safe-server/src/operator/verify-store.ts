import { stat } from 'node:fs/promises';
import { type Bucket, openBucket } from '../blobs/open-bucket.ts';
import { type CheckReport, type StoreReport, verifyStore as verify } from '../blobs/verify-store.ts';
import type { Config } from '../config.ts';
import { OperatorError } from '../errors.ts';
import { print, type Terminal, table } from './terminal.ts';

const WIDTH = 100;

/**
 * `verify-store`: tries out whether the store of `--blobs` is fit for backups. Opens neither database nor key ring.
 *
 * @throws OperatorError `store.unreachable`, `verify-store.no-folder`; `verify-store.failed` (exit 1, after the report)
 *   when something needed is missing; `verify-store.interrupted`
 */
export async function verifyStore({ blobs: address }: Config, terminal: Terminal): Promise<void> {
  const store = typeof address === 'string' ? `file:${address}` : `s3://${address.bucket}/${address.prefix}`;
  const bucket = await open(address);
  let report: StoreReport;
  try {
    report = await interruptible((signal) => verify(bucket.blobs, signal));
  } finally {
    bucket.close();
  }
  const document = {
    store,
    ...report,
    checks: report.checks.map((check) => ({ ...check, meaning: terminal.t(`verify-store.meaning.${check.name}`) })),
  };
  print(terminal, document, () => lines(store, report, terminal));
  const failed = report.checks.filter((check) => check.need === 'needed' && check.result === 'failed');
  if (!report.ok) throw new StoreUnfit(failed.map(({ name }) => name));
}

/** Something needed is missing: the report said what, so only the exit code is left to tell. */
export class StoreUnfit extends OperatorError {
  constructor(names: readonly string[]) {
    super('verify-store.failed', { checks: names.join(', ') }, 1);
  }
}

/** A folder that is not there may be a mistyped one, so it is not made. */
async function open(address: Config['blobs']): Promise<Bucket> {
  if (typeof address !== 'string') return await openBucket(address);
  const isFolder = await stat(address).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new OperatorError('verify-store.no-folder', { folder: address }, 14);
  return await openBucket(address).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError('verify-store.folder', { folder: address, reason }, 1, { cause });
  });
}

/** Ctrl-C ends it after the check that runs, with everything cleaned up. */
async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const stop = () => abort.abort(new OperatorError('verify-store.interrupted', {}, 1));
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.once(signal, stop);
  try {
    return await work(abort.signal);
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}

function lines(store: string, { checks, latencyMs, leftBehind, ok }: StoreReport, { t, language }: Terminal): string[] {
  const head = [t('verify-store.column.check'), t('verify-store.column.need'), t('verify-store.column.result')];
  const rows = checks.map(({ name, need, result }) => [
    t(`verify-store.check.${name}`),
    t(`verify-store.${need}`),
    t(result === 'failed' ? 'verify-store.failed-check' : `verify-store.${result}`),
  ]);
  const ms = (value: number) => (language === 'en' ? String(value) : String(value).replace('.', ','));
  return [
    ...wrap(t('verify-store.title', { store })),
    ...table(head, rows, 0),
    ...checks.filter(({ result }) => result === 'failed').flatMap((check) => explain(check, { t })),
    ...(latencyMs === undefined
      ? []
      : [
          t('verify-store.latency', {
            put: ms(latencyMs.put),
            get: ms(latencyMs.get),
            stat: ms(latencyMs.stat),
            delete: ms(latencyMs.delete),
          }),
        ]),
    ...(leftBehind > 0 ? wrap(t('verify-store.left-behind', { count: String(leftBehind) })) : []),
    ...(ok ? [t('verify-store.ok')] : []),
  ];
}

function explain({ name, detail = '' }: CheckReport, { t }: Pick<Terminal, 't'>): string[] {
  return wrap(`${t(`verify-store.check.${name}`)} — ${t(`verify-store.meaning.${name}`)} (${detail})`);
}

/** Breaks a sentence between words. */
function wrap(sentence: string): string[] {
  const broken: string[] = [];
  let line = '';
  for (const word of sentence.split(' ')) {
    if (line !== '' && [...line].length + 1 + [...word].length > WIDTH) {
      broken.push(line);
      line = `  ${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...broken, line];
}
