import { existsSync } from 'node:fs';
import { normaliseSecret, type VaultKeys } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { type Config, findConfig, loadConfig, readToken, saveConfig } from '../local/config.ts';
import { prepareHome } from '../local/home.ts';
import { recallRoot, rememberRoot } from '../local/keyring.ts';
import { changeState, type KnownMandate } from '../local/state.ts';
import type { Warning } from '../vault/history-state.ts';
import type { HttpRemote } from '../vault/http-remote.ts';
import type { Remote } from '../vault/remote.ts';
import type { Opener } from '../vault/unlock.ts';
import type { Vault, VaultOptions } from '../vault/vault.ts';
import type { Context } from './context.ts';
import { promisedRetention } from './retention.ts';
import { askSecret } from './secret-source.ts';
import { closedYear, dateOfNumber } from './snapshot-json.ts';

/** A connection to the server this computer was enrolled with. */
export interface Connection {
  readonly config: Config;
  readonly remote: HttpRemote;
}

/** An open vault with the connection it lives on; `close` ends the connection and wipes the keys. */
export interface Safe extends Connection {
  readonly vault: Vault;
  close(): void;
}

export type Mode = NonNullable<VaultOptions['mode']>;

/** @throws AgentError `usage` when this computer is not connected */
export async function connectRemote(context: Context): Promise<Connection> {
  const { home, version, uploadLimit } = context;
  const config = loadConfig(home);
  if (config.store !== undefined) throw (await import('../vault/store-remote.ts')).readsOnly(config.store);
  const token = readToken(home);
  if (token === undefined)
    throw new AgentError('usage', 'this computer has no token', {
      key: 'error.not-connected',
      hint: 'hint.not-connected',
    });
  prepareHome(home);
  const { HttpRemote } = await import('../vault/http-remote.ts');
  const pace = uploadLimit && new (await import('../vault/pacer.ts')).Pacer({ limit: uploadLimit });
  return { config, remote: new HttpRemote({ url: config.server.url, token, agentVersion: version, pace }) };
}

/** Passes a warning of the vault on to the user, in the language of the run. */
export function warner({ texts, output }: Context): (warning: Warning) => void {
  return ({ code, params }) => {
    output.warn(code, texts.find(`warning.${code}`, params) ?? texts('warning.other', { message: code }));
  };
}

/**
 * Opens the vault: remembered root, else the secret key. With mode 'read' a history that the server took back does not
 * stop what only reads; 'look' is that for who does not hold the lock of the home, and writes nothing into it.
 * @throws AgentError as `unlock` and `openVault`
 */
export async function openSafe(context: Context, mode: Mode, opener?: Opener): Promise<Safe> {
  const config = findConfig(context.home);
  if (config?.store !== undefined) return openCopy(context, config, mode, opener);
  const connection = await connectRemote(context);
  try {
    const keys = await unlockKeys(context, connection, opener, mode !== 'look');
    return await openWithKeys(context, connection, keys, mode);
  } catch (error) {
    connection.remote.close();
    throw error;
  }
}

/** The keys of the vault; at the first time on this computer this also proves to the server that they are held here. */
export async function unlockKeys(
  context: Context,
  connection: Connection,
  opener?: Opener,
  keeps = true,
): Promise<VaultKeys> {
  const { home } = context;
  const { config, remote } = connection;
  const { unlock } = await import('../vault/unlock.ts');
  const open = async (by: Opener): Promise<VaultKeys> =>
    (await unlock({ dir: home.vault, remote, deviceId: config.deviceId, opener: by, warn: warner(context), keeps }))
      .keys;
  const keys = opener === undefined ? await openChosen(context, open) : await open(opener);
  if (keeps && config.vaultId === undefined) saveConfig(home, { ...config, vaultId: keys.vaultId });
  if (keeps && keys.generation > 0) await renewRemembered(context, keys);
  return keys;
}

/** A key given for this run goes before the remembered one: so a script can tell a wrong key (exit 4). */
async function openChosen(context: Context, open: (opener: Opener) => Promise<VaultKeys>): Promise<VaultKeys> {
  const remembered = hasGivenSecret(context) ? undefined : await recallRoot(context.home);
  if (remembered) {
    try {
      return await open({ root: remembered.root });
    } catch (error) {
      if (!isRotated(error) || !context.prompt.interactive) throw error;
      warner(context)({ code: 'rotated' });
    }
  }
  return open({ secret: normaliseSecret(await askSecret(context, context.texts('secret.ask'))) });
}

function isRotated(error: unknown): boolean {
  return error instanceof AgentError && error.key === 'error.rotated';
}

/** After a rotation the root that is remembered here opens nothing: the new one takes its place, where one was remembered. */
export async function renewRemembered(context: Context, keys: VaultKeys): Promise<boolean> {
  const remembered = await recallRoot(context.home);
  if (remembered === undefined || !keys.isEarlier(remembered.root)) return false;
  await rememberRoot(context.home, keys.root);
  warner(context)({ code: 'root-renewed' });
  return true;
}

function hasGivenSecret({ secretFile, env }: Context): boolean {
  return secretFile !== undefined || (env['CRESUS_SAFE_SECRET'] ?? '') !== '';
}

/**
 * Opens the vault in a copy of the bucket, which takes the server's place (`kit use --store`); for reading. Receipts are
 * not checked against the server's keys, which only a server tells; chain and signatures of the vault are.
 * @throws AgentError `usage` for what would write
 */
export async function openCopy(context: Context, config: Config, mode: Mode, opener?: Opener): Promise<Safe> {
  const [{ readsOnly }, { unlockStore }] = await Promise.all([
    import('../vault/store-remote.ts'),
    import('./open-store.ts'),
  ]);
  const refusal = readsOnly(config.store ?? '');
  if (mode === 'write') throw refusal;
  const { remote, keys } = await unlockStore(context, config, {
    warn: warner(context),
    keeps: mode !== 'look',
    opener,
  });
  const vault = await openOn(context, config, remote, keys, mode);
  return {
    config,
    vault,
    close: () => keys.wipe(),
    get remote(): HttpRemote {
      throw refusal;
    },
  };
}

/** Syncs and opens the vault with keys that are there already. */
export async function openWithKeys(
  context: Context,
  connection: Connection,
  keys: VaultKeys,
  mode: Mode,
): Promise<Safe> {
  const { config, remote } = connection;
  const vault = await openOn(context, config, remote, keys, mode);
  const close = (): void => {
    remote.close();
    // a rotation put others in their place
    vault.keys.wipe();
  };
  return { ...connection, vault, close };
}

async function openOn(
  context: Context,
  { deviceId, server: { serverId, receiptKeys }, store }: Config,
  remote: Remote,
  keys: VaultKeys,
  mode: Mode,
): Promise<Vault> {
  const { home, now } = context;
  const { openVault } = await import('../vault/vault.ts');
  const server = { serverId, receiptKeys, ...(store === undefined ? {} : { unchecked: true }) };
  const lockDays = promisedRetention(context);
  const vault = await openVault({
    dir: home.vault,
    remote,
    keys,
    deviceId,
    server,
    now,
    warn: warner(context),
    mode,
    lockDays,
  });
  if (mode !== 'look') {
    rememberKnown(context, vault);
    await tiePoints(context, keys);
  }
  return vault;
}

/** Only here are both roots at hand: the one of the points is kept under the Safe's, or found again by it. */
export async function tiePoints(context: Context, keys: VaultKeys): Promise<void> {
  if (!existsSync(context.home.points)) return;
  const { tieRoot } = await import('../points/root.ts');
  if (tieRoot(context.home, keys) === 'recovered') warner(context)({ code: 'points-root-recovered' });
}

/** Keeps what the Safe holds for the commands that work without the secret key (`mandate add`, `mandate list`, `status`). */
export function rememberKnown({ home, now }: Context, vault: Vault): readonly KnownMandate[] {
  const known = new Map<string, KnownMandate>();
  for (const { mandateId, mandateRef, mandateName, id, seq, receivedAt, holdUntil } of vault.snapshots()) {
    const lastSnapshot = { id, seq, receivedAt };
    const yearClosed = laterYear(known.get(mandateId)?.yearClosed, holdUntil);
    known.set(mandateId, {
      ...{ mandateId, ref: mandateRef, name: mandateName, lastSnapshot },
      ...(yearClosed && { yearClosed }),
    });
  }
  const list = [...known.values()];
  changeState(home, now(), () => ({ known: list }));
  return list;
}

function laterYear(known: KnownMandate['yearClosed'], holdUntil: number): KnownMandate['yearClosed'] {
  const year = closedYear({ holdUntil });
  if (year === null || (known !== undefined && known.year >= year)) return known;
  return { year, holdUntil: dateOfNumber(holdUntil).iso };
}

/** The mandates that the Safe holds, after asking it. */
export async function lookIntoSafe(context: Context): Promise<readonly KnownMandate[]> {
  const safe = await openSafe(context, 'read');
  try {
    return rememberKnown(context, safe.vault);
  } finally {
    safe.close();
  }
}
