import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lacksProgram } from './faults.ts';
import { collect, start, until } from './process.ts';
import { freePort, SafeServer } from './server.ts';

/** Where the servers of a fleet keep what they share. */
export interface Shared {
  /** `--database` */
  readonly database: string;
  /** `--blobs` */
  readonly blobs: string;
  /** What else they need in their environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** Debian puts it where only root looks. */
const NGINX = existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx';

/** Why there is no balancer to test with here (for `testWith`), or `undefined`. */
export function lacksBalancer(): string | undefined {
  return lacksProgram(NGINX, ['-v']);
}

/** Several real servers on one database and one bucket, behind nginx. */
export class Fleet implements AsyncDisposable {
  readonly servers: readonly SafeServer[];
  readonly #dir: string;
  #balancer: ChildProcess | undefined;
  #port = 0;

  constructor(dir: string, size: number, { database, blobs, env }: Shared) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true });
    const shared = { SAFE_DATABASE: database, SAFE_BLOBS: blobs, SAFE_KEYS: join(dir, 'ring.json'), ...env };
    this.servers = Array.from(
      { length: size },
      (_, index) =>
        new SafeServer(join(dir, `server-${index}`), {
          env: shared,
          args: ['--trust-proxy', '1', '--drain-seconds', '5'],
        }),
    );
  }

  /** Of the balancer. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get first(): SafeServer {
    return this.servers[0] as SafeServer;
  }

  /** Everything the servers have printed. */
  get log(): string {
    return this.servers.map(({ log }) => log).join('\n');
  }

  /** Starts all servers at the same moment, then the balancer. */
  async start(): Promise<this> {
    await Promise.all(this.servers.map((server) => server.start()));
    this.#port = await freePort();
    const config = join(this.#dir, 'nginx.conf');
    writeFileSync(config, this.#config());
    const balancer = start([NGINX, '-p', this.#dir, '-c', config, '-e', join(this.#dir, 'nginx.log')]);
    const printed = collect(balancer);
    this.#balancer = balancer;
    await until(
      async () => (await fetch(`${this.url}/health/live`).catch(() => undefined))?.ok || undefined,
      () => `nginx did not answer:\n${printed.stderr()}`,
    );
    return this;
  }

  /** Kills one server without warning and starts it again. */
  async crash(index: number): Promise<void> {
    const server = this.servers[index] as SafeServer;
    await server.stop('SIGKILL');
    await server.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const balancer = this.#balancer;
    if (balancer?.exitCode === null && balancer.signalCode === null) {
      balancer.kill('SIGTERM');
      await once(balancer, 'exit');
    }
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  /** Bodies pass through unbuffered, as an upload's pace is the server's to judge. */
  #config(): string {
    const upstreams = this.servers.map(({ url }) => `server ${new URL(url).host} max_fails=1 fail_timeout=1s;`);
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    return `
      daemon off;
      ${process.getuid?.() === 0 ? 'user root;' : ''}
      worker_processes 1;
      pid nginx.pid;
      events { worker_connections 1024; }
      http {
        access_log off;
        ${temp.map((name) => `${name}_temp_path ${join(this.#dir, name)};`).join('\n')}
        upstream safe { ${upstreams.join(' ')} keepalive 32; }
        server {
          listen 127.0.0.1:${this.#port};
          client_max_body_size 32m;
          location / {
            proxy_pass http://safe;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_connect_timeout 2s;
          }
        }
      }`;
  }
}
