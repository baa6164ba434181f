import { resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { keepMandatesRoot } from '../local/config.ts';
import { ensureFolder } from '../local/files.ts';
import { type KnownMandate, loadState, type State } from '../local/state.ts';
import { getMandate, loadMandates, type Mandate, overlaps, saveMandates } from '../mandate/mandates.ts';
import type { ModuleFile } from '../mandate/modules.ts';
import { findOpenIn, type OpenFindings } from '../open-modules/open-modules.ts';
import type { Texts } from '../render/i18n.ts';
import type { Outcome } from '../render/output.ts';
import { calendarText, momentText, table, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';

/** The mandates of this computer with what is known of their last snapshot. */
export async function mandateList(context: Context): Promise<Outcome> {
  const { home, texts, now } = context;
  const mandates = loadMandates(home);
  const state = loadState(home, now());
  const findings = await findOpenIn(mandates);
  return {
    json: { mandates: mandates.map((mandate, at) => mandateJson(mandate, state, findings[at])) },
    lines: mandates.length === 0 ? [texts('mandate.empty')] : mandateLines(context, mandates, state, findings),
  };
}

/** One line a mandate: name, last snapshot, last point, modules (and which are open, where that was looked at), folder. */
export function mandateLines(
  { texts }: Context,
  mandates: readonly Mandate[],
  state: State,
  findings: readonly OpenFindings[] = [],
): string[] {
  return table(
    mandates.map((mandate, at) => {
      const last = knownOf(mandate, state)?.lastSnapshot;
      const closed = knownOf(mandate, state)?.yearClosed;
      const point = lastPointOf(mandate, state);
      return [
        visible(mandate.name),
        [
          last ? texts('mandate.last', { date: momentText(last.receivedAt) }) : texts('mandate.never'),
          ...(closed
            ? [texts('mandate.year-closed', { year: closed.year, date: calendarText(closed.holdUntil) })]
            : []),
          ...(point ? [texts('mandate.last-point', { date: momentText(point.createdAt) })] : []),
        ].join(', '),
        mandate.modules.map((module) => moduleText(texts, module, findings[at])).join(', '),
        visible(mandate.path),
      ];
    }),
  );
}

function moduleText(texts: Texts, { kind, file }: ModuleFile, findings: OpenFindings | undefined): string {
  const module = texts(`module.${kind}`);
  return isOpen(file, findings) === true ? texts('modules.open', { module }) : module;
}

/** Null where it was not looked at, or the system did not tell. */
function isOpen(file: string, findings: OpenFindings | undefined): boolean | null {
  if (findings?.open.some((one) => one.file === file)) return true;
  return findings === undefined || findings.unknown !== undefined ? null : false;
}

/** A mandate as scripts see it. A module's `open` is null where whether it is was not looked at. */
export function mandateJson(mandate: Mandate, state: State, findings?: OpenFindings): Record<string, unknown> {
  const known = knownOf(mandate, state);
  return {
    name: mandate.name,
    ref: known?.ref ?? null,
    path: mandate.path,
    modules: mandate.modules.map(({ kind, file }) => ({ kind, file, open: isOpen(file, findings) })),
    lastSnapshot: known?.lastSnapshot ?? null,
    yearClosed: known?.yearClosed?.year ?? null,
    holdUntil: known?.yearClosed?.holdUntil ?? null,
    lastPoint: lastPointOf(mandate, state),
  };
}

function lastPointOf(mandate: Mandate, state: State): { id: string; createdAt: number } | null {
  const last = state.lastPoints?.find(({ mandateId }) => mandateId === mandate.mandateId);
  return last ? { id: last.id, createdAt: last.createdAt } : null;
}

function knownOf(mandate: Mandate, state: State): KnownMandate | undefined {
  return state.known?.find(({ mandateId }) => mandateId === mandate.mandateId);
}

/** Stops following a mandate here; its folder and its snapshots stay. @throws AgentError `not-found` */
export async function mandateRemove(context: Context, name: string): Promise<Outcome> {
  const { home, texts, now } = context;
  using _lock = await lockHome(context);
  const mandates = loadMandates(home);
  const gone = getMandate(mandates, name);
  saveMandates(
    home,
    mandates.filter((mandate) => mandate !== gone),
  );
  return {
    json: { mandates: [mandateJson(gone, loadState(home, now()))], removed: gone.name },
    lines: [texts('mandate.removed', { name: visible(gone.name) })],
  };
}

/** Chooses the folder in which restored mandates are created; needs no connection. @throws AgentError `usage`, the disk kinds */
export async function mandateRoot(context: Context, dir: string): Promise<Outcome> {
  const { home, texts } = context;
  const path = resolve(dir);
  if (overlaps(home.dir, path))
    throw new AgentError('usage', 'the mandates folder overlaps the home folder', { key: 'error.root-in-home' });
  using _lock = await lockHome(context);
  ensureFolder(path);
  keepMandatesRoot(home, path);
  return { json: { mandatesRoot: path }, lines: [texts('mandate.root-set', { path: visible(path) })] };
}
