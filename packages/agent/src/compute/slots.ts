/** A fixed number of places, handed out in the order they were asked for. */
export class Slots {
  readonly #free: number[];
  readonly #waiting: { resolve: (slot: number) => void; reject: (error: unknown) => void }[] = [];
  #failed: { error: unknown } | undefined;

  constructor(count: number) {
    this.#free = Array.from({ length: count }, (_, i) => count - 1 - i);
  }

  /** A free slot at once, or undefined. */
  tryTake(): number | undefined {
    return this.#failed ? undefined : this.#free.pop();
  }

  /** The next slot that becomes free; rejects when the pool is closed. */
  take(): Promise<number> {
    if (this.#failed) return Promise.reject(this.#failed.error);
    const slot = this.#free.pop();
    if (slot !== undefined) return Promise.resolve(slot);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  release(slot: number): void {
    const next = this.#waiting.shift();
    if (next) next.resolve(slot);
    else this.#free.push(slot);
  }

  /** Lets everyone who waits, now or later, fail. */
  fail(error: unknown): void {
    this.#failed ??= { error };
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
