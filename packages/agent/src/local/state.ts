import { readJson, setAside, writeJson } from './files.ts';
import type { Home } from './home.ts';
import { shape } from './shape.ts';

/** The subscription as the server last told it; shown when the server cannot be asked. */
export interface SeenSubscription {
  readonly expiresOn: string;
  readonly state: string;
  readonly at: number;
}

/** A mandate that exists in the Safe, as known when the vault was last open here. */
export interface KnownMandate {
  readonly mandateId: string;
  readonly ref: string;
  readonly name: string;
  readonly lastSnapshot: { readonly id: string; readonly seq: number; readonly receivedAt: number } | null;
  /** The newest financial year whose books are held, with the date until which, `yyyy-mm-dd`. */
  readonly yearClosed?: { readonly year: number; readonly holdUntil: string } | undefined;
}

/** The newest automatic point of a mandate; times are ms since 1970. */
export interface LastPoint {
  readonly mandateId: string;
  readonly id: string;
  readonly createdAt: number;
}

/** A mandate of this computer that holds what was restored from a backup of the mandate `sourceId`. */
export interface RestoredTwin {
  readonly sourceId: string;
  readonly mandateId: string;
  readonly at: number;
  /** `mandate keep` said meanwhile which one lives on. */
  readonly settled?: boolean | undefined;
}

/** A restore into a mandate of this computer: what `restore --undo` takes back. */
export interface RestoreLog {
  readonly mandateId: string;
  readonly at: number;
  readonly kind: string;
  /** Of the snapshot, point or copy. */
  readonly id: string;
  /** The point that holds what was replaced; null when nothing was. */
  readonly safetyPoint: string | null;
  /** `treeStamp` of what was restored; undefined when the run was killed before it could tell. */
  readonly stamp?: string | undefined;
}

/** A folder that a restore replaced; it lies whole beside the new one until its owner removes it. */
export interface KeptFolder {
  readonly mandate: string;
  readonly path: string;
  readonly at: number;
}

/** A restore that began; it stays here only when it was interrupted or killed. */
export interface UnfinishedRestore {
  readonly target: string;
  readonly at: number;
}

/** What the agent remembers between runs and could live without: a damaged file is set aside and begun anew. */
export interface State {
  readonly version: 1;
  readonly subscription?: SeenSubscription | undefined;
  readonly known?: readonly KnownMandate[] | undefined;
  readonly lastPoints?: readonly LastPoint[] | undefined;
  readonly twins: readonly RestoredTwin[];
  readonly kept: readonly KeptFolder[];
  readonly rebuiltAt?: number | undefined;
  /** The longest time that the server ever promised to keep what was forgotten, days. */
  readonly promisedDays?: number | undefined;
  readonly unfinished?: readonly UnfinishedRestore[] | undefined;
  /** Oldest first. */
  readonly restores?: readonly RestoreLog[] | undefined;
}

const EMPTY: State = { version: 1, twins: [], kept: [] };

/** The state of a home. Damaged: it is set aside, and the new one says when it was rebuilt, so that `status` warns. */
export function loadState(home: Home, now: number): State {
  const read = readJson(home.state, checkState);
  if (read.found) return read.value;
  if (read.damaged === undefined) return EMPTY;
  setAside(home.state);
  const fresh = { ...EMPTY, rebuiltAt: now };
  writeJson(home.state, fresh);
  return fresh;
}

/** Changes the state durably; writes nothing when nothing changed. */
export function changeState(home: Home, now: number, change: (state: State) => Partial<State>): State {
  const before = loadState(home, now);
  const after: State = { ...before, ...change(before) };
  if (JSON.stringify(after) !== JSON.stringify(before)) writeJson(home.state, after);
  return after;
}

function checkState(value: unknown): State {
  const fields = shape(value);
  if (fields.integer('version') !== 1) throw new TypeError('version is not 1');
  const seen = fields.optionalObject('subscription');
  return {
    version: 1,
    subscription: seen && { expiresOn: seen.text('expiresOn'), state: seen.text('state'), at: seen.integer('at') },
    known: fields.optionalList('known', checkKnown),
    lastPoints: fields.optionalList('lastPoints', (item) => {
      const point = shape(item, 'lastPoints');
      return { mandateId: point.text('mandateId'), id: point.text('id'), createdAt: point.integer('createdAt') };
    }),
    twins: fields.list('twins', (item) => {
      const twin = shape(item, 'twins');
      return {
        sourceId: twin.text('sourceId'),
        mandateId: twin.text('mandateId'),
        at: twin.integer('at'),
        settled: twin.optional('settled', (value) => value === true),
      };
    }),
    kept: fields.list('kept', (item) => {
      const kept = shape(item, 'kept');
      return { mandate: kept.text('mandate'), path: kept.text('path'), at: kept.integer('at') };
    }),
    rebuiltAt: fields.optionalInteger('rebuiltAt'),
    promisedDays: fields.optionalInteger('promisedDays'),
    restores: fields.optionalList('restores', checkRestore),
    unfinished: fields.optionalList('unfinished', (item) => {
      const begun = shape(item, 'unfinished');
      return { target: begun.text('target'), at: begun.integer('at') };
    }),
  };
}

function checkRestore(value: unknown): RestoreLog {
  const log = shape(value, 'restores');
  return {
    mandateId: log.text('mandateId'),
    at: log.integer('at'),
    kind: log.text('kind'),
    id: log.text('id'),
    safetyPoint: log.optionalText('safetyPoint') ?? null,
    stamp: log.optionalText('stamp'),
  };
}

function checkKnown(value: unknown): KnownMandate {
  const known = shape(value, 'known');
  const last = known.optionalObject('lastSnapshot');
  const closed = known.optionalObject('yearClosed');
  return {
    mandateId: known.text('mandateId'),
    ref: known.text('ref'),
    name: known.text('name'),
    lastSnapshot: last
      ? { id: last.text('id'), seq: last.integer('seq'), receivedAt: last.integer('receivedAt') }
      : null,
    ...(closed && { yearClosed: { year: closed.integer('year'), holdUntil: closed.text('holdUntil') } }),
  };
}
