import { afterAll, describe, test } from '@jest/globals';
import { hasS3, openS3 } from './s3.test.bed.ts';
import type { S3Options, S3Store } from './s3-store.ts';
import { describeBlobStore } from './store.contract.ts';

const opened: S3Store[] = [];

async function fresh(options: S3Options = {}): Promise<S3Store> {
  const store = await openS3({ pageSize: 2, ...options }); // short pages, so that lists have several
  opened.push(store);
  return store;
}

afterAll(() => {
  for (const store of opened) store.close();
});

if (!hasS3) test.skip('on a real S3 store', () => undefined);
else {
  describeBlobStore('S3', () => fresh());
  describe('where the store cannot create conditionally', () =>
    describeBlobStore('S3', () => fresh({ conditional: false }), { racesAreWon: false }));
}
