import { crashPoint } from '../local/crash.ts';
import type { Home } from '../local/home.ts';
import { shape } from '../local/shape.ts';
import { changeState, type RestoreLog, type State } from '../local/state.ts';
import { checkMandate, loadMandates, type Mandate, saveMandates } from '../mandate/mandates.ts';

/** What is to be noted of a restore into a mandate; lies in the swap's intent until it is. */
export interface RestoreNote {
  /** As it is on this computer from now on. */
  readonly mandate: Mandate;
  /** The mandate whose backup was restored. */
  readonly sourceId: string;
  readonly kind: string;
  /** Of the snapshot, point or copy. */
  readonly id: string;
  readonly safetyPoint: string | null;
  /** ms since 1970 */
  readonly at: number;
}

/** How a restore that is in place ended. */
export interface RestoreEnd {
  /** Where what was replaced is kept. */
  readonly replacedKept: string | null;
  readonly stamp: string | undefined;
}

/** So many restores can be taken back one after the other; their points go by the plan of the points long before. */
const MOST_LOGGED = 50;

/** A note as it was read from an intent. @throws TypeError */
export function readNote(value: unknown): RestoreNote {
  const fields = shape(value, 'note');
  const mandate = fields.optional('mandate', checkMandate);
  if (mandate === undefined) throw new TypeError('mandate is missing');
  return {
    mandate,
    sourceId: fields.text('sourceId'),
    kind: fields.text('kind'),
    id: fields.text('id'),
    safetyPoint: fields.optionalText('safetyPoint') ?? null,
    at: fields.integer('at'),
  };
}

/**
 * Notes a restore that is in place: the mandate with its modules, that it is a twin of another, what was kept, and what undoing
 * it needs. May run twice for the same restore.
 */
export function registerRestore(home: Home, note: RestoreNote, end: RestoreEnd): void {
  const { mandate, at } = note;
  const others = loadMandates(home).filter(({ mandateId }) => mandateId !== mandate.mandateId);
  saveMandates(home, [...others, mandate]);
  changeState(home, at, (state) => ({
    twins: twinsWith(state, note),
    kept: keptWith(state, note, end),
    restores: restoresWith(state, note, end),
  }));
  crashPoint('swap-noted');
}

function twinsWith({ twins }: State, { mandate, sourceId, at }: RestoreNote): State['twins'] {
  const { mandateId } = mandate;
  if (mandateId === sourceId || twins.some((twin) => twin.at === at && twin.mandateId === mandateId)) return twins;
  const earlier = twins.filter((twin) => twin.mandateId !== mandateId || twin.sourceId !== sourceId);
  return [...earlier, { sourceId, mandateId, at }];
}

function keptWith({ kept }: State, { mandate, at }: RestoreNote, { replacedKept: path }: RestoreEnd): State['kept'] {
  if (path === null || kept.some((one) => one.path === path)) return kept;
  return [...kept, { mandate: mandate.name, path, at }];
}

function restoresWith({ restores = [] }: State, note: RestoreNote, { stamp }: RestoreEnd): readonly RestoreLog[] {
  const { mandate, at, kind, id, safetyPoint } = note;
  const { mandateId } = mandate;
  const earlier = restores.filter((log) => log.at !== at || log.mandateId !== mandateId);
  return [...earlier, { mandateId, at, kind, id, safetyPoint, stamp }].slice(-MOST_LOGGED);
}
