import { existsSync } from 'node:fs';
import { parseHeader } from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import { type Config, findConfig, readToken } from '../local/config.ts';
import { recallRoot } from '../local/keyring.ts';
import { changeState, loadState, type State } from '../local/state.ts';
import { loadMandates, type Mandate } from '../mandate/mandates.ts';
import { explain, type Outcome } from '../render/output.ts';
import { calendarText, sizeText, visible } from '../render/text.ts';
import { schedulePath } from '../schedule/schedule.ts';
import { readPin } from '../vault/pin.ts';
import type { Account } from '../vault/remote.ts';
import { cached } from '../vault/unlock.ts';
import type { Context } from './context.ts';
import { lockIfFree } from './home-lock.ts';
import { mandateJson, mandateLines } from './mandate-list.ts';
import { accountWarnings, diskWarnings, localWarnings, type StatusWarning } from './status-warnings.ts';

/**
 * The subscription's date, the mandates with their last snapshot, and what deserves attention. Works without the
 * server (last known state) and without the secret key; with a remembered key it also looks into the Safe.
 */
export async function status(context: Context): Promise<Outcome> {
  const { home, now } = context;
  const config = findConfig(home);
  const mandates = loadMandates(home);
  if (!config || readToken(home) === undefined) return unconnected(context, mandates);
  const warnings: StatusWarning[] = [];
  // while another run holds the lock, the status tells what is known and leaves the vault to that run
  using lock = await lockIfFree(context);
  const account = await askServer(context, warnings, lock !== undefined);
  if (lock) await lookInside(context, account, warnings);
  const state = loadState(home, now());
  warnings.push(...accountWarnings(context, account, state));
  warnings.push(
    ...localWarnings({
      context,
      mandates,
      state,
      unanchored: isUnanchored(context, account),
      hasKit: hasKit(context),
      present: existsSync,
    }),
    ...(await scheduleWarnings(context)),
  );
  return outcome(context, { config, mandates, state, account, warnings });
}

/** A schedule that nothing starts, whose last run failed or that is damaged: nobody is there to see it (what `doctor` says). */
async function scheduleWarnings(context: Context): Promise<StatusWarning[]> {
  if (!existsSync(schedulePath(context.home))) return [];
  const { scheduleChecks } = await import('./doctor-local.ts');
  try {
    const off = scheduleChecks(context).filter(({ state }) => state !== 'ok');
    return off.map(({ id, message }) => ({ code: id, message }));
  } catch (error) {
    const typed = toAgentError(error);
    return [{ code: 'schedule', message: explain(typed, context.texts).message }];
  }
}

/** Points, copies and restores need no connection: what they leave to say is said without one. */
async function unconnected(context: Context, mandates: readonly Mandate[]): Promise<Outcome> {
  const { home, texts, now } = context;
  using _lock = await lockIfFree(context);
  const store = findConfig(home)?.store;
  const state = loadState(home, now());
  const warnings = diskWarnings({ context, mandates, state, present: existsSync });
  const lines = mandates.length === 0 ? [] : mandateLines(context, mandates, state);
  return {
    json: {
      connected: false,
      ...(store === undefined ? {} : { store }),
      subscription: null,
      mandates: mandates.map((mandate) => mandateJson(mandate, state)),
      warnings,
    },
    lines: [
      ...(store === undefined
        ? [texts('status.not-connected'), texts.find('hint.not-connected') ?? '']
        : [texts('status.store', { path: visible(store) })]),
      ...lines.map((line) => `  ${line}`),
      ...warnings.map(({ message }) => `⚠ ${message}`),
    ],
  };
}

async function askServer(context: Context, warnings: StatusWarning[], mayNote: boolean): Promise<Account | undefined> {
  const { home, texts, now } = context;
  const { connectRemote } = await import('./open.ts');
  const { remote } = await connectRemote(context);
  try {
    const account = await remote.account();
    const { expiresOn, state } = account.subscription;
    if (mayNote) changeState(home, now(), () => ({ subscription: { expiresOn, state, at: now() } }));
    return account;
  } catch (error) {
    const typed = toAgentError(error);
    if (typed.kind === 'unexpected') throw error;
    warnings.push({ code: typed.kind, message: explain(typed, texts).message });
    warnings.push({ code: 'offline', message: texts('warning.unreachable') });
    return undefined;
  } finally {
    remote.close();
  }
}

/** With a remembered key the history is synced and verified; what is wrong with it becomes a warning, not a failure. */
async function lookInside(context: Context, account: Account | undefined, warnings: StatusWarning[]): Promise<void> {
  if (account?.vault !== 'exists') return;
  const remembered = await recallRoot(context.home);
  if (!remembered) return;
  const { connectRemote, openWithKeys, unlockKeys } = await import('./open.ts');
  const { texts } = context;
  const quiet = { ...context, output: collecting(context, warnings) };
  const connection = await connectRemote(quiet);
  try {
    const keys = await unlockKeys(quiet, connection, { root: remembered.root });
    const safe = await openWithKeys(quiet, connection, keys, 'read');
    const { broken } = safe.vault;
    if (broken) warnings.push({ code: broken.kind, message: explain(broken, texts).message });
    safe.close();
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    warnings.push({ code: error.kind, message: explain(error, texts).message });
  } finally {
    connection.remote.close();
  }
}

/** An output whose warnings become lines of the status instead of being said on the way. */
function collecting({ output }: Context, warnings: StatusWarning[]): Context['output'] {
  return Object.assign(Object.create(output) as Context['output'], {
    warn: (code: string, message: string) => {
      warnings.push({ code, message });
    },
  });
}

function isUnanchored({ home }: Context, account: Account | undefined): boolean {
  const { pin } = readPin(home.vault);
  return pin === undefined ? account?.vault === 'exists' : pin.anchored === null;
}

/** As the header says that this computer saw last. */
function hasKit({ home }: Context): boolean | undefined {
  const header = cached(home.vault)?.header;
  return header && parseHeader(header).kitSlot !== undefined;
}

interface Facts {
  readonly config: Config;
  readonly mandates: readonly Mandate[];
  readonly state: State;
  readonly account: Account | undefined;
  readonly warnings: readonly StatusWarning[];
}

function outcome(context: Context, { config, mandates, state, account, warnings }: Facts): Outcome {
  const subscription = account?.subscription ?? state.subscription;
  const { texts } = context;
  return {
    json: {
      connected: true,
      online: account !== undefined,
      subscriber: config.number,
      deviceId: config.deviceId,
      subscription: subscription ? { expiresOn: subscription.expiresOn, state: subscription.state } : null,
      quota: account?.quota ?? null,
      mandates: mandates.map((mandate) => mandateJson(mandate, state)),
      warnings,
    },
    lines: [
      subscription
        ? texts('status.subscription', { date: calendarText(subscription.expiresOn) })
        : texts('status.subscription-unknown'),
      texts('status.device', {
        number: visible(config.number),
        device: visible(config.deviceName),
        url: visible(config.server.url),
      }),
      ...quotaLines(context, account),
      ...(mandates.length === 0
        ? [texts('mandate.empty')]
        : [texts('status.mandates'), ...mandateLines(context, mandates, state).map((line) => `  ${line}`)]),
      ...(warnings.length === 0 && mandates.length > 0 ? [`● ${texts('status.good')}`] : []),
      ...warnings.map(({ message }) => `⚠ ${message}`),
    ],
  };
}

function quotaLines({ texts }: Context, account: Account | undefined): string[] {
  if (!account) return [];
  const { usedBytes, bytes } = account.quota;
  const { language } = texts;
  return [texts('status.used', { used: sizeText(usedBytes, language), quota: sizeText(bytes, language) })];
}
