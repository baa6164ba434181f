import type { AccountBody } from '@cresus-safe/protocol/http';
import type { KeyRing } from '../keyring/ring.ts';

/** The receipt keys as answers carry them: all of them, oldest first. */
export function receiptKeyBodies(ring: KeyRing): AccountBody['receiptKeys'] {
  return ring.receiptKeys().map((key) => ({ ...key }));
}
