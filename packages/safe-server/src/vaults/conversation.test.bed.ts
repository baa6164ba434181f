import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  asDeviceId,
  asHash,
  asMandateRef,
  asPackId,
  asShareId,
  asVaultId,
  chainHash,
  type EntryFields,
  type EntryKind,
  encodeEntry,
  encodeHeader,
  encodeRequest,
  type Hash,
  type HeaderFields,
  NO_HASH,
  NO_MANDATE,
  PACK_GRANULE_BYTES,
  packListHash,
  proofMessage,
  publicKeyOf,
  SUMMARY_BYTES,
  shareIdOf,
  sign,
} from '@cresus-safe/protocol/public';
import express from 'express';
import { pino } from 'pino';
import { deviceOfToken, hashToken, onVaultCreated } from '../accounts/devices.ts';
import { DeviceEntity, type Subscriber, SubscriberEntity } from '../accounts/entities.ts';
import { FolderStore } from '../blobs/folder-store.ts';
import { MemoryStore } from '../blobs/memory-store.ts';
import type { BlobStore } from '../blobs/store.ts';
import { testDatabase } from '../db/database.test.bed.ts';
import { SCHEMA } from '../db/entities.ts';
import { type DatabaseAddress, Db } from '../db/unit-of-work.ts';
import { mountRoutes } from '../http/dispatch.ts';
import { guard, notFound, onError, requestId, requestLog } from '../http/guard.ts';
import { createHttpServer } from '../http/server.ts';
import { TransferCaps } from '../http/transfers.ts';
import { KeyRing } from '../keyring/ring.ts';
import type { VaultDeps, VaultSubscription } from './deps.ts';
import { createVaultRoutes } from './routes.ts';

/** What a test may turn while the server runs. */
export interface Knobs {
  now: number;
  subscription: VaultSubscription;
}

/** A server of vaults on a free port, with everything of it in reach. */
export interface Bed {
  readonly url: string;
  readonly deps: VaultDeps;
  readonly knobs: Knobs;
  readonly blobs: BlobStore;
  readonly database: DatabaseAddress;
  /** Adds a subscriber with one active device. */
  subscriber(number: string): Promise<Client>;
  close(): Promise<void>;
}

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const ACTIVE: VaultSubscription = {
  state: 'active',
  expiresOn: '2027-12-31',
  maySend: true,
  mayRestore: true,
  quotaBytes: 64 * PACK_GRANULE_BYTES,
};

/**
 * Starts a server on a fresh database. `folder`: blobs lie in files instead of memory. `beside`: another server of that one's
 * service, which shares its database, store, ring and knobs; it is closed before that one.
 */
export async function startBed({
  folder = false,
  entriesPerHour = 1000,
  beside,
}: {
  folder?: boolean;
  entriesPerHour?: number;
  beside?: Bed;
} = {}): Promise<Bed> {
  const dir = await mkdtemp(join(tmpdir(), 'safe-vaults-'));
  const database = beside?.database ?? testDatabase(join(dir, 'safe.sqlite'));
  const db = await Db.open(database, SCHEMA);
  const disk = folder ? await FolderStore.open(join(dir, 'blobs')) : undefined;
  const blobs = beside?.blobs ?? disk ?? new MemoryStore();
  const knobs: Knobs = beside?.knobs ?? { now: Date.UTC(2026, 10, 24, 9), subscription: ACTIVE };
  const deps: VaultDeps = {
    db,
    blobs,
    ...(disk && { room: () => disk.room() }),
    ring: beside?.deps.ring ?? KeyRing.create(randomBytes, knobs.now),
    clock: () => knobs.now,
    random: randomBytes,
    limits: { entriesPerHour, pendingMs: 3600 * 1000, reserveBytes: 1024 ** 2 },
    subscriptionOf: async () => knobs.subscription,
    onVaultCreated,
  };
  const log = pino({ level: 'silent' });
  const app = express();
  app.use(requestId, requestLog(log), guard({ draining: false }));
  mountRoutes(app, createVaultRoutes(deps), {
    authenticate: (token) => deviceOfToken({ db, clock: deps.clock, log }, token),
    recordAccess: async () => undefined,
    transfers: new TransferCaps({ perDevice: 32, perProcess: 64 }),
    pace: { windowSeconds: 1, minBytesPerSecond: 1024 },
  });
  app.use(notFound, onError);
  const server = createHttpServer(app, { headerSeconds: 5 });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    deps,
    knobs,
    blobs,
    database,
    subscriber: async (number) => {
      await db.write((manager) => manager.insert(SubscriberEntity, subscriberRow(number)));
      const client = new Client(url, number);
      await addDevice(db, client, 'active');
      return client;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await db.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A subscriber in good standing. */
export function subscriberRow(number: string): Subscriber {
  return {
    number,
    name: 'Test SA',
    email: 'test@example.ch',
    language: 'fr',
    expiresOn: '2027-12-31',
    quotaBytes: 1e9,
    temporaryQuotaBytes: null,
    quotaUntil: null,
    suspended: false,
    noticeSentOn: null,
    createdAt: 0,
    version: 1,
    mirrored: 0,
  };
}

/** Adds a device row for a client's token. */
export async function addDevice(
  db: Db,
  client: Client,
  state: 'pending' | 'active',
  rights = 'read,append',
): Promise<void> {
  const row = { deviceId: client.deviceId, number: client.number, name: 'PC', tokenHash: hashToken(client.token) };
  const times = { createdAt: 0, lastSeenAt: Number.MAX_SAFE_INTEGER, revokedAt: null, version: 1, mirrored: 0 };
  await db.write((manager) => manager.insert(DeviceEntity, { ...row, state, rights, ...times }));
}

/** An answer, its body read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  readonly json: Record<string, unknown>;
}

/** A random pack of `granules` × 256 KiB, named by its hash. */
export function makePack(granules = 1): { id: string; bytes: Buffer<ArrayBuffer> } {
  const bytes = Buffer.from(randomBytes(granules * PACK_GRANULE_BYTES));
  return { id: sha256(bytes), bytes };
}

/** An agent reduced to what the server can see: it signs real entries with a real key, over opaque random contents. */
export class Client {
  url: string;
  readonly number: string;
  readonly deviceId = asDeviceId(randomBytes(16));
  readonly token = randomBytes(32).toString('base64url');
  vaultId = asVaultId(randomBytes(16));
  readonly mandateRef = asMandateRef(randomBytes(16));
  seed: Uint8Array = randomBytes(32);
  share: Uint8Array = randomBytes(32);
  header: HeaderFields | undefined;
  head: { seq: number; hash: Hash } = { seq: 0, hash: NO_HASH };

  constructor(url: string, number: string) {
    this.url = url;
    this.number = number;
  }

  /** Another computer of the same subscriber that knows the same vault. */
  sibling(): Client {
    const other = new Client(this.url, this.number);
    return Object.assign(other, {
      vaultId: this.vaultId,
      seed: this.seed,
      share: this.share,
      header: this.header,
      head: this.head,
      mandateRef: this.mandateRef,
    });
  }

  async call(method: string, path: string, body?: Uint8Array | object, headers: object = {}): Promise<Answer> {
    const binary = body instanceof Uint8Array;
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body && { 'content-type': binary ? 'application/octet-stream' : 'application/json' }),
        ...headers,
      },
      ...(body && { body: binary ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const isJson = (response.headers.get('content-type') ?? '').includes('json') && bytes.length > 0;
    const json = isJson ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : {};
    return { status: response.status, headers: response.headers, bytes, json };
  }

  async putPack(pack = makePack()): Promise<string> {
    const answer = await this.call('PUT', `/v1/packs/${pack.id}`, pack.bytes);
    if (answer.status !== 201) throw new Error(`PUT pack: ${answer.status}`);
    return pack.id;
  }

  /** A header of this vault as its next one. */
  nextHeader(over: Partial<HeaderFields> = {}, seed = this.seed): HeaderFields & { bytes: Uint8Array } {
    const slot = (type: 'secret' | 'kit', generation: number) => ({
      type,
      slotId: randomBytes(16),
      salt: randomBytes(32),
      kdf: { m: 262_144, t: 3, p: 4 },
      generation,
      commitment: randomBytes(32),
      sealed: randomBytes(48),
    });
    const generation = over.generation ?? this.header?.generation ?? 0;
    const fields: HeaderFields = {
      minReader: 1,
      minWriter: 1,
      vaultId: this.vaultId,
      generation,
      headerSeq: (this.header?.headerSeq ?? 0) + 1,
      publicKey: publicKeyOf(seed),
      shareId: asShareId(shareIdOf(this.vaultId, this.share)),
      secretSlot: slot('secret', generation),
      kitSlot: undefined,
      earlier: this.header?.earlier ?? [],
      ...over,
    };
    return { ...fields, bytes: encodeHeader(fields, (message) => sign(seed, 'header', message)) };
  }

  /** The bytes of a journal request on top of this client's head. */
  request(
    kind: EntryKind,
    parts: {
      packIds?: string[];
      attachment?: Uint8Array;
      share?: Uint8Array;
      fields?: Partial<EntryFields>;
      seed?: Uint8Array;
    } = {},
  ): { bytes: Uint8Array; entry: Uint8Array } {
    const { attachment = new Uint8Array(), share = new Uint8Array(), seed = this.seed } = parts;
    const packIds = (parts.packIds ?? []).map((id) => asPackId(id)).sort();
    const mandate = ['snapshot-add', 'snapshot-forget', 'snapshot-unforget', 'year-closed', 'pack-replaced'];
    const fields: EntryFields = {
      kind,
      generation: this.header?.generation ?? 0,
      vaultId: this.vaultId,
      seq: this.head.seq + 1,
      previous: this.head.hash,
      deviceId: this.deviceId,
      mandateRef: mandate.includes(kind) ? this.mandateRef : NO_MANDATE,
      holdUntil: 0,
      subject: asHash(sha256(attachment)),
      packListHash: packListHash(packIds),
      summary: kind === 'snapshot-add' ? randomBytes(SUMMARY_BYTES) : new Uint8Array(),
      ...parts.fields,
    };
    const entry = encodeEntry(fields, (message) => sign(seed, 'entry', message));
    return { entry, bytes: encodeRequest({ entry, packIds, attachment, share }) };
  }

  /** Sends a request; when it was taken, this client's head is that entry. */
  async append(request: { bytes: Uint8Array; entry: Uint8Array }): Promise<Answer> {
    const answer = await this.call('POST', '/v1/journal', request.bytes);
    if (answer.status !== 201) return answer;
    const receipt = Buffer.from(answer.json['receipt'] as string, 'base64');
    this.head = { seq: answer.json['seq'] as number, hash: chainHash(request.entry, receipt) };
    return answer;
  }

  /** The proof of SPEC 16 for a challenge. */
  proof(challenge: Uint8Array): Uint8Array {
    return sign(this.seed, 'proof', proofMessage(this.vaultId, this.deviceId, challenge));
  }

  async createVault(): Promise<Answer> {
    const header = this.nextHeader();
    const answer = await this.append(this.request('vault-create', { attachment: header.bytes, share: this.share }));
    if (answer.status === 201) this.header = header;
    return answer;
  }

  /** A snapshot over these packs; its id is in `id`. */
  snapshot(
    packIds: string[],
    record: Uint8Array = randomBytes(1132),
  ): { id: string; bytes: Uint8Array; entry: Uint8Array } {
    return { ...this.request('snapshot-add', { packIds, attachment: record }), id: sha256(record) };
  }
}
