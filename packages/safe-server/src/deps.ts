import type { Logger } from 'pino';
import type { CodeMailer } from './accounts/elevation.ts';
import type { Audit } from './audit/audit.ts';
import type { BlobStore } from './blobs/store.ts';
import type { Config } from './config.ts';
import type { Db } from './db/unit-of-work.ts';
import type { KeyRing } from './keyring/ring.ts';
import type { Room } from './vaults/admission.ts';

/** What the parts of the server are wired with; tests pass their own clock, randomness and stores. */
export interface Deps {
  readonly db: Db;
  readonly blobs: BlobStore;
  /** Of a bucket that is a disk of ours. */
  readonly room?: Room;
  readonly ring: KeyRing;
  /** ms since 1970. */
  readonly clock: () => number;
  readonly random: (n: number) => Uint8Array;
  readonly log: Logger;
  readonly config: Config;
  readonly audit: Audit;
  /** Absent: this server sends no mail. */
  readonly codeMailer?: CodeMailer | undefined;
}
