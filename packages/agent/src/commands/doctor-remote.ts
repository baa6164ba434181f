import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Check } from '../doctor/check.ts';
import { toAgentError } from '../errors.ts';
import { findConfig, loadConfig, readToken } from '../local/config.ts';
import { recallRoot } from '../local/keyring.ts';
import { loadState } from '../local/state.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { counted, countText, visible } from '../render/text.ts';
import type { Account } from '../vault/remote.ts';
import type { Context } from './context.ts';
import { badCheck, okCheck, warnCheck, wrongCheck } from './doctor-texts.ts';
import { connectRemote, openWithKeys, type Safe, unlockKeys } from './open.ts';
import { RestoreStores } from './restore-stores.ts';
import { accountWarnings } from './status-warnings.ts';

/** What was learnt on the way, for who shows more than the checks. */
export interface Told {
  account?: Account;
  mandates?: readonly Mandate[];
}

/** The connection, the clocks and the subscription. */
export async function serverChecks(context: Context, told: Told): Promise<Check[]> {
  const { home, now } = context;
  const config = findConfig(home);
  if (!config) loadConfig(home); // says whether it is missing or damaged
  const { remote } = await connectRemote(context);
  const asked = now();
  try {
    const account = await remote.account();
    told.account = account;
    const params = { url: visible(config?.server.url ?? ''), ms: Math.max(0, now() - asked) };
    const warned = accountWarnings(context, account, loadState(home, now()));
    return [
      okCheck(context, 'server', params.url.startsWith('https:') ? 'doctor.server-tls' : 'doctor.server', params),
      ...(warned.some(({ code }) => code === 'clock') ? [] : [okCheck(context, 'clock', 'doctor.clock')]),
      ...warned.map(({ code, message }): Check => {
        const hint = code === 'clock' ? context.texts('doctor.hint-clock') : context.texts('doctor.hint-subscription');
        return { id: code === 'clock' ? 'clock' : 'subscription', state: 'warn', message, hint };
      }),
      ...subscriptionChecks(context, account),
    ];
  } finally {
    remote.close();
  }
}

function subscriptionChecks(context: Context, { subscription, quota }: Account): Check[] {
  const date = subscription.expiresOn.split('-').reverse().join('.');
  const { usedBytes, bytes } = quota;
  const percent = bytes > 0 ? Math.round((usedBytes / bytes) * 100) : 0;
  return [
    subscription.maySend
      ? okCheck(context, 'subscription', 'doctor.subscription', { date })
      : wrongCheck(
          context,
          'subscription',
          subscription.state === 'suspended' ? 'suspended' : 'subscription-expired',
          'doctor.subscription-ended',
          { date },
        ),
    percent < 90
      ? okCheck(context, 'quota', 'doctor.quota', { percent })
      : warnCheck(context, 'quota', 'doctor.quota-high', { percent }),
  ];
}

/** The remembered key, the history that the server shows, and the caches. */
export async function vaultChecks(context: Context, mayOpen: boolean): Promise<Check[]> {
  const { home } = context;
  if (!findConfig(home) || readToken(home) === undefined) return [];
  const remembered = await recallRoot(home);
  if (!remembered) return [warnCheck(context, 'keyring', 'doctor.key-none')];
  const place = okCheck(context, 'keyring', remembered.place === 'file' ? 'doctor.key-file' : 'doctor.key-ring');
  if (!mayOpen) return [place];
  try {
    return [place, ...(await lookInside(context, remembered.root))];
  } catch (error) {
    const typed = toAgentError(error);
    // that the server does not answer is said already
    return typed.kind === 'unreachable' || typed.kind === 'tls' ? [place] : [place, badCheck(context, 'vault', typed)];
  }
}

async function lookInside(context: Context, root: Uint8Array): Promise<Check[]> {
  const connection = await connectRemote(context);
  try {
    const keys = await unlockKeys(context, connection, { root });
    const safe = await openWithKeys(context, connection, keys, 'read');
    try {
      const { vault } = safe;
      const count = vault.snapshots().length;
      const history = vault.broken
        ? badCheck(context, 'vault', vault.broken)
        : okCheck(context, 'vault', 'doctor.vault', { snapshots: counted(context.texts, 'snapshots', count) });
      return [history, ...(await cacheChecks(context, safe))];
    } finally {
      safe.close();
    }
  } finally {
    connection.remote.close();
  }
}

/** Damaged caches cost time, never data: the next send builds them anew. */
async function cacheChecks(context: Context, { vault }: Safe): Promise<Check[]> {
  const { loadFileCache } = await import('../backup/file-cache.ts');
  const { ChunkIndex } = await import('../vault/chunk-index.ts');
  const folder = join(vault.dir, 'mandates');
  const known = new Set(vault.snapshots().map(({ mandateRef }) => mandateRef));
  const names = existsSync(folder) ? new Set(readdirSync(folder)) : new Set<string>();
  let damaged = 0;
  for (const ref of known) {
    if (!names.has(ref)) continue;
    const dir = vault.mandateDir(ref);
    const count = (): void => {
      damaged += 1;
    };
    loadFileCache(dir, vault.keys.cacheKeys(), ref, count);
    ChunkIndex.load(dir, vault.keys.cacheKeys(), ref, count);
  }
  return damaged === 0
    ? [okCheck(context, 'caches', 'doctor.caches')]
    : [warnCheck(context, 'caches', 'doctor.caches-damaged', { count: countText(damaged) })];
}

/** The automatic points of this computer. */
export async function pointsChecks(context: Context, mayOpen: boolean): Promise<Check[]> {
  if (!mayOpen) return [];
  using stores = new RestoreStores(context);
  const points = await stores.pointsIfAny();
  if (!points) return [okCheck(context, 'points', 'doctor.points-none')];
  const { broken } = points.vault;
  if (broken) return [badCheck(context, 'points', broken)];
  return [okCheck(context, 'points', 'doctor.points', { count: countText(points.list().length) })];
}
