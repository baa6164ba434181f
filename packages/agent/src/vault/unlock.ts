import { join } from 'node:path';
import {
  checkKdf,
  type DeviceId,
  equal,
  type Header,
  openWithKit,
  openWithSecret,
  parseHeader,
  proofMessage,
  shareIdOf,
  VaultKeys,
  verifyHeader,
} from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import { ensureFolder, readIfThere, writeDurable } from '../local/files.ts';
import type { Warning } from './history-state.ts';
import { type Pin, readPin, strongerKdf, writePin } from './pin.ts';
import type { Remote, RemoteVault } from './remote.ts';

/** How the root is opened: by the typed secret (normalised), by the recovery kit, or remembered on this computer. */
export type Opener = { readonly secret: Uint8Array } | { readonly kit: Uint8Array } | { readonly root: Uint8Array };

export interface UnlockOptions {
  /** The vault's folder of the home. */
  readonly dir: string;
  /** Undefined: open from the cached header, for what needs no server. */
  readonly remote: Remote | undefined;
  readonly deviceId: DeviceId;
  readonly opener: Opener;
  readonly warn: (warning: Warning) => void;
  /** False beside a run that holds the lock: header and pin are compared and left as they are. Default true. */
  readonly keeps?: boolean;
}

export interface Unlocked {
  readonly keys: VaultKeys;
  readonly header: Header;
}

/**
 * Opens the vault's keys. The header is hostile until the opened root's public key is the one it names: a header older
 * than the pinned one, a weaker key derivation, another vault or none at all are refused before anything is derived
 * (MS-08 to MS-16). Nothing made from the secret is ever sent.
 * @throws AgentError `wrong-secret`, `wrong-share`, `kdf-limit`, `kdf-downgrade`, `rollback`, `fork`, `vault-missing`,
 *   `not-found` when there is no vault yet, `wrong-server`, `integrity`
 */
export async function unlock(options: UnlockOptions): Promise<Unlocked> {
  const { dir, remote, warn } = options;
  const { pin: read, damaged } = readPin(dir);
  const pin = read?.confirmed ? read : undefined;
  if (damaged) warn({ code: 'pin-rebuilt' });
  const shown = remote === undefined ? cached(dir) : await remote.vault();
  if (shown === undefined) throw missing(dir, pin);
  try {
    const header = checkedHeader(shown, pin);
    const keys = await open(header, shown.share, options.opener, pin);
    verifyHeader(header);
    await prove(options, keys, shown, pin);
    if (options.keeps !== false) remember(dir, header, shown.share, pin, remote !== undefined);
    return { keys, header };
  } catch (error) {
    throw toAgentError(error);
  }
}

function checkedHeader(shown: Pick<RemoteVault, 'vaultId' | 'header'>, pin: Pin | undefined): Header {
  const header = parseHeader(shown.header);
  if (header.vaultId !== shown.vaultId) throw new AgentError('integrity', 'the header is of another vault');
  if (pin === undefined) return header;
  const seqs = { held: pin.headerSeq, shown: header.headerSeq };
  if (header.vaultId !== pin.vaultId)
    throw new AgentError('wrong-server', 'the server shows another vault', { key: 'error.other-vault' });
  if (header.headerSeq < pin.headerSeq)
    throw new AgentError('rollback', 'the server shows an older header', {
      key: 'error.header-rollback',
      params: seqs,
      details: seqs,
    });
  if (header.headerSeq === pin.headerSeq && header.hash !== pin.headerHash)
    throw new AgentError('fork', 'the server shows another header', {
      key: 'error.header-fork',
      params: seqs,
      details: seqs,
    });
  return header;
}

async function open(header: Header, share: Uint8Array, opener: Opener, pin: Pin | undefined): Promise<VaultKeys> {
  if ('kit' in opener) return openWithKit(header, opener.kit);
  if ('root' in opener) return fromRemembered(header, opener.root);
  // judged before the signature, so that a lowered cost is called what it is (MS-09)
  checkKdf(header.secretSlot.kdf, pin?.kdf);
  return openWithSecret(header, opener.secret, share, pin === undefined ? {} : { kdfFloor: pin.kdf });
}

/** A new generation is adopted only by opening its slot (SPEC 4): a root remembered before is told apart, and no more. */
function fromRemembered(header: Header, root: Uint8Array): VaultKeys {
  if (VaultKeys.wasRotated(header, root))
    throw new AgentError('wrong-secret', 'another device rotated the keys', {
      key: 'error.rotated',
      hint: 'hint.rotated',
      details: { generation: header.generation },
    });
  return VaultKeys.fromRoot(header, root);
}

/** Shows the server that this device holds the vault key; without it a new device may append nothing (SPEC 16). */
async function prove(options: UnlockOptions, keys: VaultKeys, shown: RemoteVault, pin: Pin | undefined): Promise<void> {
  const { remote, deviceId } = options;
  if (remote === undefined || pin?.proved) return;
  const { deviceState } = await remote.account();
  if (deviceState !== 'pending') return;
  await remote.prove(keys.sign('proof', proofMessage(keys.vaultId, deviceId, shown.challenge)));
}

function remember(dir: string, header: Header, share: Uint8Array, pin: Pin | undefined, online: boolean): void {
  const { kdf } = header.secretSlot;
  const proved = pin?.proved === true || online;
  if (pin?.headerHash === header.hash && pin.proved === proved && isKept(dir, header, share)) return;
  ensureFolder(dir);
  keepHeader(dir, header, share);
  writePin(dir, {
    vaultId: header.vaultId,
    headerSeq: header.headerSeq,
    headerHash: header.hash,
    kdf: strongerKdf(kdf, pin?.kdf),
    confirmed: pin !== undefined,
    proved,
    anchored: pin?.anchored ?? null,
    receiptKeys: pin?.receiptKeys ?? [],
  });
}

/** Caches header and share, so that local needs (and the kit) work without a connection. */
export function keepHeader(dir: string, header: Header, share: Uint8Array): void {
  writeDurable(join(dir, 'share.bin'), share);
  writeDurable(join(dir, 'header.bin'), header.bytes);
}

/** A damaged cache would be noticed only on the day without a connection, when it is needed. */
function isKept(dir: string, header: Header, share: Uint8Array): boolean {
  const [kept, keptShare] = [readIfThere(join(dir, 'header.bin')), readIfThere(join(dir, 'share.bin'))];
  return kept !== undefined && keptShare !== undefined && equal(kept, header.bytes) && equal(keptShare, share);
}

/** The cached header with its share, when both are there and fit. */
export function cached(dir: string): RemoteVault | undefined {
  const header = readIfThere(join(dir, 'header.bin'));
  const share = readIfThere(join(dir, 'share.bin'));
  if (header === undefined || share === undefined) return undefined;
  const bytes = Uint8Array.from(header);
  const { vaultId } = parseHeader(bytes);
  return { vaultId, header: bytes, share: Uint8Array.from(share), challenge: new Uint8Array(32), head: 0 };
}

/** The cached share when it is the one of this header. */
export function cachedShare(dir: string, header: Header): Uint8Array | undefined {
  const share = readIfThere(join(dir, 'share.bin'));
  return share?.length === 32 && shareIdOf(header.vaultId, share) === header.shareId
    ? Uint8Array.from(share)
    : undefined;
}

/** "No vault exists, create one" is believed only by a computer that never saw one (MS-16). */
function missing(dir: string, pin: Pin | undefined): AgentError {
  if (knewVault(dir, pin)) return new AgentError('vault-missing', 'the server says that there is no vault');
  return new AgentError('not-found', 'there is no vault yet', { key: 'error.no-vault', hint: 'hint.no-vault' });
}

/** Whether this computer ever saw a vault whose history it verified. */
export function knewVault(dir: string, pin: Pin | undefined): boolean {
  return pin?.confirmed === true || readIfThere(join(dir, 'history.log')) !== undefined;
}
