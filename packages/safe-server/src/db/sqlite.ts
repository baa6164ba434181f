import sqlite3 from 'sqlite3';
import { DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import { ServerError } from '../errors.ts';
import { type DbSchema, refuseNewer } from './schema.ts';
import type { Engine, Work } from './unit-of-work.ts';

// Everything that knows sqlite3 is in this file: the driver is archived upstream, and leaving it must touch one place.

/**
 * typeorm asks the driver for its verbose mode, in which every call keeps its parameters as text for the stack of an
 * error. The stack of an error goes into the log, where no parameter belongs.
 */
const DRIVER = { verbose: () => sqlite3 };

/** How long SQLite itself waits for a lock, in a thread that crypto and files share: short, the rest is ours to wait. */
const BUSY_TIMEOUT_MS = 20;
const BUSY_DEADLINE_MS = 5000;
const BUSY_PAUSE_MS = { first: 5, most: 100 };

/**
 * SQLite: one unit of work at a time, reads beside it.
 *
 * typeorm gives every caller one shared query runner: interleaved transactions become savepoints of each other, and an
 * acknowledged commit is lost when another request rolls back. So units of work stand in a queue, first come first served,
 * and reads go to a second connection, which sees only what was committed (F-31).
 */
export class SqliteEngine implements Engine {
  readonly #writer: DataSource;
  readonly #reader: DataSource;
  readonly #runner: QueryRunner;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(writer: DataSource, reader: DataSource) {
    this.#writer = writer;
    this.#reader = reader;
    this.#runner = writer.createQueryRunner();
  }

  static async open(file: string, schema: DbSchema): Promise<SqliteEngine> {
    const writer = await openWriter(file, schema);
    try {
      return new SqliteEngine(writer, await openReader(file, schema));
    } catch (error) {
      await writer.destroy();
      throw error;
    }
  }

  unit<T>(work: Work<T>, inside: (manager: EntityManager, run: () => Promise<T>) => Promise<T>): Promise<T> {
    const result = this.#tail.then(() => this.#unit(work, inside));
    this.#tail = result.catch(() => undefined); // the caller has the error; the queue only waits
    return result;
  }

  async read<T>(work: Work<T>): Promise<T> {
    try {
      return await work(this.#reader.manager);
    } catch (error) {
      throw translate(error);
    }
  }

  clock(): number {
    return Date.now();
  }

  /** Waits for the units of work already asked for, then closes both connections. */
  async close(): Promise<void> {
    await this.#tail;
    await this.#reader.destroy();
    await this.#writer.destroy();
  }

  async #unit<T>(work: Work<T>, inside: (manager: EntityManager, run: () => Promise<T>) => Promise<T>): Promise<T> {
    try {
      await begin(this.#runner);
    } catch (error) {
      throw translate(error);
    }
    try {
      const result = await inside(this.#runner.manager, () => work(this.#runner.manager));
      await commit(this.#runner);
      return result;
    } catch (error) {
      await rollback(this.#runner);
      throw translate(error);
    }
  }
}

/** The one connection that writes; its migrations have run. */
export async function openWriter(file: string, schema: DbSchema): Promise<DataSource> {
  const source = new DataSource({
    type: 'sqlite',
    driver: DRIVER,
    database: file,
    enableWAL: true,
    busyTimeout: BUSY_TIMEOUT_MS,
    entities: [...schema.entities],
    migrations: [...schema.migrations],
    synchronize: false,
  });
  await retryBusy(() => source.initialize());
  // FULL: in WAL mode NORMAL may lose an acknowledged commit at a power cut (F-33)
  await source.query('PRAGMA synchronous = FULL');
  const runner = source.createQueryRunner();
  try {
    // two servers starting at once: the second waits here, then finds every migration done
    await begin(runner);
    await refuseNewer(runner, schema);
    await source.runMigrations({ transaction: 'none' });
    await commit(runner);
  } catch (error) {
    await rollback(runner);
    await source.destroy();
    throw error;
  }
  return source;
}

/** A second connection, which sees only what was committed (F-31) and cannot write. */
export async function openReader(file: string, schema: DbSchema): Promise<DataSource> {
  const source = new DataSource({
    type: 'sqlite',
    driver: DRIVER,
    database: file,
    flags: sqlite3.OPEN_READONLY,
    busyTimeout: BUSY_TIMEOUT_MS,
    entities: [...schema.entities],
    synchronize: false,
  });
  return await retryBusy(() => source.initialize());
}

/**
 * `BEGIN IMMEDIATE`: takes the write lock at once, so no unit of work reads a state that another process changes before
 * it writes (BUSY_SNAPSHOT cannot happen).
 */
export async function begin(runner: QueryRunner): Promise<void> {
  await retryBusy(() => runner.query('BEGIN IMMEDIATE'));
  mark(runner, true);
}

/** Commits what `begin` began. */
export async function commit(runner: QueryRunner): Promise<void> {
  await retryBusy(() => runner.query('COMMIT'));
  mark(runner, false);
}

/** Undoes what `begin` began; SQLite has already done so after some errors (disk full), which is no error here. */
export async function rollback(runner: QueryRunner): Promise<void> {
  mark(runner, false);
  try {
    await runner.query('ROLLBACK');
  } catch (error) {
    if (!/no transaction is active/.test(String(error))) throw error;
  }
}

/** Tells typeorm that a transaction is open, so that `save` or `transaction` inside become savepoints, not a `BEGIN`. */
function mark(runner: QueryRunner, open: boolean): void {
  const state = runner as unknown as { isTransactionActive: boolean; transactionDepth: number };
  state.isTransactionActive = open;
  state.transactionDepth = open ? 1 : 0;
}

/** SQLite's result code of an error, wherever typeorm put it. */
function sqliteCode(error: unknown): string | undefined {
  const { code, driverError } = (error ?? {}) as { code?: unknown; driverError?: { code?: unknown } };
  const found = driverError?.code ?? code;
  return typeof found === 'string' ? found : undefined;
}

/** What a unit of work threw, in the server's words where SQLite means "later" or "full". */
export function translate(error: unknown): unknown {
  if (isBusy(error)) return new ServerError('busy', { retryAfter: 1 }, { cause: error });
  if (sqliteCode(error) === 'SQLITE_FULL') return new ServerError('storage-full', { retryAfter: 60 }, { cause: error });
  return error;
}

function isBusy(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === 'SQLITE_BUSY' || code === 'SQLITE_LOCKED';
}

/** Another process holds the lock (an operator's command, a backup): wait without blocking anything (F-32). */
async function retryBusy<T>(action: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + BUSY_DEADLINE_MS;
  for (let pause = BUSY_PAUSE_MS.first; ; pause = Math.min(pause * 2, BUSY_PAUSE_MS.most)) {
    try {
      return await action();
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
