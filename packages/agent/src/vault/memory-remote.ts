import { randomBytes } from 'node:crypto';
import {
  asDeviceId,
  asServerId,
  asSnapshotId,
  chainHash,
  type DeviceId,
  type Entry,
  equal,
  firstReceiptKey,
  type Hash,
  type Header,
  type JournalRequest,
  type MandateRef,
  NO_HASH,
  nextReceiptKey,
  type PackId,
  packIdOf,
  parseHeal,
  parseRequest,
  proofMessage,
  publicKeyOf,
  type ReceiptKey,
  type ServerId,
  type SnapshotId,
  sign,
  verifyEntry,
  verifyProof,
  verifyReceipt,
} from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { frameOf, LOCAL_SUBSCRIPTION, requireNext, signReceipt } from './journal-rules.ts';
import { type Account, type Device, MissingPacks, type RawFrame, type Remote, type RemoteVault } from './remote.ts';

interface Stored {
  readonly request: JournalRequest;
  readonly receipt: Uint8Array;
  readonly chain: Hash;
}

/** What a test makes a server do wrong: each hook sees an honest answer and gives the one that is sent. */
export interface Mutations {
  getPack?: (id: PackId, honest: Uint8Array) => Uint8Array | undefined;
  putPack?: (id: PackId) => 'discard' | undefined;
  journal?: (frames: RawFrame[], after: number) => RawFrame[];
  record?: (id: SnapshotId, honest: Uint8Array | undefined) => Uint8Array | undefined;
  vault?: (honest: RemoteVault | undefined) => RemoteVault | undefined;
  append?: (act: () => { seq: number; receipt: Uint8Array }) => { seq: number; receipt: Uint8Array };
  heal?: (frames: Uint8Array) => 'ignore' | undefined;
  account?: (honest: Account) => Account;
}

/**
 * An honest Safe server in memory, with the journal's rules and real receipts: the contract of the Remote seam in the
 * smallest form. For tests; `mutations` turns it into a hostile one.
 */
export class MemoryServer {
  readonly serverId: ServerId = asServerId(new Uint8Array(randomBytes(16)));
  readonly packs = new Map<PackId, Uint8Array>();
  readonly seen = new Set<MandateRef>();
  readonly mutations: Mutations = {};
  /** Calls by name, for tests that count traffic. */
  readonly calls: string[] = [];
  journal: Stored[] = [];
  share = new Uint8Array(0);
  clock: () => number;
  receiptKeys: ReceiptKey[];
  readonly #seeds: Uint8Array[];
  readonly #devices = new Map<DeviceId, { name: string; state: 'pending' | 'active' }>();
  readonly #challenge = new Uint8Array(randomBytes(32));

  constructor(clock: () => number = Date.now) {
    this.clock = clock;
    const seed = new Uint8Array(randomBytes(32));
    this.#seeds = [seed];
    this.receiptKeys = [firstReceiptKey(publicKeyOf(seed))];
  }

  /** A new device of the subscriber; pending when a vault exists. */
  enrol(name = 'device'): DeviceId {
    const deviceId = asDeviceId(new Uint8Array(randomBytes(16)));
    this.#devices.set(deviceId, { name, state: this.journal.length === 0 ? 'active' : 'pending' });
    return deviceId;
  }

  remote(deviceId: DeviceId): Remote {
    return new MemoryRemote(this, deviceId);
  }

  /** Signs from now on with a new receipt key that the last one endorses. */
  rotateReceiptKey(): void {
    const seed = new Uint8Array(randomBytes(32));
    const previous = this.receiptKeys.at(-1) as ReceiptKey;
    const signer = this.#seeds.at(-1) as Uint8Array;
    this.receiptKeys.push(
      nextReceiptKey(this.serverId, previous, publicKeyOf(seed), (message) => sign(signer, 'receipt-key', message)),
    );
    this.#seeds.push(seed);
  }

  get #tip(): Hash {
    return this.journal.at(-1)?.chain ?? NO_HASH;
  }

  get header(): Header | undefined {
    const last = this.journal.findLast(({ request }) => request.attached.type === 'header')?.request.attached;
    return last?.type === 'header' ? last.header : undefined;
  }

  vault(): RemoteVault | undefined {
    const { header, share } = this;
    if (header === undefined) return undefined;
    return {
      vaultId: header.vaultId,
      header: header.bytes,
      share,
      challenge: this.#challenge,
      head: this.journal.length,
    };
  }

  account(deviceId: DeviceId): Account {
    const used = [...this.packs.values()].reduce((sum, pack) => sum + pack.length, 0);
    return {
      number: '100001',
      serverId: this.serverId,
      deviceId,
      deviceState: this.#devices.get(deviceId)?.state ?? 'pending',
      receiptKeys: this.receiptKeys,
      serverTime: this.clock(),
      subscription: LOCAL_SUBSCRIPTION,
      quota: { bytes: 50e9, usedBytes: used },
      retentionDays: 30,
      vault: this.journal.length === 0 ? 'none' : 'exists',
      head: this.journal.length,
    };
  }

  devices(asking: DeviceId): Device[] {
    return [...this.#devices].map(([deviceId, device]) => {
      return { deviceId, ...device, createdAt: 0, lastSeenAt: null, current: deviceId === asking };
    });
  }

  prove(deviceId: DeviceId, signature: Uint8Array): void {
    const { header } = this;
    const device = this.#devices.get(deviceId);
    if (header === undefined || device === undefined) throw new AgentError('not-found', 'no vault');
    verifyProof(header.publicKey, proofMessage(header.vaultId, deviceId, this.#challenge), signature);
    device.state = 'active';
  }

  requireActive(deviceId: DeviceId): void {
    if (this.#devices.get(deviceId)?.state !== 'active')
      throw new AgentError('unreachable', '403 pending', { key: 'error.refused' });
  }

  putPack(id: PackId, body: Uint8Array): 'stored' | 'existed' {
    if (packIdOf(body) !== id) throw new AgentError('unreachable', '422 hash-mismatch', { key: 'error.refused' });
    if (this.packs.has(id)) return 'existed';
    this.packs.set(id, body.slice());
    return 'stored';
  }

  /** The journal's rules of SPEC 6, 8 and 15, in one step. */
  append(bytes: Uint8Array): { seq: number; receipt: Uint8Array } {
    const request = parseRequest(bytes.slice());
    const { entry } = request;
    const there = this.journal[entry.seq - 1];
    if (there !== undefined && equal(there.request.entry.bytes, entry.bytes))
      return { seq: entry.seq, receipt: there.receipt };
    requireNext(entry, this.journal.length, this.#tip);
    this.#checkKeys(request);
    const missing = request.packIds.filter((id) => !this.packs.has(id));
    if (missing.length > 0) throw new MissingPacks(missing);
    return { seq: entry.seq, receipt: this.#store(request, this.#receiptFor(request)) };
  }

  heal(bytes: Uint8Array): void {
    for (const { request, receipt } of parseHeal(bytes.slice())) {
      verifyReceipt(receipt, this.receiptKeys, this.serverId);
      const { entry } = request;
      if (entry.seq <= this.journal.length) continue;
      requireNext(entry, this.journal.length, this.#tip);
      this.#checkKeys(request);
      this.#store(request, receipt.encoded);
    }
  }

  frames(after: number): RawFrame[] {
    return this.journal.slice(after).map(({ request, receipt }) => frameOf(request, receipt));
  }

  record(id: SnapshotId): Uint8Array | undefined {
    const kept = this.journal.find(
      ({ request }) => request.entry.kind === 'snapshot-add' && asSnapshotId(request.entry.subject) === id,
    );
    return kept?.request.attachment;
  }

  /** As a restored database would be: everything after `seq` is gone. Packs stay. */
  rollBackTo(seq: number): void {
    this.journal = this.journal.slice(0, seq);
  }

  #checkKeys({ entry, attached }: JournalRequest): void {
    const current = this.header;
    if (current === undefined) {
      if (attached.type !== 'header') throw refused('no vault yet');
      verifyEntry(entry, attached.header.publicKey);
      return;
    }
    if (entry.vaultId !== current.vaultId) throw refused('another vault');
    if (entry.generation !== current.generation) throw refused('another generation');
    verifyEntry(entry, current.publicKey);
    if (attached.type === 'header' && attached.header.headerSeq !== current.headerSeq + 1) throw refused('headerSeq');
  }

  #receiptFor({ entry, packIds }: JournalRequest): Uint8Array {
    const bytes = packIds.reduce((sum, id) => sum + (this.packs.get(id)?.length ?? 0), 0);
    return this.signReceipt(entry, bytes);
  }

  /** A receipt of this server for any entry, also one that it does not hold (for hostile tests). */
  signReceipt(entry: Entry, bytes: number): Uint8Array {
    const { keyId } = this.receiptKeys.at(-1) as ReceiptKey;
    const seed = this.#seeds.at(-1) as Uint8Array;
    return signReceipt({ serverId: this.serverId, keyId, seed }, entry, bytes, this.clock());
  }

  #store(request: JournalRequest, receipt: Uint8Array): Uint8Array {
    this.journal.push({ request, receipt, chain: chainHash(request.entry.bytes, receipt) });
    if (request.share.length > 0) this.share = request.share.slice();
    return receipt;
  }
}

function refused(why: string): AgentError {
  return new AgentError('unreachable', `refused: ${why}`, { key: 'error.refused', params: { reason: why } });
}

/** One device's connection to a MemoryServer, through its mutations. */
class MemoryRemote implements Remote {
  readonly #server: MemoryServer;
  readonly #deviceId: DeviceId;

  constructor(server: MemoryServer, deviceId: DeviceId) {
    this.#server = server;
    this.#deviceId = deviceId;
  }

  async #enter(call: string, active = true): Promise<Mutations> {
    this.#server.calls.push(call);
    // every call takes a turn of the event loop, so that concurrent agents really interleave
    await new Promise((resolve) => setImmediate(resolve));
    if (active) this.#server.requireActive(this.#deviceId);
    return this.#server.mutations;
  }

  async account(): Promise<Account> {
    const { account } = await this.#enter('account', false);
    const honest = this.#server.account(this.#deviceId);
    return account === undefined ? honest : account(honest);
  }

  async seen(refs: readonly MandateRef[]): Promise<void> {
    await this.#enter('seen');
    for (const ref of refs) this.#server.seen.add(ref);
  }

  async vault(): Promise<RemoteVault | undefined> {
    const { vault } = await this.#enter('vault', false);
    const honest = this.#server.vault();
    return vault === undefined ? honest : vault(honest);
  }

  async prove(signature: Uint8Array): Promise<void> {
    await this.#enter('prove', false);
    this.#server.prove(this.#deviceId, signature);
  }

  async putPack(id: PackId, body: Uint8Array): Promise<'stored' | 'existed'> {
    const { putPack } = await this.#enter('putPack');
    if (putPack?.(id) === 'discard') return 'stored';
    return this.#server.putPack(id, body);
  }

  async getPack(id: PackId, into: (length: number) => Uint8Array): Promise<Uint8Array> {
    const { getPack } = await this.#enter('getPack');
    const stored = this.#server.packs.get(id);
    const sent = stored === undefined || getPack === undefined ? stored : getPack(id, stored.slice());
    if (sent === undefined) throw new AgentError('not-found', `no pack ${id}`);
    const target = into(sent.length);
    target.set(sent);
    return target;
  }

  async hasPack(id: PackId): Promise<boolean> {
    await this.#enter('hasPack');
    return this.#server.packs.has(id);
  }

  async keepPacks(ids: readonly PackId[]): Promise<PackId[]> {
    await this.#enter('keepPacks');
    return ids.filter((id) => !this.#server.packs.has(id));
  }

  async append(request: Uint8Array): Promise<{ seq: number; receipt: Uint8Array }> {
    const { append } = await this.#enter('append', this.#server.journal.length > 0);
    const act = (): { seq: number; receipt: Uint8Array } => this.#server.append(request);
    return append === undefined ? act() : append(act);
  }

  async *journal(after: number): AsyncIterable<RawFrame> {
    const { journal } = await this.#enter('journal');
    const honest = this.#server.frames(after);
    yield* journal === undefined ? honest : journal(honest, after);
  }

  async record(id: SnapshotId): Promise<Uint8Array> {
    const { record } = await this.#enter('record');
    const honest = this.#server.record(id);
    const sent = record === undefined ? honest : record(id, honest);
    if (sent === undefined) throw new AgentError('not-found', `no record ${id}`);
    return sent.slice();
  }

  async heal(frames: Uint8Array): Promise<void> {
    const { heal } = await this.#enter('heal');
    if (heal?.(frames) !== 'ignore') this.#server.heal(frames);
  }

  async devices(): Promise<Device[]> {
    await this.#enter('devices');
    return this.#server.devices(this.#deviceId);
  }
}
