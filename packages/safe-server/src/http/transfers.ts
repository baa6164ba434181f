import { ServerError } from '../errors.ts';

/** How many transfers may run at once. */
export interface TransferLimits {
  readonly perDevice: number;
  readonly perProcess: number;
}

/** Counts running transfers of this process; beyond a cap a request is told to come back, and nothing is queued. */
export class TransferCaps {
  readonly #limits: TransferLimits;
  readonly #running = new Map<string, number>();
  #total = 0;

  constructor(limits: TransferLimits) {
    this.#limits = limits;
  }

  /** Takes a place for a device and returns how to give it back. @throws ServerError `busy` */
  enter(deviceId: string): () => void {
    const running = this.#running.get(deviceId) ?? 0;
    if (running >= this.#limits.perDevice || this.#total >= this.#limits.perProcess)
      throw new ServerError('busy', { retryAfter: 2 });
    this.#running.set(deviceId, running + 1);
    this.#total += 1;
    return () => this.#leave(deviceId);
  }

  #leave(deviceId: string): void {
    const running = (this.#running.get(deviceId) ?? 1) - 1;
    if (running === 0) this.#running.delete(deviceId);
    else this.#running.set(deviceId, running);
    this.#total -= 1;
  }
}
