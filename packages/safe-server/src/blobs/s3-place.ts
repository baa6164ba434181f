/** Where an S3 store is: `s3://BUCKET/PREFIX?endpoint=…&region=…`. */
export interface S3Place {
  readonly bucket: string;
  /** Without a slash at either end; empty for the whole bucket. */
  readonly prefix: string;
  /** undefined: the one of AWS for `region`. */
  readonly endpoint: string | undefined;
  readonly region: string;
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^([0-9A-Za-z][0-9A-Za-z._-]{0,99}(\/[0-9A-Za-z][0-9A-Za-z._-]{0,99}){0,7})?$/;
const KNOWN = ['endpoint', 'region'];

/**
 * Parses the address of a store. Names and passwords in it are refused: they would show in process lists and logs.
 *
 * @returns undefined for anything else than such an address
 */
export function parseS3Place(url: string): S3Place | undefined {
  if (!url.startsWith('s3://') || !URL.canParse(url)) return undefined;
  const { host: bucket, pathname, searchParams, hash, username, password } = new URL(url);
  const prefix = pathname.replace(/^\//, '').replace(/\/$/, '');
  const endpoint = searchParams.get('endpoint') ?? undefined;
  const region = searchParams.get('region') ?? 'us-east-1';
  const isClean = hash === '' && username === '' && password === '';
  if (!isClean || [...searchParams.keys()].some((name) => !KNOWN.includes(name))) return undefined;
  if (!BUCKET.test(bucket) || !PREFIX.test(prefix) || !/^[a-z0-9-]{1,40}$/.test(region)) return undefined;
  return endpoint === undefined || isEndpoint(endpoint) ? { bucket, prefix, endpoint, region } : undefined;
}

function isEndpoint(endpoint: string): boolean {
  if (!URL.canParse(endpoint)) return false;
  const { protocol, pathname, search, hash, username, password } = new URL(endpoint);
  return /^https?:$/.test(protocol) && pathname === '/' && search + hash + username + password === '';
}
