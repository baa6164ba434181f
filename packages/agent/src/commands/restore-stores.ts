import { findConfig, readToken } from '../local/config.ts';
import type { Points } from '../points/store.ts';
import type { Context } from './context.ts';
import { openSafe, type Safe } from './open.ts';
import { openPointsHere, openPointsIfAny } from './open-points.ts';

/** The Safe and the points, each opened when it is first asked for; the caller holds the home's lock. */
export class RestoreStores {
  readonly #context: Context;
  #safe: Safe | undefined;
  #points: Points | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  get isConnected(): boolean {
    const { home } = this.#context;
    const config = findConfig(home);
    return config !== undefined && (config.store !== undefined || readToken(home) !== undefined);
  }

  /** For reading. @throws AgentError as `openSafe` */
  async safe(): Promise<Safe> {
    this.#safe ??= await openSafe(this.#context, 'read');
    return this.#safe;
  }

  /** Made at the first use. @throws AgentError as `openPoints` */
  async points(): Promise<Points> {
    this.#points ??= await openPointsHere(this.#context);
    return this.#points;
  }

  /** Undefined when none was ever made here. */
  async pointsIfAny(): Promise<Points | undefined> {
    this.#points ??= await openPointsIfAny(this.#context);
    return this.#points;
  }

  [Symbol.dispose](): void {
    this.#safe?.close();
    this.#points?.close();
  }
}
