import { FolderStore } from './folder-store.ts';
import type { S3Place } from './s3-place.ts';
import { type S3Credentials, S3Store } from './s3-store.ts';
import type { BlobStore } from './store.ts';

/** A bucket in an S3 store; without credentials they are looked for as the SDK does (environment, profile, role). */
export interface S3Address extends S3Place {
  readonly credentials: S3Credentials | undefined;
}

/** The bucket of a configuration, with what only some stores have. */
export interface Bucket {
  readonly blobs: BlobStore;
  /** How many bytes still have room, where that is a disk of ours. */
  readonly room: (() => Promise<number | undefined>) | undefined;
  /** Removes what uploads of dead processes left behind. @returns how many */
  sweepTemp(now: number): Promise<number>;
  close(): void;
}

/** Opens a folder, which is made when missing, or a bucket. @throws OperatorError `store.unreachable` */
export async function openBucket(address: string | S3Address): Promise<Bucket> {
  if (typeof address === 'string') {
    const folder = await FolderStore.open(address);
    const sweepTemp = (now: number) => folder.sweepTemp(now);
    return { blobs: folder, room: () => folder.room(), sweepTemp, close: () => undefined };
  }
  const store = await S3Store.open(address, { credentials: address.credentials });
  // what an interrupted PUT leaves is the store's to remove: it was never an object
  return { blobs: store, room: undefined, sweepTemp: async () => 0, close: () => store.close() };
}
