import type {
  DeviceId,
  MandateRef,
  PackId,
  RawHistoryFrame,
  ReceiptKey,
  ServerId,
  SnapshotId,
  VaultId,
} from '@cresus-safe/protocol';

/** The subscription as the server states it; it decides nothing here but what the user is told. */
export interface Subscription {
  readonly state: string;
  readonly expiresOn: string;
  readonly graceUntil: string;
  readonly readOnlyUntil: string;
  readonly maySend: boolean;
  readonly mayRestore: boolean;
}

/** What `GET /v1/account` tells, after validation. Dates are calendar dates `yyyy-mm-dd`, times ms since 1970. */
export interface Account {
  readonly number: string;
  readonly serverId: ServerId;
  readonly deviceId: DeviceId;
  readonly deviceState: string;
  readonly receiptKeys: readonly ReceiptKey[];
  readonly serverTime: number;
  readonly subscription: Subscription;
  readonly quota: { readonly bytes: number; readonly usedBytes: number };
  /** How long a forgotten snapshot can still be taken back, days. */
  readonly retentionDays: number;
  /** Packs, and snapshots, that the server says it lost; undefined where nobody says so. */
  readonly damagedPacks?: number;
  readonly damagedSnapshots?: number;
  readonly vault: 'none' | 'exists';
  /** Sequence number of the newest entry the server shows; 0 when there is none. */
  readonly head: number;
}

/** What enrolling with a code gives; the receipt keys are the ones to pin. */
export interface Enrolment {
  readonly deviceId: DeviceId;
  /** Secret: goes into a 0600 file, never into a log. */
  readonly token: string;
  readonly number: string;
  readonly serverId: ServerId;
  readonly receiptKeys: readonly ReceiptKey[];
  readonly subscription: Subscription;
  readonly vault: 'none' | 'exists';
}

/** The vault as the server shows it: header and share open it with the secret, the challenge proves the key. */
export interface RemoteVault {
  readonly vaultId: VaultId;
  readonly header: Uint8Array;
  readonly share: Uint8Array;
  readonly challenge: Uint8Array;
  readonly head: number;
}

export interface Device {
  readonly deviceId: DeviceId;
  readonly name: string;
  readonly state: string;
  readonly createdAt: number;
  /** The device that asks. */
  readonly current: boolean;
  readonly lastSeenAt: number | null;
}

/** What a server lost. */
export interface Damage {
  readonly packs: ReadonlySet<PackId>;
  readonly lostRecords: readonly number[];
}

/** One step of the history as the server lists it, not yet parsed nor verified. */
export type RawFrame = RawHistoryFrame;

/** The entry does not extend the server's head: sync, then sign it anew on top of that head. */
export class StaleHead extends Error {
  override readonly name = 'StaleHead';
  readonly head: number;
  constructor(head: number) {
    super(`the journal's head is ${head}`);
    this.head = head;
  }
}

/** The server does not hold these packs: seal what they held anew, then commit again. */
export class MissingPacks extends Error {
  override readonly name = 'MissingPacks';
  readonly ids: readonly PackId[];
  constructor(ids: readonly PackId[]) {
    super(`${ids.length} packs are not stored`);
    this.ids = ids;
  }
}

/**
 * What the agent needs from a server. Every answer is untrusted: an implementation bounds sizes and times and turns
 * refusals into AgentErrors, and whoever calls verifies what the bytes say.
 *
 * Guarantees: `putPack` and `append` may be called again with the same bytes and then report the first effect;
 * a promise that rejects says nothing about whether the server acted, except for StaleHead and MissingPacks (it did not).
 */
export interface Remote {
  account(): Promise<Account>;
  /** Tells that nothing changed in these mandates, which counts against silence. */
  seen(refs: readonly MandateRef[]): Promise<void>;
  /** `undefined`: the server says that this subscriber has no vault. */
  vault(): Promise<RemoteVault | undefined>;
  /** Makes a pending device active; `Sign(vault key, "proof", vaultId ‖ deviceId ‖ challenge)`. */
  prove(signature: Uint8Array): Promise<void>;
  putPack(id: PackId, body: Uint8Array, signal?: AbortSignal): Promise<'stored' | 'existed'>;
  /**
   * Fetches a pack whole into the buffer that `into` gives for its length (at most 17 MiB, a multiple of 256 KiB).
   * The bytes are NOT verified. A pack that is not there is an AgentError `not-found`.
   */
  getPack(id: PackId, into: (length: number) => Uint8Array, signal?: AbortSignal): Promise<Uint8Array>;
  hasPack(id: PackId): Promise<boolean>;
  /** Renews the grace of packs; the answer lists those that are not stored. */
  keepPacks(ids: readonly PackId[]): Promise<PackId[]>;
  /** What the server lost or found rotten and does not have anew: packs, and records by their seq. Only a server has it. */
  damage?(): Promise<Damage>;
  /** Appends one journal request. Throws StaleHead or MissingPacks when the server refused it for that reason. */
  append(request: Uint8Array): Promise<{ seq: number; receipt: Uint8Array }>;
  /** The history after `seq`, in order, page by page. */
  journal(after: number): AsyncIterable<RawFrame>;
  /** The sealed record of a snapshot; AgentError `not-found` when it is gone. */
  record(id: SnapshotId): Promise<Uint8Array>;
  /** Sends back entries that the server lost; heal frames joined. */
  heal(frames: Uint8Array): Promise<void>;
  devices(): Promise<Device[]>;
}
