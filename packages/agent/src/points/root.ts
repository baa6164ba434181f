import { join } from 'node:path';
import {
  asDeviceId,
  asServerId,
  asVaultId,
  concat,
  type DeviceId,
  equal,
  firstReceiptKey,
  fromHex,
  hkdf,
  idBytes,
  label,
  publicKeyOf,
  type ReceiptKey,
  type ServerId,
  type VaultId,
  type VaultKeys,
} from '@cresus-safe/protocol';
import { ensureFolder, readIfThere, readJson, setAside, writeDurable, writeJson } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { type CacheKeys, localHeader, openLocal, sealLocal } from '../local/sealed.ts';
import { shape } from '../local/shape.ts';

/**
 * The root of the points' vault lies in `points/root.key` (0600): making and restoring points needs no secret key. Whenever
 * the Safe's vault is open here, the root is also kept in `points/root.sealed`, under a key that comes from the Safe's
 * root: `header 8 ‖ vaultId of the points 16 ‖ salt 32 ‖ GCM(root)`. So the points of a saved disk, or of a home that
 * lost `root.key`, open with the secret key. The vault's own secret slot is made from random bytes that are thrown away.
 */
export interface PointsRoot {
  readonly vaultId: VaultId;
  readonly root: Uint8Array;
}

/** Who this store is to its own journal; all of it comes from the root. */
export interface PointsIdentity {
  readonly vaultId: VaultId;
  readonly serverId: ServerId;
  readonly deviceId: DeviceId;
  readonly receiptKey: ReceiptKey;
  /** Seed of the receipt key. */
  readonly seed: Uint8Array;
}

const ROOT_BYTES = 32;
const ID_BYTES = 16;
const HEADER = localHeader('CSPR');

const rootFile = (home: Home): string => join(home.points, 'root.key');
const sealedFile = (home: Home): string => join(home.points, 'root.sealed');

/** The kept root; undefined when there is none, or one that is damaged, which is then set aside. */
export function readRoot(home: Home): PointsRoot | undefined {
  const read = readJson(rootFile(home), checkRoot);
  if (read.found) return read.value;
  if (read.damaged !== undefined) setAside(rootFile(home));
  return undefined;
}

export function keepRoot(home: Home, { vaultId, root }: PointsRoot): void {
  writeJson(rootFile(home), { version: 1, vaultId, root: Buffer.from(root).toString('hex') });
}

function checkRoot(value: unknown): PointsRoot {
  const fields = shape(value);
  if (fields.integer('version') !== 1) throw new TypeError('version is not 1');
  const root = fields.text('root');
  if (!/^[0-9a-f]{64}$/.test(root)) throw new TypeError('root is not 64 hex digits');
  return { vaultId: asVaultId(fields.text('vaultId')), root: fromHex(root) };
}

export function identityOf({ vaultId, root }: PointsRoot): PointsIdentity {
  const okm = hkdf(root, idBytes(vaultId), label('local/points'), ROOT_BYTES + 2 * ID_BYTES);
  const seed = okm.slice(0, ROOT_BYTES);
  return {
    vaultId,
    seed,
    receiptKey: firstReceiptKey(publicKeyOf(seed)),
    serverId: asServerId(okm.slice(ROOT_BYTES, ROOT_BYTES + ID_BYTES)),
    deviceId: asDeviceId(okm.slice(ROOT_BYTES + ID_BYTES)),
  };
}

/**
 * Ties the points to the Safe while its keys are open: seals the points' root under them, or gives it back where
 * `root.key` is gone.
 * @returns what was done
 */
export function tieRoot(home: Home, keys: VaultKeys): 'sealed' | 'recovered' | 'nothing' {
  const kept = readRoot(home);
  const cacheKeys = keys.cacheKeys();
  const fresh = openSealed(home, cacheKeys.slice(0, 1));
  const sealed = fresh ?? openSealed(home, cacheKeys.slice(1));
  if (kept === undefined && sealed === undefined) return 'nothing';
  if (kept === undefined && sealed !== undefined) {
    keepRoot(home, sealed);
    return 'recovered';
  }
  const root = kept as PointsRoot;
  // what was sealed before a rotation is sealed anew: the earlier root may be in other hands
  if (fresh?.vaultId === root.vaultId && equal(fresh.root, root.root)) return 'nothing';
  const owner = idBytes(root.vaultId);
  ensureFolder(home.points);
  writeDurable(sealedFile(home), concat(HEADER, owner, sealLocal(keys.cacheKeys(), 'points-root', owner, root.root)));
  return 'sealed';
}

/** The sealed root; undefined when there is none, or none that these keys open (another vault's, a damaged one). */
function openSealed(home: Home, cacheKeys: CacheKeys): PointsRoot | undefined {
  const bytes = readIfThere(sealedFile(home));
  if (bytes === undefined || !equal(bytes.subarray(0, HEADER.length), HEADER)) return undefined;
  const owner = Uint8Array.from(bytes.subarray(HEADER.length, HEADER.length + ID_BYTES));
  try {
    const root = openLocal(cacheKeys, 'points-root', owner, bytes.subarray(HEADER.length + ID_BYTES));
    return root.length === ROOT_BYTES ? { vaultId: asVaultId(owner), root: Uint8Array.from(root) } : undefined;
  } catch {
    return undefined; // it is written anew where the root is known
  }
}

/** Whether a sealed copy of the root waits for the secret key. */
export function hasSealedRoot(home: Home): boolean {
  return readIfThere(sealedFile(home)) !== undefined;
}
