import { type S3Options, S3Store } from './s3-store.ts';

interface RealS3 {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** From `tests/support/with-s3.ts`. */
const { safeTestS3 } = globalThis as unknown as { safeTestS3: { lacks(): string | undefined; make(): RealS3 } };
const lacks = safeTestS3.lacks();

/** Whether there is a real S3 store here. Without one the reason is printed, and under CI it is a failure. */
export const hasS3 = lacks === undefined;
if (lacks !== undefined) {
  if (process.env['CI'] === 'true') throw new Error(`these tests need a real S3 store: ${lacks}`);
  console.warn(`SKIPPED: ${lacks}`);
}

/** A fresh prefix of the real store. */
export const realS3 = () => safeTestS3.make();

/** Opens a store on a prefix. @param endpoint a proxy in front of it */
export async function openS3(options: S3Options = {}, s3 = realS3(), endpoint = s3.endpoint): Promise<S3Store> {
  const { accessKeyId, secretAccessKey, bucket, prefix, region } = s3;
  return await S3Store.open(
    { bucket, prefix, region, endpoint },
    { credentials: { accessKeyId, secretAccessKey }, ...options },
  );
}
