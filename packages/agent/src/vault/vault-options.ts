import type {
  DeviceId,
  MandateRef,
  Receipt,
  ReceiptKey,
  ServerId,
  SnapshotId,
  Summary,
  VaultKeys,
} from '@cresus-safe/protocol';
import type { Warning } from './history-state.ts';
import type { Remote } from './remote.ts';

export interface VaultOptions {
  /** The vault's folder of the home. */
  readonly dir: string;
  readonly remote: Remote;
  readonly keys: VaultKeys;
  readonly deviceId: DeviceId;
  /** What `connect` pinned. */
  readonly server: {
    readonly serverId: ServerId;
    readonly receiptKeys: readonly ReceiptKey[];
    /** A copy of the bucket: nobody tells the receipt keys. */
    readonly unchecked?: boolean;
  };
  /** ms since 1970 */
  readonly now: () => number;
  readonly warn: (warning: Warning) => void;
  readonly random?: (n: number) => Uint8Array;
  /**
   * 'read': a broken history does not stop what only reads; writing then throws `Vault.broken`. 'look': the same beside a
   * run that holds the lock of the home; nothing is written on this computer, nothing can be appended. Default 'write'.
   */
  readonly mode?: 'look' | 'read' | 'write';
  /** How long the server promised to keep what was forgotten, days; SPEC 13's without a promise. */
  readonly lockDays?: number | undefined;
}

/** A snapshot as lists show it. Times are ms since 1970; `createdAt` is the device's clock, `receivedAt` the server's. */
export interface SnapshotInfo extends Summary {
  readonly id: SnapshotId;
  readonly seq: number;
  readonly mandateRef: MandateRef;
  readonly deviceId: DeviceId;
  readonly receivedAt: number;
  readonly forgottenAt: number | undefined;
  /** yyyymmdd, or 0. */
  readonly holdUntil: number;
  readonly receipt: Receipt;
}
