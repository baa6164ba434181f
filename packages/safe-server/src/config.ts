import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { S3Address } from './blobs/open-bucket.ts';
import { parseS3Place } from './blobs/s3-place.ts';
import type { DatabaseAddress } from './db/unit-of-work.ts';
import { OperatorError } from './errors.ts';
import type { Address } from './http/listen.ts';

const positive = z.coerce.number().int().positive();
const LISTEN = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):(\d{1,5})$/;

/** Every setting, with its default; flags, `SAFE_*` variables and the file use the same names. */
const ConfigSchema = z.strictObject({
  dataDir: z.string().min(1).default('./safe-data'),
  /** HOST:PORT; port 0 takes a free one. */
  listen: z.string().regex(LISTEN, 'HOST:PORT').refine(isPort, 'HOST:PORT').default('127.0.0.1:8787'),
  /** [HOST:]PORT of `/metrics`, loopback unless a host is given; not set: nowhere. */
  metricsListen: z.coerce
    .string()
    .transform(withHost)
    .pipe(z.string().regex(LISTEN, '[HOST:]PORT').refine(isPort, '[HOST:]PORT'))
    .optional(),
  keys: z.string().min(1).optional(),
  database: z.string().min(1).optional(),
  /** A file with the password of PostgreSQL, where the URL has none. */
  databasePasswordFile: z.string().min(1).optional(),
  /** Connections to PostgreSQL that this process may hold. */
  databaseConnections: positive.max(1000).default(20),
  blobs: z.string().min(1).optional(),
  /** Files with the two halves of the key to an S3 store, where the environment has none. */
  s3AccessKeyFile: z.string().min(1).optional(),
  s3SecretFile: z.string().min(1).optional(),
  logFile: z.string().min(1).optional(),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('info'),
  /** How many proxies in front append to X-Forwarded-For; a number, since "trust all" lets anybody choose an address (TN-25). */
  trustProxy: z.coerce.number().int().min(0).max(10).default(0),
  graceDays: z.coerce.number().int().min(0).max(365).default(14),
  readOnlyMonths: z.coerce.number().int().min(0).max(120).default(12),
  noticeDays: z.coerce.number().int().min(90).max(3650).default(90),
  codeDays: positive.max(365).default(7),
  drainSeconds: z.coerce.number().int().min(0).max(3600).default(30),
  /** Seconds within which a request's headers must arrive. */
  headerSeconds: positive.max(120).default(15),
  /** A transfer slower than `minBytesPerSecond` over so many seconds is given up. */
  stallSeconds: positive.max(600).default(30),
  minBytesPerSecond: positive.max(100_000).default(1024),
  deviceTransfers: positive.max(1000).default(32),
  processTransfers: positive.max(100_000).default(256),
  /** Journal entries that a vault may append within any hour (TN-31). */
  entriesPerHour: positive.max(1_000_000).default(1000),
  /** After so many minutes the sweeper looks at what became of an upload; 17 MiB at 56 kbit/s take 43. */
  pendingMinutes: positive.max(10_080).default(120),
  /** Days within which a daily run reads and hashes everything stored. */
  scrubDays: positive.max(3650).default(30),
  /** How fast that run reads, so that requests notice nothing. */
  scrubMibPerSecond: positive.max(100_000).default(16),
  /** MiB of the disk that no upload may use, so that journal, database and with them restores go on (F-47). */
  reserveMib: z.coerce.number().int().min(0).max(1_048_576).default(256),
});
type Settings = z.infer<typeof ConfigSchema>;
type SettingName = keyof Settings;

/** The validated, frozen configuration of a process. */
export interface Config {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  /** Where `/metrics` is served; undefined: nowhere. */
  readonly metrics: Address | undefined;
  /** The key ring file, outside `dataDir`. */
  readonly keysFile: string;
  /** The SQLite file, or the PostgreSQL server. */
  readonly database: DatabaseAddress;
  /** The folder of the blob store, or a bucket. */
  readonly blobs: string | S3Address;
  readonly logFile: string | undefined;
  readonly logLevel: string;
  readonly trustProxy: number;
  readonly durations: { readonly graceDays: number; readonly readOnlyMonths: number; readonly noticeDays: number };
  readonly codeDays: number;
  readonly drainSeconds: number;
  readonly headerSeconds: number;
  readonly pace: { readonly windowSeconds: number; readonly minBytesPerSecond: number };
  readonly transfers: { readonly perDevice: number; readonly perProcess: number };
  readonly scrub: { readonly days: number; readonly bytesPerSecond: number };
  readonly vaults: { readonly entriesPerHour: number; readonly pendingMs: number; readonly reserveBytes: number };
}

/** Names of all settings, for the command line. */
export const SETTINGS = Object.keys(ConfigSchema.shape) as SettingName[];

/**
 * Reads the configuration once: flags, then `SAFE_*`, then the JSON file of `--config`, then the defaults.
 *
 * @throws OperatorError `config.*` naming the setting, never its value
 */
export async function loadConfig(
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Config> {
  const file = flags['config'] ?? env['SAFE_CONFIG'];
  const fromFile = typeof file === 'string' ? await readConfigFile(file) : {};
  const merged: Record<string, unknown> = { ...fromFile };
  for (const name of SETTINGS) {
    const value = flags[name] ?? env[envName(name)];
    if (value !== undefined) merged[name] = value;
  }
  const parsed = ConfigSchema.safeParse(merged);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0] ?? { path: [], message: '' };
    throw new OperatorError('config.invalid', { setting: path.join('.') || '--config', reason: message });
  }
  return freeze(parsed.data);
}

/** `dataDir` → `SAFE_DATA_DIR`. */
export function envName(setting: string): string {
  return `SAFE_${setting.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

async function readConfigFile(file: string): Promise<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof content === 'object' && content !== null && !Array.isArray(content))
      return content as Record<string, unknown>;
    throw new TypeError('not an object');
  } catch (cause) {
    throw new OperatorError('config.file', { file }, 2, { cause });
  }
}

/** A port alone means this machine. */
function withHost(listen: string): string {
  return /^\d+$/.test(listen) ? `127.0.0.1:${listen}` : listen;
}

function isPort(listen: string): boolean {
  return Number(LISTEN.exec(listen)?.[2]) <= 65_535;
}

function addressOf(listen: string): Address {
  const [, host = '', port = ''] = LISTEN.exec(listen) ?? [];
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

function freeze(settings: Settings): Config {
  const dataDir = resolve(settings.dataDir);
  const keysFile = resolve(settings.keys ?? `${dataDir}.keys.json`);
  // whoever copies or loses the data folder must not copy or lose the keys to it in the same go
  if (keysFile.startsWith(`${dataDir}/`) || keysFile.startsWith(`${dataDir}\\`))
    throw new OperatorError('config.keys-inside', { file: keysFile });
  return Object.freeze({
    dataDir,
    ...addressOf(settings.listen),
    metrics: settings.metricsListen === undefined ? undefined : Object.freeze(addressOf(settings.metricsListen)),
    keysFile,
    database: databaseOf(settings, resolve(dataDir, 'safe.sqlite')),
    blobs: blobsOf(settings, resolve(dataDir, 'blobs')),
    logFile: settings.logFile,
    logLevel: settings.logLevel,
    trustProxy: settings.trustProxy,
    durations: Object.freeze({
      graceDays: settings.graceDays,
      readOnlyMonths: settings.readOnlyMonths,
      noticeDays: settings.noticeDays,
    }),
    codeDays: settings.codeDays,
    drainSeconds: settings.drainSeconds,
    headerSeconds: settings.headerSeconds,
    pace: Object.freeze({ windowSeconds: settings.stallSeconds, minBytesPerSecond: settings.minBytesPerSecond }),
    transfers: Object.freeze({ perDevice: settings.deviceTransfers, perProcess: settings.processTransfers }),
    scrub: Object.freeze({ days: settings.scrubDays, bytesPerSecond: settings.scrubMibPerSecond * 1024 * 1024 }),
    vaults: Object.freeze({
      entriesPerHour: settings.entriesPerHour,
      pendingMs: settings.pendingMinutes * 60_000,
      reserveBytes: settings.reserveMib * 1024 * 1024,
    }),
  });
}

/** `sqlite:FILE` or `postgres://USER@HOST/DATABASE`. */
function databaseOf(
  { database, databasePasswordFile, databaseConnections }: Settings,
  fallback: string,
): DatabaseAddress {
  if (database === undefined || !/^postgres(ql)?:/.test(database))
    return place(database, 'sqlite:', 'database', fallback, 'sqlite:…, postgres://…');
  const url = URL.canParse(database) ? new URL(database) : undefined;
  if (url === undefined || url.hostname === '' || url.pathname.length < 2)
    throw new OperatorError('config.store', { setting: 'database', supported: 'postgres://USER@HOST/DATABASE' });
  const password =
    databasePasswordFile === undefined ? decodeURIComponent(url.password) : secretIn(databasePasswordFile);
  url.password = '';
  return Object.freeze({ url: url.href, password: password || undefined, connections: databaseConnections });
}

/** `file:DIR` or `s3://BUCKET/PREFIX?endpoint=…&region=…`. */
function blobsOf({ blobs, s3AccessKeyFile, s3SecretFile }: Settings, fallback: string): string | S3Address {
  const supported = 'file:DIR, s3://BUCKET/PREFIX?endpoint=…&region=…';
  if (!blobs?.startsWith('s3:')) return place(blobs, 'file:', 'blobs', fallback, supported);
  const found = parseS3Place(blobs);
  if (found === undefined) throw new OperatorError('config.store', { setting: 'blobs', supported });
  if ((s3AccessKeyFile === undefined) !== (s3SecretFile === undefined))
    throw new OperatorError('config.store', { setting: 's3SecretFile', supported: 's3AccessKeyFile + s3SecretFile' });
  const credentials =
    s3AccessKeyFile === undefined || s3SecretFile === undefined
      ? undefined
      : Object.freeze({ accessKeyId: secretIn(s3AccessKeyFile), secretAccessKey: secretIn(s3SecretFile) });
  return Object.freeze({ ...found, credentials });
}

/** A secret that lies in a file, without the line's end. @throws OperatorError `config.file` */
function secretIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    throw new OperatorError('config.file', { file }, 2, { cause });
  }
}

/** `sqlite:FILE` or `file:DIR`; anything else is a store that this version does not have. */
function place(
  url: string | undefined,
  scheme: string,
  setting: string,
  fallback: string,
  supported = `${scheme}…`,
): string {
  if (url === undefined) return fallback;
  if (!url.startsWith(scheme) || url.length === scheme.length || url.startsWith(`${scheme}//`))
    throw new OperatorError('config.store', { setting, supported });
  return resolve(url.slice(scheme.length));
}

/** The configuration as `config show` prints it. Secrets appear only as `[set]`. */
export function showConfig(config: Config): Record<string, unknown> {
  const { database, blobs } = config;
  const bucket = typeof blobs === 'string' ? blobs : { ...blobs, credentials: blobs.credentials && '[set]' };
  const masked = typeof database === 'string' ? database : { ...database, password: database.password && '[set]' };
  return {
    ...config,
    database: masked,
    blobs: bucket,
    logFile: config.logFile ?? null,
    metrics: config.metrics ?? null,
  };
}
