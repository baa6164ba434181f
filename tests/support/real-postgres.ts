import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './process.ts';
import { serversDir, stopOrphans } from './test-servers.mjs';

/** A database of a real PostgreSQL server that is nobody else's. */
export interface RealPostgres {
  /** With its password, as `--database` takes it. */
  readonly url: string;
}

const scripts = join(repository, 'infra/test-servers');

/** Why there is no PostgreSQL to test with here (for `testWith`), or `undefined`. */
export function lacksPostgres(): string | undefined {
  if (spawnSync('psql', ['--version']).status !== 0) return 'psql is not installed';
  if (process.env['DATABASE_URL'] !== undefined) return undefined;
  const there = process.env['PG_BIN'] !== undefined || debianHas() || spawnSync('initdb', ['--version']).status === 0;
  return there ? undefined : 'PostgreSQL is not installed (or name a server in DATABASE_URL)';
}

function debianHas(): boolean {
  try {
    return readdirSync('/usr/lib/postgresql').length > 0;
  } catch {
    return false;
  }
}

/**
 * A new, empty database on the server of this run: the one of `DATABASE_URL`, whose role may create databases, else one
 * that the first caller of all workers starts (about 3 s) and the end of the run stops.
 */
export function realPostgres(): RealPostgres {
  return createDatabase(process.env['DATABASE_URL'] ?? ownServer());
}

/** A server that belongs to the caller alone, to be killed and stopped. */
export class OwnPostgres {
  readonly #dir: string;

  constructor(name: string) {
    this.#dir = join(serversDir(), `pg-${name}`);
  }

  /** Starts it, also again after it died, on the same port with the same data. @returns the URL of an empty database at first */
  up(): string {
    return up(this.#dir);
  }

  stop(...options: ('--kill' | '--wipe')[]): void {
    execFileSync(join(scripts, 'pg-down.sh'), [this.#dir, ...options], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
}

let own: string | undefined;

function ownServer(): string {
  own ??= up(join(serversDir(), 'pg'));
  return own;
}

function up(dir: string): string {
  stopOrphans();
  const printed = execFileSync(join(scripts, 'pg-up.sh'), [dir], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const url = /^DATABASE_URL=(.*)$/m.exec(printed)?.[1];
  if (url === undefined) throw new Error(`pg-up.sh printed no DATABASE_URL:\n${printed}`);
  return url;
}

function createDatabase(server: string): RealPostgres {
  const name = `t${randomBytes(8).toString('hex')}`;
  execFileSync('psql', [server, '--quiet', '--no-psqlrc', '--command', `CREATE DATABASE ${name}`]);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href };
}
