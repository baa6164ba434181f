import { setTimeout as pause } from 'node:timers/promises';
import { DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import { OperatorError, ServerError } from '../errors.ts';
import { entitiesFor } from './dialect.ts';
import { type DbSchema, refuseNewer } from './schema.ts';
import type { Engine, Work } from './unit-of-work.ts';

// Everything that knows PostgreSQL's driver is in this file.

/** Where the database is and how many connections this process may hold. */
export interface PostgresAddress {
  /** `postgres://user@host:port/database?…`, without its password. */
  readonly url: string;
  readonly password: string | undefined;
  readonly connections: number;
}

/** How long a request waits for a free connection, ms; then it is told to come back. */
const ACQUIRE_MS = 5000;
/** Units of work contain neither network nor hashing: what takes longer hangs. */
const STATEMENT_MS = 30_000;
const LOCK_MS = 10_000;
const MIGRATION_LOCK = 5_311_070_012; // any number, the same in every version
const CLOCK_EVERY_MS = 60_000;

/** Serialization failure, deadlock: run again. Unique violation: another unit was faster, so a second look sees its row. */
const AGAIN = new Set(['40001', '40P01']);
const UNIQUE = '23505';
const TRIES = { again: 8, unique: 3 };
/** Lock and statement timeouts, shutdown and start, too many connections, lost connections. */
const LATER = /^(55P03|57014|57P0[1-5]|53[0-3]00|08\w{3}|ECONN\w+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)$/;
/** The last is typeorm's: it releases the runner of a lost connection under the feet of the unit that uses it. */
const LOST = new RegExp(
  'Connection terminated|timeout exceeded when trying to connect|Query runner already released|' +
    'Client (has encountered a connection error|was closed)',
);
const FULL = '53100';

/** PostgreSQL: units of work run side by side, each in its own transaction at READ COMMITTED. */
export class PostgresEngine implements Engine {
  readonly #source: DataSource;
  readonly #timer: NodeJS.Timeout;
  /** The database's time less this computer's monotonic one, ms. */
  #offset = 0;

  private constructor(source: DataSource) {
    this.#source = source;
    this.#timer = setInterval(() => void this.#measureClock().catch(() => undefined), CLOCK_EVERY_MS);
    this.#timer.unref();
  }

  /**
   * Connects and brings the tables up to date; two servers that start at once wait for each other.
   * @throws OperatorError `database.unreachable`, `database.newer`
   */
  static async open(address: PostgresAddress, schema: DbSchema): Promise<PostgresEngine> {
    const engine = new PostgresEngine(await openPostgres(address, schema));
    try {
      await engine.#measureClock();
      return engine;
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  async unit<T>(work: Work<T>, inside: (manager: EntityManager, run: () => Promise<T>) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once(work, inside);
      } catch (error) {
        const code = codeOf(error) ?? '';
        const most = AGAIN.has(code) ? TRIES.again : code === UNIQUE ? TRIES.unique : 0;
        if (tries >= most) throw AGAIN.has(code) ? busy(error) : translate(error);
        await pause(Math.random() * 10 * 2 ** tries);
      }
    }
  }

  async read<T>(work: Work<T>): Promise<T> {
    try {
      return await work(this.#source.manager);
    } catch (error) {
      throw translate(error);
    }
  }

  clock(): number {
    return Math.round(performance.now() + this.#offset);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#source.destroy();
  }

  async #once<T>(work: Work<T>, inside: (manager: EntityManager, run: () => Promise<T>) => Promise<T>): Promise<T> {
    const runner = this.#source.createQueryRunner();
    try {
      await runner.startTransaction('READ COMMITTED');
      const result = await inside(runner.manager, () => work(runner.manager));
      await runner.commitTransaction();
      return result;
    } catch (error) {
      await undo(runner);
      throw error;
    } finally {
      await runner.release().catch(() => undefined);
    }
  }

  /** Half the way there and back, as NTP reckons. */
  async #measureClock(): Promise<void> {
    const before = performance.now();
    const [row] = await this.#source.query<{ ms: string }[]>(
      `SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms`,
    );
    this.#offset = Number(row?.ms) - (before + performance.now()) / 2;
  }
}

/** A pool of connections; its migrations have run. @throws OperatorError `database.unreachable`, `database.newer` */
export async function openPostgres(address: PostgresAddress, schema: DbSchema): Promise<DataSource> {
  const source = dataSource(address, schema);
  try {
    await source.initialize();
  } catch (cause) {
    throw new OperatorError('database.unreachable', { reason: reasonOf(cause) }, 1, { cause });
  }
  try {
    await migrate(source, schema);
    return source;
  } catch (error) {
    await source.destroy();
    throw error;
  }
}

function dataSource({ url, password, connections }: PostgresAddress, schema: DbSchema): DataSource {
  return new DataSource({
    type: 'postgres',
    url: withPassword(url, password),
    applicationName: 'safe-server',
    installExtensions: false,
    entities: entitiesFor('postgres', schema.entities),
    migrations: [...schema.migrations],
    synchronize: false,
    poolErrorHandler: () => undefined, // an idle connection that ends is replaced by the next request
    extra: {
      max: connections,
      connectionTimeoutMillis: ACQUIRE_MS,
      statement_timeout: STATEMENT_MS,
      lock_timeout: LOCK_MS,
      idle_in_transaction_session_timeout: STATEMENT_MS,
    },
  });
}

/** typeorm takes the password from the URL or not at all. */
function withPassword(url: string, password: string | undefined): string {
  const full = new URL(url);
  if (password !== undefined) full.password = encodeURIComponent(password);
  return full.href;
}

async function migrate(source: DataSource, schema: DbSchema): Promise<void> {
  const runner = source.createQueryRunner();
  try {
    await runner.query(`SET lock_timeout = 0`);
    await runner.query(`SET statement_timeout = 0`);
    await runner.query(`SELECT pg_advisory_lock($1)`, [MIGRATION_LOCK]);
    try {
      await refuseNewer(runner, schema);
      await source.runMigrations({ transaction: 'all' });
    } finally {
      await runner.query(`SELECT pg_advisory_unlock($1)`, [MIGRATION_LOCK]);
      await runner.query(`RESET lock_timeout`);
      await runner.query(`RESET statement_timeout`);
    }
  } finally {
    await runner.release();
  }
}

/** A connection that is lost has undone everything already. */
async function undo(runner: QueryRunner): Promise<void> {
  if (!runner.isTransactionActive) return;
  await runner.rollbackTransaction().catch(() => undefined);
}

function codeOf(error: unknown): string | undefined {
  const { code, driverError } = (error ?? {}) as { code?: unknown; driverError?: { code?: unknown } };
  const found = driverError?.code ?? code;
  return typeof found === 'string' ? found : undefined;
}

function busy(cause: unknown): ServerError {
  return new ServerError('busy', { retryAfter: 1 }, { cause });
}

/** What a unit of work threw, in the server's words where PostgreSQL means "later" or "full". */
function translate(error: unknown): unknown {
  if (error instanceof ServerError) return error;
  const code = codeOf(error) ?? '';
  if (code === FULL) return new ServerError('storage-full', { retryAfter: 60 }, { cause: error });
  if (LATER.test(code) || LOST.test(String((error as Error | undefined)?.message))) return busy(error);
  return error;
}

/** For an operator: the driver's word, never the URL. */
function reasonOf(error: unknown): string {
  return codeOf(error) ?? (error instanceof Error ? error.name : 'unknown');
}
