import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AgentError, toAgentError } from '../errors.ts';
import { findConfig, readToken } from '../local/config.ts';
import { findMandate, loadMandates } from '../mandate/mandates.ts';
import type { Points } from '../points/store.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import { openSafe, type Safe } from './open.ts';
import { openPointsHere } from './open-points.ts';
import { chooseSnapshot, snapshotsOf } from './snapshots.ts';

/** A saved state, in the vault that holds it. */
export interface Found {
  readonly kind: 'snapshot' | 'point';
  readonly vault: Vault;
  readonly snapshot: SnapshotInfo;
}

/** The two places with saved states of mandates, each opened when it is first asked; the caller holds the home's lock. */
export class Stores {
  readonly #context: Context;
  #safe: Safe | undefined;
  #points: Points | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /** The state with this id (or its beginning): a point of this computer, else a snapshot. @throws AgentError `not-found` */
  async find(id: string): Promise<Found> {
    const point = await this.#pointLike(id);
    if (point) return point;
    if (!this.#isConnected) throw unknown(id);
    const { vault } = await this.safe();
    if (id.toLowerCase() === 'latest') throw unknown(id);
    return { kind: 'snapshot', vault, snapshot: chooseSnapshot(vault.snapshots(), id, '') };
  }

  /** The newest snapshot of a mandate. @throws AgentError `not-found` */
  async newest(name: string): Promise<Found> {
    const { vault } = await this.safe();
    const snapshot = chooseSnapshot(snapshotsOf(this.#context, vault, name), 'latest', name);
    return { kind: 'snapshot', vault, snapshot };
  }

  /** A point by its id, its beginning or `latest`, of one mandate or of all. @throws AgentError `not-found` */
  async point(id: string, name: string | undefined): Promise<Found> {
    const points = await this.points();
    if (points === undefined) throw unknown(id);
    const mandate = name === undefined ? undefined : findMandate(loadMandates(this.#context.home), name);
    const all = points.vault.snapshots();
    const own = name === undefined ? all : all.filter(({ mandateId }) => mandateId === mandate?.mandateId);
    return { kind: 'point', vault: points.vault, snapshot: chooseSnapshot(own, id, name ?? '') };
  }

  /** The Safe, for reading. @throws AgentError as `openSafe` */
  async safe(): Promise<Safe> {
    this.#safe ??= await openSafe(this.#context, 'read');
    return this.#safe;
  }

  /** The points; undefined when none was ever made here. */
  async points(): Promise<Points | undefined> {
    const { home } = this.#context;
    if (!this.#points && existsSync(join(home.points, 'store'))) this.#points = await openPointsHere(this.#context);
    return this.#points;
  }

  close(): void {
    this.#safe?.close();
    this.#points?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #isConnected(): boolean {
    const { home } = this.#context;
    return findConfig(home) !== undefined && readToken(home) !== undefined;
  }

  async #pointLike(id: string): Promise<Found | undefined> {
    const points = await this.points();
    if (points === undefined || !/^[0-9a-f]{4,64}$/i.test(id)) return undefined;
    const { vault } = points;
    try {
      return { kind: 'point', vault, snapshot: chooseSnapshot(vault.snapshots(), id, '') };
    } catch (error) {
      const typed = toAgentError(error);
      if (typed.kind === 'not-found') return undefined;
      throw typed;
    }
  }
}

function unknown(id: string): AgentError {
  return new AgentError('not-found', `no snapshot ${id}`, {
    key: 'error.unknown-snapshot',
    hint: 'hint.no-snapshot',
    params: { id },
    details: { id },
  });
}
