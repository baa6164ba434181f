import { randomBytes } from 'node:crypto';
import {
  asHash,
  asMandateId,
  CatalogWriter,
  CONTENT_CLASS,
  chainHash,
  chunkParams,
  concat,
  createHeader,
  cutChunks,
  type DeviceId,
  type EntryFields,
  type EntryKind,
  type Extent,
  encodeEntry,
  encodeRequest,
  type Hash,
  type MandateKeys,
  NO_HASH,
  NO_MANDATE,
  normaliseSecret,
  type PackId,
  type PackRef,
  PackSealer,
  packListHash,
  pathOf,
  proofMessage,
  type SnapshotId,
  sealRecord,
  sealSummary,
  sha256,
  snapshotIdOf,
  toHex,
  VaultKeys,
} from '@cresus-safe/protocol';

/** The weakest derivation that readers accept: tests make many vaults. */
const KDF = { m: 65_536, t: 3, p: 1 };
const SECRET = normaliseSecret('un secret bien long');

/** An answer, its body read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  /** The body when it is JSON, else empty. */
  readonly json: Readonly<Record<string, unknown>>;
  /** `code` of a problem. */
  readonly code: unknown;
}

export interface SealedPack {
  readonly packId: PackId;
  readonly packRef: PackRef;
  readonly bytes: Uint8Array;
  /** Plain, and the number of its segment, the last. */
  readonly catalog: Uint8Array;
  readonly catalogSegment: number;
  /** Where the catalog lies, when it does not fill that one segment. */
  readonly catalogExtents?: readonly Extent[];
}

/** A journal request that has not been sent. */
export interface Prepared {
  readonly entry: Uint8Array;
  readonly bytes: Uint8Array;
}

export interface RequestOptions {
  readonly packIds?: readonly PackId[];
  readonly attachment?: Uint8Array;
  readonly share?: Uint8Array;
  readonly summary?: Uint8Array;
  /** Replaces what an honest client would write. */
  readonly fields?: Partial<EntryFields>;
  /** Signs with another key. */
  readonly keys?: VaultKeys;
}

/** What both computers of one vault share. */
interface VaultSide {
  keys: VaultKeys;
  share: Uint8Array;
  mandate: MandateKeys;
}

/** An agent without a computer: speaks the protocol, seals real packs and records, keeps nothing on disk. */
export class ProtocolClient {
  readonly url: string;
  readonly token: string;
  readonly deviceId: DeviceId;
  head: { seq: number; hash: Hash } = { seq: 0, hash: NO_HASH };
  #vault: VaultSide | undefined;

  constructor(url: string, { token, deviceId }: { token: string; deviceId: DeviceId }) {
    this.url = url;
    this.token = token;
    this.deviceId = deviceId;
  }

  /** Enrols with a single-use code. Throws unless the server says 201. */
  static async enrol(url: string, code: string, name = 'poste'): Promise<ProtocolClient> {
    const answer = await ask(`${url}${pathOf('devices')}`, { method: 'POST', body: { code, name } });
    if (answer.status !== 201) throw new Error(`enrol: ${answer.status} ${answer.bytes}`);
    return new ProtocolClient(url, answer.json as { token: string; deviceId: DeviceId });
  }

  /** Enrols and makes the vault. */
  static async withVault(url: string, code: string, name?: string): Promise<ProtocolClient> {
    const client = await ProtocolClient.enrol(url, code, name);
    await client.createVault();
    return client;
  }

  get keys(): VaultKeys {
    return this.vault.keys;
  }

  get mandate(): MandateKeys {
    return this.vault.mandate;
  }

  get vault(): Readonly<VaultSide> {
    if (this.#vault === undefined) throw new Error('this client has no vault');
    return this.#vault;
  }

  /** Calls the server with this device's token; `headers` replace what goes by itself, an empty value leaves it out. */
  call(
    method: string,
    path: string,
    body?: Uint8Array | object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    return ask(`${this.url}${path}`, { method, body, headers: { authorization: `Bearer ${this.token}`, ...headers } });
  }

  async account<T = Readonly<Record<string, never>>>(): Promise<T> {
    const answer = await this.call('GET', pathOf('account'));
    if (answer.status !== 200) throw new Error(`account: ${answer.status} ${answer.bytes}`);
    return answer.json as T;
  }

  /** Bytes and objects that the server counts for this vault. */
  async used(): Promise<{ usedBytes: number; usedObjects: number }> {
    const { quota } = await this.account<{ quota: { usedBytes: number; usedObjects: number } }>();
    return { usedBytes: quota.usedBytes, usedObjects: quota.usedObjects };
  }

  /** The request that creates a new vault, whose keys this client then holds. */
  async prepareVault(): Promise<Prepared> {
    const keys = VaultKeys.create();
    const share = new Uint8Array(randomBytes(32));
    const mandate = keys.mandate(asMandateId(randomBytes(16).toString('hex')));
    this.#vault = { keys, share, mandate };
    const attachment = await createHeader(keys, { secret: SECRET, share, headerSeq: 1, kdf: KDF });
    return this.request('vault-create', { attachment, share });
  }

  async createVault(): Promise<void> {
    const answer = await this.append(await this.prepareVault());
    if (answer.status !== 201) throw new Error(`vault-create: ${answer.status} ${answer.bytes}`);
  }

  /** Takes part in the vault of `other`, as a second computer that was told the secret: proves it to the server. @returns its first answer that is not 200, or the last */
  async join(other: ProtocolClient): Promise<Answer> {
    this.#vault = other.vault;
    this.head = other.head;
    const shown = await this.call('GET', pathOf('vault'));
    if (shown.status !== 200) return shown;
    const { json } = shown;
    const challenge = Buffer.from(String(json['challenge']), 'base64');
    const message = proofMessage(this.keys.vaultId, this.deviceId, challenge);
    const signature = Buffer.from(this.keys.sign('proof', message)).toString('base64');
    return this.call('POST', pathOf('proof'), { signature });
  }

  /** A pack that holds `content` (a kilobyte of noise) as one document, and the catalog of a mandate with that one file. */
  seal(content: Uint8Array = randomBytes(1024)): SealedPack {
    const { mandate, keys } = this.vault;
    const sealer = new PackSealer(mandate, keys.generation);
    const extents = slices(content, 2 * 1024 * 1024).map((part) => ({
      packRef: sealer.packRef,
      segment: sealer.add(CONTENT_CLASS.document, part, cutChunks(part, mandate.gear, chunkParams(content.length))),
      offset: 0,
      length: part.length,
    }));
    const writer = new CatalogWriter();
    const facts = { path: 'livre.cre', mtime: 0, mode: 0o600, size: content.length, sha256: asHash(sha256(content)) };
    const begun = writer.push({ type: 'file', ...facts, extents }) ?? new Uint8Array();
    const catalog = concat(begun, writer.finish());
    const catalogSegment = sealer.add(CONTENT_CLASS.catalog, catalog, [catalog.length]);
    return { ...sealer.finish(), catalog, catalogSegment };
  }

  put(pack: SealedPack, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.call('PUT', pathOf('pack', { packId: pack.packId }), pack.bytes, headers);
  }

  /** The bytes of an entry with what belongs to it, on top of this client's head. */
  request(kind: EntryKind, options: RequestOptions = {}): Prepared {
    const { attachment = new Uint8Array(), share = new Uint8Array(), packIds = [], keys = this.keys } = options;
    const fields: EntryFields = {
      kind,
      generation: this.keys.generation,
      vaultId: this.keys.vaultId,
      seq: this.head.seq + 1,
      previous: this.head.hash,
      deviceId: this.deviceId,
      mandateRef: NO_MANDATE,
      holdUntil: 0,
      subject: asHash(sha256(attachment)),
      packListHash: packListHash(packIds),
      summary: options.summary ?? new Uint8Array(),
      ...options.fields,
    };
    const entry = encodeEntry(fields, (message) => keys.sign('entry', message));
    return { entry, bytes: encodeRequest({ entry, packIds, attachment, share }) };
  }

  /** A snapshot of the mandate with the file that `pack` holds. */
  snapshot(
    pack: SealedPack,
    { fields, keys }: Pick<RequestOptions, 'fields' | 'keys'> = {},
  ): Prepared & { readonly id: SnapshotId } {
    const { mandate, keys: own } = this.vault;
    const common = { mandateId: mandate.mandateId, mandateName: 'Dupont SA', comment: '', files: 1, createdAt: 0 };
    const { packId, packRef, catalog, catalogSegment: segment } = pack;
    const record = sealRecord(mandate, own.generation, {
      ...common,
      vaultId: own.vaultId,
      generation: own.generation,
      finishedAt: 0,
      deviceId: this.deviceId,
      deviceName: 'poste',
      agentVersion: '0',
      folders: 0,
      links: 0,
      bytes: 0,
      newBytes: 0,
      modules: [],
      problems: [],
      packs: [{ packRef, packId }],
      catalog: {
        sha256: asHash(sha256(catalog)),
        length: catalog.length,
        extents: pack.catalogExtents ?? [{ packRef, segment, offset: 0, length: catalog.length }],
      },
    });
    const summary = sealSummary(own, {
      ...common,
      kind: 'snapshot-add',
      mandateRef: mandate.ref,
      bytes: 0,
      incomplete: false,
    });
    const prepared = this.request('snapshot-add', {
      packIds: [packId],
      attachment: record,
      summary,
      fields: { mandateRef: mandate.ref, ...fields },
      ...(keys && { keys }),
    });
    return { ...prepared, id: snapshotIdOf(record) };
  }

  /** `snapshot-forget`, `snapshot-unforget` or `year-closed` of a snapshot. */
  about(kind: 'snapshot-forget' | 'snapshot-unforget' | 'year-closed', id: SnapshotId, holdUntil = 0): Prepared {
    return this.request(kind, { fields: { subject: asHash(id), mandateRef: this.mandate.ref, holdUntil } });
  }

  /** Posts a request; when it was taken, now or before, its entry is this client's head. */
  async append(request: Prepared): Promise<Answer> {
    const answer = await this.call('POST', pathOf('journal'), request.bytes);
    if (answer.status !== 201 && answer.status !== 200) return answer;
    const receipt = Buffer.from(String(answer.json['receipt']), 'base64');
    this.head = { seq: Number(answer.json['seq']), hash: chainHash(request.entry, receipt) };
    return answer;
  }

  /** Seals, uploads and commits one snapshot. Throws unless everything is new and taken. */
  async send(content?: Uint8Array): Promise<{ pack: SealedPack; id: SnapshotId; prepared: Prepared }> {
    const pack = this.seal(content);
    const put = await this.put(pack);
    if (put.status !== 201) throw new Error(`put: ${put.status} ${put.bytes}`);
    const prepared = this.snapshot(pack);
    const answer = await this.append(prepared);
    if (answer.status !== 201) throw new Error(`append: ${answer.status} ${answer.bytes}`);
    return { pack, id: prepared.id, prepared };
  }
}

/** One request with `fetch`. A body of bytes is binary, any other object JSON. */
export async function ask(
  url: string,
  {
    method = 'GET',
    body,
    headers = {},
  }: { method?: string; body?: Uint8Array | object | undefined; headers?: Readonly<Record<string, string>> } = {},
): Promise<Answer> {
  const isBinary = body instanceof Uint8Array;
  const type = body && { 'content-type': isBinary ? 'application/octet-stream' : 'application/json' };
  const all = Object.entries({ ...type, ...headers }).filter(([, value]) => value !== '');
  const response = await fetch(url, {
    method,
    headers: all.map(([name, value]): [string, string] => [name, value]),
    redirect: 'manual',
    ...(body && { body: isBinary ? Buffer.from(body) : JSON.stringify(body) }),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const isJson = (response.headers.get('content-type') ?? '').includes('json') && bytes.length > 0;
  const json = isJson ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : {};
  return { status: response.status, headers: response.headers, bytes, json, code: json['code'] };
}

/** A well-formed id that belongs to nobody. */
export function randomId(digits: 32 | 64): string {
  return toHex(randomBytes(digits / 2));
}

function slices(bytes: Uint8Array, length: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / length);
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * length, (index + 1) * length));
}
