import { createSecretKey, type KeyObject } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { ProtocolError } from '@cresus-safe/protocol/formats';
import { Arena, BLOCKS, createMemory, PACKS, SEGMENTS } from './arena.ts';
import { type Cut, createCut } from './cdc.ts';
import { type Job, type JobResults, PRIORITY } from './jobs.ts';
import type { Answer, Task } from './messages.ts';
import { Slots } from './slots.ts';

const WORKERS = 2;
const IN_FLIGHT = 2;

/** The keys of a mandate that computing needs. */
export interface ComputeKeys {
  readonly chunkIdKey: Uint8Array;
  readonly gear: Uint32Array;
}

interface Pending {
  readonly job: Job;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

/**
 * Two stateless workers over one shared memory. Making a pool costs nothing: memory is reserved and workers start with
 * the first job, so that a run in which nothing changed pays for neither.
 */
export class Pool implements AsyncDisposable {
  readonly blocks = new Slots(BLOCKS);
  readonly segments = new Slots(SEGMENTS);
  readonly packs = new Slots(PACKS);
  readonly #workers: number;
  #arena: Arena | undefined;
  #cut: Cut | undefined;
  #members: Member[] = [];
  #keys: ComputeKeys | undefined;
  #keyObject: KeyObject | undefined;
  #queue: Pending[] = [];
  #nextId = 0;
  #closed: { error: unknown } | undefined;

  constructor({ workers = WORKERS }: { workers?: number } = {}) {
    this.#workers = workers;
  }

  get arena(): Arena {
    this.#arena ??= new Arena(createMemory());
    return this.#arena;
  }

  /** The chunker, for what this thread cuts itself. */
  get cut(): Cut {
    this.#cut ??= createCut(this.arena.memory);
    return this.#cut;
  }

  /** The chunk-id key of the mandate at hand. */
  get chunkIdKey(): KeyObject {
    if (!this.#keyObject) throw new Error('no mandate was chosen');
    return this.#keyObject;
  }

  /** Chooses the mandate whose files come next. No block or unpack job may be under way. */
  useMandate(keys: ComputeKeys): void {
    if (this.#keys === keys) return;
    this.#keys = keys;
    this.#keyObject = createSecretKey(keys.chunkIdKey);
    if (this.#arena) this.#arena.setGear(keys.gear);
    for (const member of this.#members) this.#post(member, { chunkIdKey: keys.chunkIdKey });
  }

  /** Starts the workers now: for who knows that jobs will come, and has something else to do until they are up (60 ms). */
  warm(): void {
    if (!this.#closed && this.#members.length === 0) this.#start();
  }

  /** Runs a job on the next free worker; rejects with the job's ProtocolError or system error. */
  run<T extends Job>(job: T): Promise<JobResults[T['type']]> {
    if (this.#closed) return Promise.reject(this.#closed.error);
    this.warm();
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, resolve, reject });
      this.#dispatch();
    });
  }

  /** Stops the workers at once; whatever is under way or comes later rejects with `reason`. */
  async close(reason: unknown = new Error('the pool is closed')): Promise<void> {
    this.#fail(reason);
    const members = this.#members;
    this.#members = [];
    await Promise.all(members.map(({ worker }) => worker.terminate()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #fail(error: unknown): void {
    this.#closed ??= { error };
    for (const slots of [this.blocks, this.segments, this.packs]) slots.fail(error);
    for (const pending of this.#queue.splice(0)) pending.reject(error);
    for (const member of this.#members) {
      for (const pending of member.pending.values()) pending.reject(error);
      member.pending.clear();
    }
  }

  #start(): void {
    if (this.#keys) this.arena.setGear(this.#keys.gear);
    // from source (tests) the worker is TypeScript too, and packages resolve to their source
    const fromSource = import.meta.url.endsWith('.ts');
    const script = new URL(fromSource ? './worker.ts' : './worker.js', import.meta.url);
    const execArgv = fromSource ? ['--conditions=@cresus-safe/source'] : [];
    for (let i = 0; i < this.#workers; i++) {
      const worker = new Worker(script, { workerData: this.arena.memory, execArgv });
      const member: Member = { worker, pending: new Map() };
      worker.unref();
      worker.on('message', (answer: Answer) => this.#settle(member, answer));
      worker.on('error', (error) => this.#fail(error));
      worker.on('exit', (code) => this.#fail(new Error(`a worker ended with code ${code}`)));
      this.#members.push(member);
      if (this.#keys) this.#post(member, { chunkIdKey: this.#keys.chunkIdKey });
    }
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const member = this.#members.reduce((a, b) => (b.pending.size < a.pending.size ? b : a));
      if (member.pending.size >= IN_FLIGHT) return;
      const pending = this.#takeMostUrgent();
      const id = this.#nextId++;
      if (member.pending.size === 0) member.worker.ref();
      member.pending.set(id, pending);
      this.#post(member, { id, job: pending.job });
    }
  }

  #takeMostUrgent(): Pending {
    let best = 0;
    for (let i = 1; i < this.#queue.length; i++) {
      const candidate = this.#queue[i] as Pending;
      if (PRIORITY[candidate.job.type] < PRIORITY[(this.#queue[best] as Pending).job.type]) best = i;
    }
    return this.#queue.splice(best, 1)[0] as Pending;
  }

  #post(member: Member, task: Task): void {
    member.worker.postMessage(task);
  }

  #settle(member: Member, answer: Answer): void {
    const pending = member.pending.get(answer.id);
    if (!pending) return;
    member.pending.delete(answer.id);
    if (member.pending.size === 0) member.worker.unref();
    this.#dispatch();
    if ('result' in answer) pending.resolve(answer.result as never);
    else pending.reject(jobError(answer.failure));
  }
}

function jobError(failure: Extract<Answer, { failure: unknown }>['failure']): Error {
  if (failure.kind) return new ProtocolError(failure.kind, failure.message);
  return Object.assign(new Error(failure.message), failure.code === undefined ? {} : { code: failure.code });
}
