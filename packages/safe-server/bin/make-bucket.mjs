// Makes the bucket that SAFE_BLOBS names, unless it is there. Run once before the servers, with their settings.
import { readFileSync } from 'node:fs';
import { CreateBucketCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';

const { SAFE_BLOBS = '', SAFE_S3_ACCESS_KEY_FILE, SAFE_S3_SECRET_FILE } = process.env;
const { protocol, host: Bucket, searchParams } = new URL(SAFE_BLOBS);
if (protocol !== 's3:') throw new Error('SAFE_BLOBS is not s3://BUCKET/PREFIX?endpoint=…&region=…');
const secret = (file) => readFileSync(file, 'utf8').trim();
const endpoint = searchParams.get('endpoint');
const client = new S3Client({
  region: searchParams.get('region') ?? 'us-east-1',
  ...(endpoint && { endpoint, forcePathStyle: true }),
  ...(SAFE_S3_SECRET_FILE && {
    credentials: { accessKeyId: secret(SAFE_S3_ACCESS_KEY_FILE), secretAccessKey: secret(SAFE_S3_SECRET_FILE) },
  }),
});
const there = await client.send(new HeadBucketCommand({ Bucket })).then(
  () => true,
  (error) => {
    if (error.$metadata?.httpStatusCode === 404) return false;
    throw error;
  },
);
if (!there)
  await client.send(new CreateBucketCommand({ Bucket })).catch((error) => {
    if (error.name !== 'BucketAlreadyOwnedByYou') throw error; // somebody else was faster
  });
console.info(JSON.stringify({ bucket: Bucket, made: !there }));
