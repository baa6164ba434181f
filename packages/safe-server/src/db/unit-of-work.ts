import { AsyncLocalStorage } from 'node:async_hooks';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { begin, commit, type DbSchema, openReader, openWriter, rollback, translate } from './sqlite.ts';

/** Work on the database; `manager` is valid only until its promise settles. */
export type Work<T> = (manager: EntityManager) => Promise<T>;

/**
 * The only way to the database.
 *
 * On SQLite typeorm gives every caller one shared query runner: interleaved transactions become savepoints of each
 * other, and an acknowledged commit is lost when another request rolls back. So units of work stand in a queue, first
 * come first served, and reads go to a second connection, which sees only what was committed (F-31).
 *
 * A unit of work holds the write lock of the whole database: no network, no files, no hashing inside.
 */
export class Db {
  readonly #writer: DataSource;
  readonly #reader: DataSource;
  readonly #runner: QueryRunner;
  readonly #inside = new AsyncLocalStorage<{ open: boolean }>();
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(writer: DataSource, reader: DataSource) {
    this.#writer = writer;
    this.#reader = reader;
    this.#runner = writer.createQueryRunner();
  }

  /** Opens or creates `file` and brings its tables up to date; safe when two processes do it at once. */
  static async open(file: string, schema: DbSchema): Promise<Db> {
    const writer = await openWriter(file, schema);
    try {
      return new Db(writer, await openReader(file, schema));
    } catch (error) {
      await writer.destroy();
      throw error;
    }
  }

  /**
   * Runs `work` in one transaction, committed and synced to disk when the promise resolves, without any effect when it
   * rejects. Called inside another unit of work it joins that one, and commits or fails with it.
   *
   * @throws ServerError `busy` when another process holds the database for seconds, `storage-full`; or what `work` threw
   */
  write<T>(work: Work<T>): Promise<T> {
    if (this.#inside.getStore()?.open) return work(this.#runner.manager);
    const result = this.#tail.then(() => this.#unit(work));
    this.#tail = result.catch(() => undefined); // the caller has the error; the queue only waits
    return result;
  }

  /**
   * Runs `work` on the connection that only sees what was committed. Each statement is consistent in itself; two
   * statements may see different commits, so what must fit together is read in one statement or checked again in the
   * unit of work that relies on it. Inside a unit of work it sees that unit's own writes.
   */
  async read<T>(work: Work<T>): Promise<T> {
    if (this.#inside.getStore()?.open) return await work(this.#runner.manager);
    try {
      return await work(this.#reader.manager);
    } catch (error) {
      throw translate(error);
    }
  }

  /** Waits for the units of work already asked for, then closes both connections. */
  async close(): Promise<void> {
    await this.#tail;
    await this.#reader.destroy();
    await this.#writer.destroy();
  }

  async #unit<T>(work: Work<T>): Promise<T> {
    try {
      await begin(this.#runner);
    } catch (error) {
      throw translate(error);
    }
    const unit = { open: true };
    try {
      const result = await this.#inside.run(unit, work, this.#runner.manager);
      unit.open = false; // a promise that `work` left behind must not slip past the queue
      await commit(this.#runner);
      return result;
    } catch (error) {
      unit.open = false;
      await rollback(this.#runner);
      throw translate(error);
    }
  }
}
