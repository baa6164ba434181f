import { resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { loadConfig, saveConfig } from '../local/config.ts';
import { ensureFolder } from '../local/files.ts';
import { type KnownMandate, loadState, type State } from '../local/state.ts';
import { getMandate, loadMandates, type Mandate, overlaps, saveMandates } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { momentText, table, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';

/** The mandates of this computer with what is known of their last snapshot. */
export async function mandateList(context: Context): Promise<Outcome> {
  const { home, texts, now } = context;
  const mandates = loadMandates(home);
  const state = loadState(home, now());
  return {
    json: { mandates: mandates.map((mandate) => mandateJson(mandate, state)) },
    lines: mandates.length === 0 ? [texts('mandate.empty')] : mandateLines(context, mandates, state),
  };
}

/** One line a mandate: name, last snapshot, modules, folder. */
export function mandateLines({ texts }: Context, mandates: readonly Mandate[], state: State): string[] {
  return table(
    mandates.map((mandate) => {
      const last = knownOf(mandate, state)?.lastSnapshot;
      return [
        visible(mandate.name),
        last ? texts('mandate.last', { date: momentText(last.receivedAt) }) : texts('mandate.never'),
        mandate.modules.map(({ kind }) => texts(`module.${kind}`)).join(', '),
        visible(mandate.path),
      ];
    }),
  );
}

/** A mandate as scripts see it. `open` is null: whether a module is open is not looked at in this version. */
export function mandateJson(mandate: Mandate, state: State): Record<string, unknown> {
  const known = knownOf(mandate, state);
  return {
    name: mandate.name,
    ref: known?.ref ?? null,
    path: mandate.path,
    modules: mandate.modules.map(({ kind, file }) => ({ kind, file, open: null })),
    lastSnapshot: known?.lastSnapshot ?? null,
    lastPoint: null,
  };
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

/** Chooses the folder in which restored mandates are created. @throws AgentError `usage`, the disk kinds */
export async function mandateRoot(context: Context, dir: string): Promise<Outcome> {
  const { home, texts } = context;
  const path = resolve(dir);
  if (overlaps(home.dir, path))
    throw new AgentError('usage', 'the mandates folder overlaps the home folder', { key: 'error.root-in-home' });
  const config = loadConfig(home);
  using _lock = await lockHome(context);
  ensureFolder(path);
  saveConfig(home, { ...config, mandatesRoot: path });
  return { json: { mandatesRoot: path }, lines: [texts('mandate.root-set', { path: visible(path) })] };
}
