import { setImmediate as nextTurn } from 'node:timers/promises';
import { AgentError } from '../errors.ts';

const SLICE_MS = 20;

/** Cuts long work on the main thread into slices, between which signals and sockets get their turn: Ctrl-C waits for one slice. */
export class Slices {
  readonly #signal: AbortSignal | undefined;
  #until = performance.now() + SLICE_MS;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** True when it is time to `pause`: asked in a loop, so that most rounds cost no promise. */
  get due(): boolean {
    return performance.now() >= this.#until;
  }

  /** @throws AgentError `interrupted` */
  async pause(): Promise<void> {
    await nextTurn();
    stopWhenAborted(this.#signal);
    this.#until = performance.now() + SLICE_MS;
  }
}

/** @throws AgentError `interrupted` */
export function stopWhenAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AgentError('interrupted', 'interrupted');
}
