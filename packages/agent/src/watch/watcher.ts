import { type AgentError, toAgentError } from '../errors.ts';
import type { Mandate } from '../mandate/mandates.ts';
import type { OpenFindings } from '../open-modules/open-modules.ts';
import { whereText } from '../open-modules/open-modules.ts';
import type { MadePoint } from '../points/make.ts';
import { type BooksState, firstChange } from './books-state.ts';
import type { WatchEvent } from './events.ts';

export interface WatchOptions {
  /** The mandates to watch as of now. */
  readonly mandates: () => readonly Mandate[];
  readonly look: (mandate: Mandate, before: BooksState | undefined) => Promise<BooksState | undefined>;
  readonly findOpen: (mandates: readonly Mandate[]) => Promise<readonly OpenFindings[]>;
  /** Makes a point if anything changed; holds the lock of the home only meanwhile. */
  readonly makePoint: (mandate: Mandate) => Promise<MadePoint>;
  readonly emit: (event: WatchEvent) => void;
  /** How long nothing may change before a point, and the time between two looks, in ms. */
  readonly quietMs: number;
  readonly lookMs: number;
  /** ms since 1970; may jump, only jumps are read from it. */
  readonly now: () => number;
  /** Rejects when the watch is to end. */
  readonly pause: (ms: number) => Promise<void>;
}

/** What is known of one mandate. Durations are counted in looks, so that neither sleep nor a set clock lengthens or shortens them. */
interface Watched {
  mandate: Mandate;
  state: BooksState | undefined;
  /** Something may have changed since the last point. */
  dirty: boolean;
  /** Looks in a row that found no change. */
  calm: number;
  /** Looks until the next try. */
  rest: number;
  failures: number;
  /** What was told last, so that it is told once. */
  told: string;
}

/** A jump of the clock beyond this is sleep or a set clock, not a busy machine. */
const JUMP_MS = 60_000;
/** While somebody works: looking at all processes costs more than looking at a few files. */
const OPEN_PAUSE_MS = 5000;
const FIRST_RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 30 * 60_000;

/**
 * Makes a point of a mandate when work in it ended: its books changed, then held still for a while, and nobody has a
 * module open. What happened while nobody watched is found at the start, since a point is made only of what changed.
 */
export class Watcher {
  readonly #options: WatchOptions;
  readonly #watched = new Map<string, Watched>();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Watches until `pause` rejects, with that reason; or until a point is interrupted. */
  async run(): Promise<never> {
    const { now, pause, lookMs } = this.#options;
    for (;;) {
      await this.#turn();
      const before = now();
      await pause(lookMs);
      const gapMs = now() - before - lookMs;
      if (Math.abs(gapMs) > JUMP_MS) this.#resume(gapMs);
    }
  }

  async #turn(): Promise<void> {
    this.#refresh();
    const all = [...this.#watched.values()];
    await Promise.all(all.map((one) => this.#look(one)));
    const { quietMs, lookMs, findOpen } = this.#options;
    const due = all.filter((one) => one.dirty && one.state && one.rest === 0 && one.calm * lookMs >= quietMs);
    if (due.length === 0) return;
    const findings = await findOpen(due.map(({ mandate }) => mandate));
    for (const [at, one] of due.entries()) {
      const open = findings[at]?.open ?? [];
      if (open.length === 0) await this.#attempt(one);
      else this.#stillOpen(one, open);
    }
  }

  /** A mandate that is new here may have been worked in before: it is looked at as if it had changed. */
  #refresh(): void {
    const listed = new Map(this.#options.mandates().map((mandate) => [mandate.mandateId, mandate]));
    for (const id of this.#watched.keys()) if (!listed.has(id)) this.#watched.delete(id);
    for (const [id, mandate] of listed) {
      const known = this.#watched.get(id);
      const isSame = known?.mandate.path === mandate.path;
      if (known && isSame) known.mandate = mandate;
      else this.#watched.set(id, fresh(mandate));
    }
  }

  async #look(one: Watched): Promise<void> {
    const { look, emit } = this.#options;
    const { name: mandate, path } = one.mandate;
    const before = one.state;
    const state = await look(one.mandate, before);
    one.state = state;
    one.rest = Math.max(0, one.rest - 1);
    if (state === undefined) {
      this.#tell(one, 'away', { event: 'away', mandate, path });
      return;
    }
    const file = before ? firstChange(before, state) : undefined;
    if (before === undefined) {
      if (one.told === 'away') emit({ event: 'back', mandate, path });
      Object.assign(one, { dirty: true, calm: 0, told: '' });
    } else if (file === undefined) one.calm += 1;
    else {
      if (!one.dirty) emit({ event: 'changed', mandate, file });
      Object.assign(one, { dirty: true, calm: 0 });
    }
  }

  #stillOpen(one: Watched, modules: OpenFindings['open']): void {
    one.rest = this.#looks(OPEN_PAUSE_MS);
    const told = `open ${modules.map(whereText).join(' ')}`;
    this.#tell(one, told, { event: 'open', mandate: one.mandate.name, modules });
  }

  /** Changes while the point is made differ from `state`, and are found by the next look. */
  async #attempt(one: Watched): Promise<void> {
    try {
      const made = await this.#options.makePoint(one.mandate);
      Object.assign(one, { dirty: false, failures: 0, told: '' });
      const event = made.unchanged ? 'unchanged' : 'point';
      this.#options.emit({ event, mandate: one.mandate.name, made });
    } catch (error) {
      const typed = toAgentError(error);
      if (typed.kind === 'interrupted') throw error;
      this.#failed(one, typed);
    }
  }

  #failed(one: Watched, error: AgentError): void {
    const mandate = one.mandate.name;
    if (error.kind === 'another-run') {
      this.#tell(one, 'waiting', { event: 'waiting', mandate, pid: Number(error.details['pid'] ?? 0) });
    } else if (error.kind === 'module-open' || error.kind === 'mandate-unstable') {
      // somebody went on working in the meantime
      Object.assign(one, { calm: 0, rest: 0 });
    } else {
      const retryMs = Math.min(FIRST_RETRY_MS * 2 ** one.failures, LONGEST_RETRY_MS);
      one.failures += 1;
      one.rest = this.#looks(retryMs);
      this.#options.emit({ event: 'failed', mandate, error, retryMs });
    }
  }

  /** Programs may have been closed, drives come and gone: every mandate is looked at as at the start, after a while of calm. */
  #resume(gapMs: number): void {
    this.#options.emit({ event: 'resumed', gapMs });
    for (const one of this.#watched.values()) Object.assign(one, { dirty: true, calm: 0, rest: 0, failures: 0 });
  }

  #tell(one: Watched, told: string, event: WatchEvent): void {
    if (one.told !== told) this.#options.emit(event);
    one.told = told;
  }

  #looks(ms: number): number {
    return Math.ceil(ms / this.#options.lookMs);
  }
}

function fresh(mandate: Mandate): Watched {
  return { mandate, state: undefined, dirty: true, calm: 0, rest: 0, failures: 0, told: '' };
}
