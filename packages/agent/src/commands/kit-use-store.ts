import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asDeviceId } from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import { type Config, findConfig, saveConfig } from '../local/config.ts';
import { rememberRoot } from '../local/keyring.ts';
import { explain, type Outcome } from '../render/output.ts';
import { momentText, table, visible } from '../render/text.ts';
import { StoreRemote } from '../vault/store-remote.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { decodedKit, givenKit, type KitUseArgs } from './kit-source.ts';
import { openCopy, warner } from './open.ts';
import { kitFits } from './open-store.ts';

const VAULT_NAME = /^[0-9a-f]{32}$/;

/**
 * Opens the vault in a copy of the bucket with the kit alone: no server, no account, no key ring, no database. From then
 * on this computer reads from that copy; its root is remembered, since there is no secret key to ask for.
 * @throws AgentError `usage` on a computer that is connected, `not-found`, `wrong-secret` when the kit opens none of them
 */
export async function kitUseStore(context: Context, store: string, args: KitUseArgs): Promise<Outcome> {
  const { home, texts, output } = context;
  const folder = folderOf(store);
  using _lock = await lockHome(context);
  const before = findConfig(home);
  if (before !== undefined && before.store === undefined) throw connected(home.dir);
  const kit = await givenKit(context, args.kitFile);
  const secret = decodedKit(kit.code);
  const found = findVault(context, folder, secret, kit.vaultId);
  const config = configOf(found, before);
  const safe = await openCopy(context, config, 'read', { kit: secret });
  try {
    const { vault } = safe;
    checkAnchor(context, vault, args.anchor ?? kit.headCode);
    saveConfig(home, config);
    const place = await rememberRoot(home, vault.keys.root);
    if (place === 'file') output.warn('keyring-file', texts('warning.keyring-file', { path: visible(home.rootKey) }));
    return outcome(context, vault, found.dir, place);
  } finally {
    safe.close();
  }
}

/** The folder of `file:DIR`. @throws AgentError `usage`, `path-missing` */
function folderOf(store: string): string {
  if (!/^file:/i.test(store))
    throw new AgentError('usage', 'not a file: store', { key: 'error.store-address', hint: 'hint.store-address' });
  const path = store.startsWith('file://') ? fileURLToPath(store) : resolve(store.slice('file:'.length));
  if (!existsSync(path))
    throw new AgentError('path-missing', `${path} is not there`, { key: 'error.file-missing', params: { path } });
  return path;
}

interface Found {
  /** The vault's own folder. */
  readonly dir: string;
  readonly remote: StoreRemote;
  readonly deviceId: Config['deviceId'];
}

/** The vault that the kit opens. The folder may be that of the whole bucket, its `v`, or a vault's own. */
function findVault(context: Context, folder: string, kit: Uint8Array, vaultId: string | undefined): Found {
  const all = vaultFolders(folder).filter((dir) => vaultId === undefined || basename(dir) === vaultId);
  const deviceId = findConfig(context.home)?.deviceId ?? asDeviceId(new Uint8Array(randomBytes(16)));
  const failures: AgentError[] = [];
  let replaced = false;
  for (const dir of all) {
    const remote = new StoreRemote({ dir, deviceId, now: context.now, warn: () => undefined });
    try {
      const fits = kitFits(remote, kit);
      if (fits === 'opens') return { dir, remote, deviceId };
      replaced ||= fits === 'replaced';
    } catch (error) {
      failures.push(toAgentError(error));
    }
  }
  if (failures.length > 0 && failures.length === all.length) throw failures[0];
  const params = { path: folder, vaults: all.length };
  if (all.length === 0)
    throw new AgentError('not-found', `no vault in ${folder}`, {
      key: 'error.store-none',
      hint: 'hint.store-none',
      params,
    });
  throw new AgentError('wrong-secret', 'the kit opens no vault of the copy', {
    key: replaced ? 'error.store-old-kit' : 'error.store-wrong-kit',
    hint: 'hint.none',
    params,
  });
}

function vaultFolders(folder: string): string[] {
  if (existsSync(join(folder, 'j'))) return [folder];
  const above = existsSync(join(folder, 'v')) ? join(folder, 'v') : folder;
  return readdirSync(above)
    .filter((name) => VAULT_NAME.test(name) && existsSync(join(above, name, 'j')))
    .map((name) => join(above, name));
}

function configOf({ dir, remote, deviceId }: Found, before: Config | undefined): Config {
  return {
    version: 1,
    server: { url: `file:${dir}`, serverId: remote.serverId, receiptKeys: [] },
    number: '',
    deviceId,
    deviceName: [...hostname()].slice(0, 100).join(''),
    lang: before?.lang,
    vaultId: remote.header.vaultId,
    store: dir,
  };
}

/** The head code that was printed with the kit shows a copy that is older than it, or another one: told, not refused. */
function checkAnchor(context: Context, vault: Vault, code: string | undefined): void {
  if (code === undefined) return;
  try {
    vault.anchor({ code });
  } catch (error) {
    const { message } = explain(toAgentError(error), context.texts);
    warner(context)({ code: 'store-older', params: { reason: message } });
  }
}

function outcome({ texts }: Context, vault: Vault, store: string, place: string): Outcome {
  const mandates = [...byMandate(vault.snapshots()).values()];
  const rows = mandates.map((snapshots) => {
    const newest = snapshots.at(-1) as SnapshotInfo;
    return [
      visible(newest.mandateName),
      texts('kit.store-snapshots', { count: snapshots.length }),
      texts('kit.store-last', { date: momentText(newest.createdAt) }),
    ];
  });
  return {
    json: {
      vaultId: vault.keys.vaultId,
      store,
      entries: vault.history.seq,
      headCode: vault.history.state.code ?? null,
      remembered: place,
      mandates: mandates.map((snapshots) => {
        const { mandateName, mandateRef, id, createdAt } = snapshots.at(-1) as SnapshotInfo;
        return { name: mandateName, ref: mandateRef, snapshots: snapshots.length, last: { id, createdAt } };
      }),
    },
    lines: [
      texts('kit.store-open', { path: visible(store) }),
      ...table(rows),
      texts('kit.store-next'),
      texts('kit.store-unchecked'),
    ],
  };
}

function byMandate(snapshots: readonly SnapshotInfo[]): Map<string, SnapshotInfo[]> {
  return Map.groupBy(snapshots, ({ mandateId }) => mandateId);
}

function connected(home: string): AgentError {
  return new AgentError('usage', 'this computer is connected', {
    key: 'error.store-connected',
    hint: 'hint.store-connected',
    params: { path: home },
  });
}
