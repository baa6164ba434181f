import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { lacksProgram } from './faults.ts';
import { repository } from './process.ts';
import { serversDir, stopOrphans } from './test-servers.mjs';

/** A real S3 store, and a prefix in it that is nobody else's. */
export interface RealS3 {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Of this caller alone; without slashes. */
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** `s3://…`, as `--blobs` takes it; `endpoint` may be a proxy in front of the store. */
  blobs(endpoint?: string): string;
  /** The environment of a server that uses it. */
  readonly env: Readonly<Record<string, string>>;
}

const scripts = join(repository, 'infra/test-servers');

/** Why there is no S3 store to test with here (for `testWith`), or `undefined`. */
export function lacksS3(): string | undefined {
  if (process.env['S3_ENDPOINT'] !== undefined) return undefined;
  const lacks = lacksProgram('radosgw') ?? lacksProgram('ceph-mon') ?? lacksProgram('curl');
  return lacks && `${lacks} (no S3 store; or name one in S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY, S3_BUCKET)`;
}

/**
 * The store of this run: the one of `S3_ENDPOINT`, else Ceph's gateway, which the first caller of all workers starts
 * (about 4 s) and the end of the run stops.
 */
export function realS3(): RealS3 {
  return withPrefix(process.env['S3_ENDPOINT'] === undefined ? ownStore() : given(process.env));
}

/** A store that belongs to the caller alone, to be killed and stopped; `dir` must be short. */
export class OwnS3 {
  readonly dir: string;
  readonly s3: RealS3;

  constructor(name: string) {
    this.dir = join(serversDir(), `s3-${name}`);
    this.s3 = withPrefix(given(up(this.dir)));
  }

  /** The process id of the gateway. */
  gateway(): number {
    return Number(execFileSync('cat', [join(this.dir, 'run/client.rgw.pid')], { encoding: 'utf8' }));
  }

  /** Starts again what died. */
  up(): void {
    up(this.dir);
  }

  stop(...options: string[]): void {
    execFileSync(join(scripts, 's3-down.sh'), [this.dir, ...options]);
  }
}

let facts: ReturnType<typeof given> | undefined;

function ownStore(): ReturnType<typeof given> {
  facts ??= given(up(join(serversDir(), 's3')));
  return facts;
}

function up(dir: string): Record<string, string> {
  stopOrphans();
  const printed = execFileSync(join(scripts, 's3-up.sh'), [dir], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return Object.fromEntries(
    printed
      .trim()
      .split('\n')
      .map((line) => line.split('=') as [string, string]),
  );
}

function given(env: Readonly<Record<string, string | undefined>>) {
  const { S3_ENDPOINT = '', S3_REGION = 'us-east-1', S3_BUCKET = 'test', S3_ACCESS_KEY = '', S3_SECRET_KEY = '' } = env;
  return {
    endpoint: S3_ENDPOINT,
    region: S3_REGION,
    bucket: S3_BUCKET,
    accessKeyId: S3_ACCESS_KEY,
    secretAccessKey: S3_SECRET_KEY,
  };
}

function withPrefix(store: ReturnType<typeof given>): RealS3 {
  const prefix = `t${randomBytes(8).toString('hex')}`;
  return {
    ...store,
    prefix,
    blobs: (endpoint = store.endpoint) =>
      `s3://${store.bucket}/${prefix}?endpoint=${encodeURIComponent(endpoint)}&region=${store.region}`,
    env: { AWS_ACCESS_KEY_ID: store.accessKeyId, AWS_SECRET_ACCESS_KEY: store.secretAccessKey },
  };
}
