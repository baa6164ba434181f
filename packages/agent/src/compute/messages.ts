import type { ProtocolErrorKind } from '@cresus-safe/protocol/formats';
import type { Job, JobResults } from './jobs.ts';

/** What the pool posts to a worker: the key of the mandate at hand, or a job. */
export type Task = { readonly chunkIdKey: Uint8Array } | { readonly id: number; readonly job: Job };

/** What comes back. Errors cross threads as plain facts and become errors again in the pool. */
export type Answer =
  | { readonly id: number; readonly result: JobResults[Job['type']] }
  | {
      readonly id: number;
      readonly failure: {
        readonly message: string;
        readonly kind: ProtocolErrorKind | undefined;
        readonly code: string | undefined;
      };
    };
