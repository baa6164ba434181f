import { createHash } from 'node:crypto';
import { readIfThere, removeDurable, writeDurable } from './files.ts';
import type { Home } from './home.ts';

/** Where the remembered root lies: the keyring of the desktop, or a file of the home folder when there is none. */
export type KeyringPlace = 'keyring' | 'file';

const SERVICE = 'cresus-safe';

interface Slot {
  setPassword(text: string): void;
  getPassword(): string | null;
  deletePassword(): boolean;
}

/**
 * Keeps the root of the vault so that the secret key need not be typed again. A keyring that does not give back what
 * it was given (no desktop session, a locked one) is not used: the root goes into a 0600 file, and the caller says so.
 */
export async function rememberRoot(home: Home, root: Uint8Array): Promise<KeyringPlace> {
  const text = Buffer.from(root).toString('hex');
  const slot = await openSlot(home);
  if (slot && store(slot, text)) {
    removeDurable(home.rootKey);
    return 'keyring';
  }
  writeDurable(home.rootKey, `${text}\n`);
  return 'file';
}

/** The remembered root (32 bytes) and where it lay, or undefined. */
export async function recallRoot(home: Home): Promise<{ root: Uint8Array; place: KeyringPlace } | undefined> {
  const fromFile = decode(readIfThere(home.rootKey)?.toString('utf8'));
  if (fromFile) return { root: fromFile, place: 'file' };
  const slot = await openSlot(home);
  const fromRing = slot && decode(read(slot));
  return fromRing && { root: fromRing, place: 'keyring' };
}

/** Forgets the remembered root everywhere; true when there was one. */
export async function forgetRoot(home: Home): Promise<boolean> {
  const known = await recallRoot(home);
  removeDurable(home.rootKey);
  const slot = await openSlot(home);
  if (slot) remove(slot);
  return known !== undefined;
}

async function openSlot(home: Home): Promise<Slot | undefined> {
  if (process.env['CRESUS_SAFE_KEYRING'] === 'file') return undefined;
  try {
    // an optional native module: missing on some platforms, and slow to load, so only when it is needed
    const { Entry } = await import('@napi-rs/keyring');
    return new Entry(SERVICE, createHash('sha256').update(home.dir).digest('hex').slice(0, 32));
  } catch {
    return undefined; // no keyring here: the file takes its place
  }
}

function store(slot: Slot, text: string): boolean {
  try {
    slot.setPassword(text);
    return slot.getPassword() === text;
  } catch {
    return false; // no desktop session behind the keyring
  }
}

function read(slot: Slot): string | undefined {
  try {
    return slot.getPassword() ?? undefined;
  } catch {
    return undefined; // locked, or nothing kept
  }
}

function remove(slot: Slot): void {
  try {
    slot.deletePassword();
  } catch {
    return; // nothing was kept
  }
}

function decode(text: string | undefined): Uint8Array | undefined {
  const trimmed = text?.trim() ?? '';
  return /^[0-9a-f]{64}$/.test(trimmed) ? Buffer.from(trimmed, 'hex') : undefined;
}
