import { resolve } from 'node:path';
import { DeviceEntity, SubscriberEntity } from '../accounts/entities.ts';
import { accountKey, deviceKey } from '../accounts/mirror.ts';
import { shareKey } from '../blobs/keys.ts';
import { readBlob } from '../blobs/store.ts';
import type { Config } from '../config.ts';
import type { Deps } from '../deps.ts';
import { OperatorError, ServerError } from '../errors.ts';
import { KeyRing } from '../keyring/ring.ts';
import { createRingFile, readRing } from '../keyring/ring-file.ts';
import { confirmRing, isRingConfirmed } from '../system.ts';
import { HeaderEntity } from '../vaults/entities.ts';
import { print, type Terminal } from './terminal.ts';

const MAX_SEALED = 64 * 1024;

/** `keys create`: makes the key ring before the first start, on an installation that has none. */
export async function create(config: Config, terminal: Terminal, random: (n: number) => Uint8Array): Promise<void> {
  const ring = KeyRing.create(random, Date.now());
  const file = config.keysFile;
  await createRingFile(file, ring);
  const document = { file, serverId: ring.serverId, fingerprint: ring.fingerprint() };
  print(terminal, document, () => [terminal.t('keys.created', { file }), terminal.t('keys.keep-elsewhere', { file })]);
}

/**
 * `keys verify [COPY]`: opens everything that the ring has sealed and the database knows of; with COPY also compares
 * the copy kept elsewhere, which ends the warning of `serve`.
 *
 * @throws OperatorError `keys.cannot-open`, `keys.differs`, `keys.no-copy`, `keys.same-file`
 */
export async function verify(
  { deps, operator, terminal }: { deps: Deps; operator: string; terminal: Terminal },
  copy: string | undefined,
): Promise<void> {
  const opened = await openAll(deps);
  if (copy !== undefined) await verifyCopy(deps, operator, resolve(copy));
  const { ring, config } = deps;
  const confirmed = await isRingConfirmed(deps);
  const fingerprint = ring.fingerprint();
  const document = { file: config.keysFile, serverId: ring.serverId, fingerprint, opened, confirmed };
  const { t } = terminal;
  print(terminal, document, () => [
    t('keys.verified', { fingerprint, count: String(opened) }),
    ...(copy === undefined ? [] : [t('keys.copy-verified', { file: resolve(copy) })]),
    ...(confirmed ? [] : [t('keys.keep-elsewhere', { file: config.keysFile })]),
  ]);
}

async function verifyCopy(deps: Deps, operator: string, file: string): Promise<void> {
  if (file === deps.config.keysFile) throw new OperatorError('keys.same-file', { file });
  const copy = await readRing(file, deps.random);
  if (copy === undefined) throw new OperatorError('keys.no-copy', { file }, 14);
  const fingerprint = deps.ring.fingerprint();
  if (copy.fingerprint() !== fingerprint) throw new OperatorError('keys.differs', { file }, 1);
  await deps.db.write(async (manager) => {
    await confirmRing(manager, deps.ring);
    const event = { actor: `operator:${operator}`, operation: 'keys-verify', facts: { fingerprint } };
    await deps.audit.record(manager, event);
  });
}

/** Opens the newest sealed object of each account and device, and every share. @returns how many */
async function openAll({ db, blobs, ring }: Deps): Promise<number> {
  const { keys, shares } = await db.read(async (manager) => {
    const accounts = await manager.find(SubscriberEntity);
    const devices = await manager.find(DeviceEntity);
    return {
      keys: [
        ...accounts.filter((row) => row.mirrored > 0).map((row) => accountKey(row.number, row.mirrored)),
        ...devices.filter((row) => row.mirrored > 0).map((row) => deviceKey(row.number, row.deviceId, row.mirrored)),
      ],
      shares: await manager.find(HeaderEntity),
    };
  });
  try {
    for (const key of keys) {
      const sealed = await readBlob(blobs, key, MAX_SEALED);
      if (sealed === undefined) throw new ServerError('stored-damaged', { detail: 'A sealed object is missing' });
      ring.open(key, sealed);
    }
    for (const row of shares) ring.open(shareKey(row.vaultId, row.headerSeq), row.sealedShare);
  } catch (cause) {
    throw new OperatorError('keys.cannot-open', {}, 1, { cause });
  }
  return keys.length + shares.length;
}
