import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { Logger } from 'pino';
import { type EntityManager, IsNull, Not } from 'typeorm';
import { MetaEntity } from './accounts/entities.ts';
import { Audit } from './audit/audit.ts';
import { shareKey } from './blobs/keys.ts';
import { type Bucket, openBucket } from './blobs/open-bucket.ts';
import type { BlobStore } from './blobs/store.ts';
import type { Config } from './config.ts';
import { SCHEMA } from './db/entities.ts';
import { Db } from './db/unit-of-work.ts';
import type { Deps } from './deps.ts';
import { OperatorError, ServerError } from './errors.ts';
import { REBUILDING } from './jobs/rebuild-marks.ts';
import { readHeartbeat } from './keyring/heartbeat.ts';
import { KeyRing } from './keyring/ring.ts';
import { createRingFile, readRing } from './keyring/ring-file.ts';
import { HeaderEntity } from './vaults/entities.ts';

/** Names of the facts in the table `meta`. */
const SERVER_ID = 'server.id';
const KEYS_CONFIRMED = 'keys.confirmed';

/** Everything a command works with. */
export interface System {
  readonly deps: Deps;
  readonly bucket: Bucket;
  /** Whether the key ring was made just now. */
  readonly ringIsNew: boolean;
  close(): Promise<void>;
}

/** How to open: only `serve` may start on an empty folder, so that a mistyped `--data-dir` never makes a second Safe. */
export interface OpenOptions {
  readonly log: Logger;
  readonly create: boolean;
  /** For `rebuild`: an empty or unfinished database over a bucket is what it is for. */
  readonly rebuild?: boolean;
}

/**
 * Opens key ring, database and bucket, and refuses whatever does not belong together: stored data without its key ring,
 * a ring that cannot open what is stored, an empty database over a bucket that is not (TN-50, R-03, F-35).
 *
 * @throws OperatorError `keys.*`, `store.*`
 */
export async function openSystem(config: Config, { log, create, rebuild = false }: OpenOptions): Promise<System> {
  const random = (n: number) => new Uint8Array(randomBytes(n));
  const found = await readRing(config.keysFile, random);
  if (found === undefined) await refuseWithoutRing(config, create);
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const bucket = await openBucket(config.blobs);
  const { blobs: store, room } = bucket;
  const db = await Db.open(config.database, SCHEMA).catch((error: unknown) => {
    bucket.close();
    throw error;
  });
  let ring: KeyRing;
  try {
    ring = found ?? (await ringFor(db, config, random));
    if (rebuild) await refuseForeignRing(db, store, ring); // before anything is written
    await claim(db, store, ring, rebuild);
    await refuseForeignRing(db, store, ring);
  } catch (error) {
    await db.close();
    bucket.close();
    throw error;
  }
  const clock = () => db.clock();
  const audit = new Audit(db, clock);
  const deps: Deps = { db, blobs: store, ...(room && { room }), ring, clock, random, log, config, audit };
  const close = async () => {
    await db.close();
    bucket.close();
  };
  return { deps, bucket, ringIsNew: found === undefined, close };
}

async function refuseWithoutRing(config: Config, create: boolean): Promise<void> {
  const { database, blobs } = config;
  const hasFile = typeof database === 'string' && existsSync(database);
  const hasBucket = typeof blobs !== 'string' || existsSync(blobs);
  const stored = hasFile || (hasBucket && !(await isEmpty(config)));
  if (stored) throw new OperatorError('keys.missing', { file: config.keysFile }, 1);
  if (!create) throw new OperatorError('store.missing', { dir: config.dataDir }, 14);
}

async function isEmpty(config: Config): Promise<boolean> {
  const bucket = await openBucket(config.blobs);
  try {
    return await isEmptyBucket(bucket.blobs);
  } finally {
    bucket.close();
  }
}

async function isEmptyBucket(blobs: BlobStore): Promise<boolean> {
  for (const prefix of ['meta/', 'a/', 'v/']) {
    const keys = blobs.list(prefix)[Symbol.asyncIterator]();
    const { done } = await keys.next();
    await keys.return?.();
    if (!done) return false;
  }
  return true;
}

/** A new ring for a new database. One that has a server already must not be given another. */
async function ringFor(db: Db, config: Config, random: (n: number) => Uint8Array): Promise<KeyRing> {
  const known = await db.read((manager) => meta(manager, SERVER_ID));
  if (known === undefined) return await makeRing(config, random);
  const ring = await readRing(config.keysFile, random); // made by a server that started in the same moment
  if (ring === undefined) throw new OperatorError('keys.missing', { file: config.keysFile }, 1);
  return ring;
}

/** A second server that starts in the same moment may have been faster: then its ring is the ring. */
async function makeRing(config: Config, random: (n: number) => Uint8Array): Promise<KeyRing> {
  try {
    await createRingFile(config.keysFile, KeyRing.create(random, Date.now()));
  } catch (error) {
    if (!(error instanceof OperatorError) || error.key !== 'keys.exists') throw error;
  }
  const ring = await readRing(config.keysFile, random);
  if (ring === undefined) throw new OperatorError('keys.missing', { file: config.keysFile }, 1);
  return ring;
}

/** Writes the server id into a new database; one that has another belongs to another ring. */
async function claim(db: Db, blobs: BlobStore, ring: KeyRing, rebuild: boolean): Promise<void> {
  if (!rebuild && (await isSet(db, REBUILDING))) throw new OperatorError('store.rebuilding', {}, 1);
  const known = await db.read((manager) => meta(manager, SERVER_ID));
  if (known === undefined && !rebuild && !(await isEmptyBucket(blobs))) throw new OperatorError('store.behind', {}, 1);
  const serverId = known ?? (await db.write((manager) => setOnce(manager, SERVER_ID, ring.serverId)));
  if (serverId !== ring.serverId) throw new OperatorError('keys.other', {}, 1);
}

async function refuseForeignRing(db: Db, blobs: BlobStore, ring: KeyRing): Promise<void> {
  const beat = await readHeartbeat(blobs, ring);
  const ids = new Set(ring.keyIds());
  if (beat?.keyIds.some((id) => !ids.has(id))) throw new OperatorError('keys.incomplete', {}, 1);
  const header = await db.read((manager) =>
    manager.findOne(HeaderEntity, { where: { vaultId: Not(IsNull()) }, order: { vaultId: 'ASC', headerSeq: 'DESC' } }),
  );
  if (header === null) return;
  try {
    ring.open(shareKey(header.vaultId, header.headerSeq), header.sealedShare);
  } catch (cause) {
    if (cause instanceof ServerError) throw new OperatorError('keys.cannot-open', {}, 1, { cause });
    throw cause;
  }
}

async function meta(manager: EntityManager, name: string): Promise<string | undefined> {
  return (await manager.findOneBy(MetaEntity, { name }))?.value;
}

/** Sets a fact unless it is set, and returns what it then is: of two that set it at once, both get the same answer. */
export async function setOnce(manager: EntityManager, name: string, value: string): Promise<string> {
  await manager.createQueryBuilder().insert().into(MetaEntity).values({ name, value }).orIgnore().execute();
  return (await meta(manager, name)) ?? value;
}

/** Whether a fact is noted in the database. */
export async function isSet(db: Db, name: string): Promise<boolean> {
  return (await db.read((manager) => meta(manager, name))) !== undefined;
}

/** Whether `keys verify` has seen a copy of exactly this ring elsewhere. */
export async function isRingConfirmed({ db, ring }: Pick<Deps, 'db' | 'ring'>): Promise<boolean> {
  return (await db.read((manager) => meta(manager, KEYS_CONFIRMED))) === ring.fingerprint();
}

/** Notes that a copy of this ring was seen elsewhere. */
export async function confirmRing(manager: EntityManager, ring: KeyRing): Promise<void> {
  await manager.upsert(MetaEntity, { name: KEYS_CONFIRMED, value: ring.fingerprint() }, ['name']);
}
