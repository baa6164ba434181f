import { encodeText } from '../bytes/bytes.ts';
import { ProtocolError } from '../errors.ts';

export const MIN_SECRET_CHARACTERS = 8;
export const MAX_SECRET_BYTES = 1024;

/**
 * The secret key as bytes (SPEC 4.1): NFC, UTF-8, so that the same keystrokes on two systems give the same key.
 *
 * @throws ProtocolError `bad-secret` or `short-secret`
 */
export function normaliseSecret(text: string): Uint8Array {
  const bad = (defect: string): never => {
    throw new ProtocolError('bad-secret', `secret key: ${defect}`);
  };
  if (!text.isWellFormed()) bad('has an unpaired surrogate');
  if (/\p{Cc}/u.test(text)) bad('has a control character');
  // an unassigned code point may normalise differently in a later Unicode version
  if (/\p{Cn}/u.test(text)) bad('has an unassigned code point');
  const normal = text.normalize('NFC');
  if ([...normal].length < MIN_SECRET_CHARACTERS)
    throw new ProtocolError('short-secret', `secret key: fewer than ${MIN_SECRET_CHARACTERS} characters`);
  const bytes = encodeText(normal, 'secret key');
  if (bytes.length > MAX_SECRET_BYTES) bad(`longer than ${MAX_SECRET_BYTES} bytes`);
  return bytes;
}
