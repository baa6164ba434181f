import { AsyncLocalStorage } from 'node:async_hooks';
import type { EntityManager } from 'typeorm';
import { type PostgresAddress, PostgresEngine } from './postgres.ts';
import type { DbSchema } from './schema.ts';
import { SqliteEngine } from './sqlite.ts';

/** Work on the database; `manager` is valid only until its promise settles. */
export type Work<T> = (manager: EntityManager) => Promise<T>;

/** A SQLite file, or a PostgreSQL server. */
export type DatabaseAddress = string | PostgresAddress;

/** What differs between the databases behind `Db`. */
export interface Engine {
  /** One transaction; `inside` surrounds the work itself. On PostgreSQL the work may run more than once. */
  unit<T>(work: Work<T>, inside: (manager: EntityManager, run: () => Promise<T>) => Promise<T>): Promise<T>;
  read<T>(work: Work<T>): Promise<T>;
  /** The database's time, ms since 1970. */
  clock(): number;
  close(): Promise<void>;
}

/** An operation that has ended. Seconds; `error` is what it threw. Units that joined another are part of that one. */
export interface DbRun {
  readonly kind: 'write' | 'read';
  /** From the call until the work began: the queue, a connection, the lock. */
  readonly queued: number;
  readonly took: number;
  readonly error?: unknown;
}

/**
 * The only way to the database.
 *
 * A unit of work holds locks (on SQLite the write lock of the whole database): no network, no files, no hashing inside. On
 * PostgreSQL units run side by side, and one that met another is run again: it has no effect but on the database.
 */
export class Db {
  readonly #engine: Engine;
  readonly #inside = new AsyncLocalStorage<{ open: boolean; readonly manager: EntityManager }>();

  #observer: ((run: DbRun) => void) | undefined;

  private constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Opens or creates the database and brings its tables up to date; safe when two processes do it at once. */
  static async open(address: DatabaseAddress, schema: DbSchema): Promise<Db> {
    const open =
      typeof address === 'string' ? SqliteEngine.open(address, schema) : PostgresEngine.open(address, schema);
    return new Db(await open);
  }

  /**
   * Runs `work` in one transaction, committed and synced to disk when the promise resolves, without any effect when it
   * rejects. Called inside another unit of work it joins that one, and commits or fails with it.
   *
   * @throws ServerError `busy` when the database cannot be had for seconds, `storage-full`; or what `work` threw
   */
  write<T>(work: Work<T>): Promise<T> {
    const joined = this.#inside.getStore();
    if (joined?.open) return work(joined.manager);
    return this.#observed('write', (began) => this.#unit(work, began));
  }

  #unit<T>(work: Work<T>, began: () => void): Promise<T> {
    return this.#engine.unit(work, async (manager, run) => {
      began();
      const unit = { open: true, manager };
      try {
        return await this.#inside.run(unit, run);
      } finally {
        unit.open = false; // a promise that `work` left behind must not slip past the queue
      }
    });
  }

  /**
   * Runs `work` on a connection that only sees what was committed. Each statement is consistent in itself; two statements
   * may see different commits, so what must fit together is read in one statement or checked again in the unit of work
   * that relies on it. Inside a unit of work it sees that unit's own writes.
   */
  async read<T>(work: Work<T>): Promise<T> {
    const joined = this.#inside.getStore();
    return joined?.open ? await work(joined.manager) : await this.#observed('read', () => this.#engine.read(work));
  }

  /** Has `observer` told of every operation from now on; there is one observer. */
  observe(observer: (run: DbRun) => void): void {
    this.#observer = observer;
  }

  async #observed<T>(kind: DbRun['kind'], run: (began: () => void) => Promise<T>): Promise<T> {
    const observer = this.#observer;
    if (observer === undefined) return await run(() => undefined);
    const asked = performance.now();
    let began = kind === 'read' ? asked : undefined;
    const ended = (error?: unknown) => {
      const now = performance.now();
      observer({ kind, queued: ((began ?? now) - asked) / 1000, took: (now - (began ?? now)) / 1000, error });
    };
    try {
      const result = await run(() => (began ??= performance.now()));
      ended();
      return result;
    } catch (error) {
      ended(error);
      throw error;
    }
  }

  /** The database's time, ms since 1970. */
  clock(): number {
    return this.#engine.clock();
  }

  /** Waits for the units of work already asked for, then closes its connections. */
  close(): Promise<void> {
    return this.#engine.close();
  }
}
