import type { Logger } from 'pino';
import type { EntityManager } from 'typeorm';
import type { Db } from '../db/unit-of-work.ts';
import { ServerError } from '../errors.ts';
import { AuditEntity, type AuditRow } from './entity.ts';

/** The device that did something. */
type Actor = { readonly deviceId: string; readonly subscriberNumber: string };

/** One action to note. `facts` hold no secret: no code, no token, no body. */
export interface AuditEvent {
  readonly actor: string;
  readonly number?: string | undefined;
  readonly operation: string;
  readonly outcome?: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

const HOUR = 3_600_000;
const REMEMBERED = 10_000;

/** The access log: who did what, when, with which outcome. Rows are only ever added. */
export class Audit {
  readonly #db: Db;
  readonly #clock: () => number;
  /** What this process has already noted, so that only the first pack of a run costs a write. */
  readonly #noted = new Set<string>();
  #missed = 0;

  constructor(db: Db, clock: () => number) {
    this.#db = db;
    this.#clock = clock;
  }

  /** Notes an action in the unit of work that does it: both happen or neither. */
  async record(manager: EntityManager, event: AuditEvent): Promise<void> {
    await manager.insert(AuditEntity, this.#row(event, null));
  }

  /** Notes that a device read or wrote data: one row per device, operation and run (by the hour where no run is named). */
  async access(device: Actor, operation: string, run: string | undefined): Promise<void> {
    const group = run ?? `hour-${Math.floor(this.#clock() / HOUR)}`;
    const key = `${device.deviceId} ${operation} ${group}`;
    if (this.#noted.has(key)) return;
    const event = { actor: `device:${device.deviceId}`, number: device.subscriberNumber, operation };
    await this.#db.write((manager) =>
      manager.createQueryBuilder().insert().into(AuditEntity).values(this.#row(event, group)).orIgnore().execute(),
    );
    if (this.#noted.size >= REMEMBERED) this.#noted.clear();
    this.#noted.add(key);
  }

  /**
   * The same for a read, which goes on where a full disk takes no row: a restore is never held hostage (F-47). What is
   * missing here then stands in the log, with how many there are since the start.
   */
  async readAccess(device: Actor, operation: string, run: string | undefined, log: Logger): Promise<void> {
    try {
      await this.access(device, operation, run);
    } catch (error) {
      if (!(error instanceof ServerError) || error.code !== 'storage-full') throw error;
      this.#missed += 1;
      const { deviceId, subscriberNumber } = device;
      log.warn(
        { device: deviceId, number: subscriberNumber, operation, run, missed: this.#missed },
        'no room to note an access',
      );
    }
  }

  #row({ actor, number, operation, outcome, facts }: AuditEvent, run: string | null): Omit<AuditRow, 'id'> {
    const at = this.#clock();
    return { at, actor, number: number ?? null, operation, run, outcome: outcome ?? 'done', facts: json(facts) };
  }
}

function json(facts: AuditEvent['facts']): string {
  return JSON.stringify(facts ?? {});
}
