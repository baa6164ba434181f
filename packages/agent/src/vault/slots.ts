import { createHeader, type KdfParams, parseHeader, VaultKeys, withKit, withSecret } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { ensureFolder } from '../local/files.ts';
import { History } from './history.ts';
import { readPin, strongerKdf, writePin } from './pin.ts';
import { cachedShare, keepHeader, knewVault } from './unlock.ts';
import { Vault, type VaultOptions } from './vault.ts';

export interface CreateOptions extends Omit<VaultOptions, 'keys' | 'mode'> {
  /** Normalised. */
  readonly secret: Uint8Array;
  readonly kdf?: KdfParams;
  /** Drawn by a caller that must keep the root before a vault exists; otherwise they are drawn here. */
  readonly keys?: VaultKeys;
}

/**
 * Makes the subscriber's vault: root, share and header are made here, and only what is sealed leaves the computer.
 * Killed at any point, the vault either does not exist or opens with this secret.
 * @throws AgentError `usage` when a vault exists, `vault-missing` when this computer knew one
 */
export async function createVault(options: CreateOptions): Promise<Vault> {
  const { dir, remote, secret, kdf, server, warn } = options;
  ensureFolder(dir);
  const known = knewVault(dir, readPin(dir).pin);
  if ((await remote.vault()) !== undefined)
    throw new AgentError('usage', 'a vault exists already', { key: 'error.vault-exists', hint: 'hint.vault-exists' });
  if (known) throw new AgentError('vault-missing', 'the server says that there is no vault');
  const keys = options.keys ?? VaultKeys.create(options.random);
  const trust = { vaultId: keys.vaultId, ...server };
  const vault = new Vault({ ...options, keys }, trust, History.load(dir, trust, warn));
  const share = vault.random(32);
  const from = { secret, share, headerSeq: 1, random: vault.random, ...(kdf === undefined ? {} : { kdf }) };
  await sendHeader(vault, 'vault-create', await createHeader(keys, from), share);
  vault.setAnchored('created', 1);
  return vault;
}

/** Gives the vault another secret key; the old one opens nothing from then on. The kit stays valid. */
export async function changeSecret(vault: Vault, secret: Uint8Array, kdf?: KdfParams): Promise<void> {
  const share = vault.random(32);
  const options = { random: vault.random, ...(kdf === undefined ? {} : { kdf }) };
  const header = await withSecret(headerOf(vault), vault.keys, secret, share, options);
  await sendHeader(vault, 'slot-change', header, share);
}

/** Gives the vault another recovery kit (20 random bytes), or none. @throws AgentError `wrong-share` */
export async function setKit(vault: Vault, kit: Uint8Array | null): Promise<void> {
  const header = headerOf(vault);
  // a kit-only change sends the share that the secret slot needs again (SPEC 8)
  const share = cachedShare(vault.dir, header);
  if (share === undefined) throw new AgentError('wrong-share', 'the cached share is not the one of the header');
  await sendHeader(vault, 'slot-change', withKit(header, vault.keys, kit, { random: vault.random }), share);
}

function headerOf(vault: Vault): NonNullable<Vault['history']['state']['header']> {
  const { header } = vault.history.state;
  if (header === undefined) throw new AgentError('unexpected', 'a vault without a header');
  return header;
}

/** The most earlier roots that a header can carry (SPEC 5). */
const MOST_ROTATIONS = 16;

/**
 * Gives the vault a new root and generation, and a secret key: what is sent from then on opens with none of the earlier
 * roots, and nothing that they sign is appended any more. What was sent before stays as it is and opens as before. The
 * kit slot goes: only its paper holds what would seal it again.
 * Killed at any point, the vault is in the old generation with the old secret key, or in the new one with the new.
 * @throws AgentError `usage` after 16 rotations, `wrong-secret` when another device was faster
 */
export async function rotateKeys(vault: Vault, secret: Uint8Array, kdf?: KdfParams): Promise<void> {
  refuseMoreRotations(vault);
  const share = vault.random(32);
  const next = vault.keys.rotate(vault.random);
  const { headerSeq } = headerOf(vault);
  const from = { secret, share, headerSeq: headerSeq + 1, random: vault.random, ...(kdf === undefined ? {} : { kdf }) };
  const header = await createHeader(next, from);
  await vault.turnTo(next, () => sendHeader(vault, 'generation', header, share));
}

/** Asked before anybody types a key for nothing. @throws AgentError `usage` */
export function refuseMoreRotations(vault: Vault): void {
  if (vault.keys.generation < MOST_ROTATIONS) return;
  throw new AgentError('usage', `the keys were renewed ${MOST_ROTATIONS} times`, {
    key: 'error.rotations-exhausted',
    hint: 'hint.none',
    params: { count: MOST_ROTATIONS },
  });
}

async function sendHeader(
  vault: Vault,
  kind: 'vault-create' | 'slot-change' | 'generation',
  attachment: Uint8Array,
  share: Uint8Array,
): Promise<void> {
  crashPoint('header-before');
  await vault.append(kind, { attachment, share });
  crashPoint('header-sent');
  const { pin } = vault;
  const header = parseHeader(attachment);
  keepHeader(vault.dir, header, share);
  writePin(vault.dir, {
    vaultId: header.vaultId,
    headerSeq: header.headerSeq,
    headerHash: header.hash,
    kdf: strongerKdf(header.secretSlot.kdf, pin?.kdf),
    confirmed: true,
    proved: true,
    anchored: pin?.anchored ?? null,
    receiptKeys: pin?.receiptKeys ?? [],
  });
  crashPoint('header-acked');
}
