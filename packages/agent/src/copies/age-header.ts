import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { Identity, Recipient, Stanza } from 'age-encryption';
import { AgentError } from '../errors.ts';
import { copyDefect } from './copy-error.ts';

/** What `age -p` uses: 256 MiB of memory for one guess. */
const WORK_FACTOR = 18;
/** A header may ask for any memory: at most 1 GiB is granted, as in age-encryption. */
const MAX_WORK_FACTOR = 20;
const LABEL = 'age-encryption.org/v1/scrypt';
const MAGIC = 'age-encryption.org/v1\n';
const MAX_HEADER_BYTES = 4096;
const KEY_BYTES = 16;
const derive = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

/** The header of an encrypted copy with the key of its file. */
export interface AgeHeader {
  readonly bytes: Buffer;
  readonly fileKey: Uint8Array;
}

/** Whether these first bytes of a file are those of the age v1 format. */
export function looksLikeAge(start: Buffer): boolean {
  return start.subarray(0, MAGIC.length).toString('latin1') === MAGIC;
}

/** A header for a new file under a password. Takes 256 MiB and a second, off the main thread. */
export async function makeAgeHeader(password: string, workFactor: number = WORK_FACTOR): Promise<AgeHeader> {
  const { Encrypter, Stanza } = await import('age-encryption');
  let taken: Uint8Array | undefined;
  const recipient: Recipient = {
    wrapFileKey: async (fileKey) => {
      taken = Uint8Array.from(fileKey);
      const salt = randomBytes(16);
      const key = await passwordKey(password, salt, workFactor);
      const args = ['scrypt', unpadded(salt), String(workFactor)];
      return [new Stanza(args, wrap(fileKey, key))];
    },
  };
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  const empty = Buffer.from(await encrypter.encrypt(new Uint8Array(0)));
  if (taken === undefined) throw new Error('no file key was wrapped');
  const bytes = empty.subarray(0, headerEnd(empty));
  return { bytes, fileKey: taken };
}

/**
 * Opens the header at the beginning of a file.
 * @throws AgentError `wrong-secret` (`error.copy-password-wrong`), `integrity` for a header that is none
 */
export async function openAgeHeader(start: Buffer, password: string): Promise<AgeHeader> {
  const bytes = start.subarray(0, headerEnd(start));
  const { Decrypter } = await import('age-encryption');
  const identity: Identity = { unwrapFileKey: (stanzas) => unwrap(stanzas, password) };
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  try {
    return { bytes, fileKey: await decrypter.decryptHeader(bytes) };
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw copyDefect('tampered', { at: 'header' }, error);
  }
}

async function unwrap(stanzas: readonly Stanza[], password: string): Promise<Uint8Array> {
  const [stanza] = stanzas;
  const [kind, salt = '', factor = ''] = stanza?.args ?? [];
  if (stanza === undefined || stanzas.length !== 1 || kind !== 'scrypt' || stanza.args.length !== 3)
    throw new AgentError('usage', 'the copy is encrypted for keys, not under a password', {
      key: 'error.copy-not-password',
    });
  const saltBytes = Buffer.from(salt, 'base64');
  const workFactor = Number(factor);
  if (!/^[1-9][0-9]?$/.test(factor) || saltBytes.length !== 16 || unpadded(saltBytes) !== salt)
    throw copyDefect('tampered', { at: 'header' });
  if (workFactor > MAX_WORK_FACTOR) throw copyDefect('bomb', { path: 'scrypt' });
  return unwrapWith(stanza.body, await passwordKey(password, saltBytes, workFactor));
}

/** The body opens only under the right password, and then the header's MAC holds everything else. */
function unwrapWith(body: Uint8Array, key: Buffer): Uint8Array {
  if (body.length !== KEY_BYTES + 16) throw copyDefect('tampered', { at: 'header' });
  const decipher = createDecipheriv('chacha20-poly1305', key, Buffer.alloc(12), { authTagLength: 16 });
  decipher.setAuthTag(body.subarray(KEY_BYTES));
  try {
    return Buffer.concat([decipher.update(body.subarray(0, KEY_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new AgentError('wrong-secret', 'the password of the copy is wrong', {
      key: 'error.copy-password-wrong',
      hint: 'hint.copy-password-wrong',
      cause,
    });
  }
}

function wrap(fileKey: Uint8Array, key: Buffer): Uint8Array {
  const cipher = createCipheriv('chacha20-poly1305', key, Buffer.alloc(12), { authTagLength: 16 });
  return Uint8Array.from(Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]));
}

function passwordKey(password: string, salt: Buffer, workFactor: number): Promise<Buffer> {
  const N = 2 ** workFactor;
  const parameters = { N, r: 8, p: 1, maxmem: 128 * 8 * (N + 64) };
  return derive(password.normalize('NFC'), Buffer.concat([Buffer.from(LABEL), salt]), 32, parameters);
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}

/** The end of the header: the line that begins with `---`. */
function headerEnd(start: Buffer): number {
  const mark = start.subarray(0, MAX_HEADER_BYTES).indexOf('\n---');
  const end = mark < 0 ? -1 : start.indexOf('\n', mark + 1);
  if (!looksLikeAge(start) || end < 0) throw copyDefect('tampered', { at: 'header' });
  return end + 1;
}
