import { afterAll, describe } from '@jest/globals';
import { S3Store } from '../../packages/safe-server/src/blobs/s3-store.ts';
import { describeBlobStore } from '../../packages/safe-server/src/blobs/store.contract.ts';
import { testWith } from '../support/faults.ts';
import { lacksS3, realS3 } from '../support/real-s3.ts';

const lacks = lacksS3();
const opened: S3Store[] = [];

async function fresh(conditional?: boolean): Promise<S3Store> {
  const { accessKeyId, secretAccessKey, ...place } = realS3();
  const credentials = { accessKeyId, secretAccessKey };
  const store = await S3Store.open(place, {
    credentials,
    pageSize: 2,
    ...(conditional !== undefined && { conditional }),
  });
  opened.push(store);
  return store;
}

afterAll(() => {
  for (const store of opened) store.close();
});

if (lacks !== undefined) {
  testWith(lacks)('the contract on a real S3 store', () => undefined);
} else {
  describeBlobStore('S3', () => fresh());
  describe('without conditional writes', () => describeBlobStore('S3', () => fresh(false), { racesAreWon: false }));
}
