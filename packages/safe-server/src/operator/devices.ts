import { listDevices, revokeDevice } from '../accounts/devices.ts';
import { DeviceEntity, type DeviceRow } from '../accounts/entities.ts';
import { mirrorChanges } from '../accounts/mirror.ts';
import type { Deps } from '../deps.ts';
import { OperatorError } from '../errors.ts';
import { parseNumber } from './arguments.ts';
import { print, showTime, type Terminal, table } from './terminal.ts';

/** `device list [NUMBER]` */
export async function list(
  { deps, terminal }: { deps: Deps; terminal: Terminal },
  number: string | undefined,
): Promise<void> {
  const rows = await deps.db.read((manager) =>
    number === undefined
      ? manager.find(DeviceEntity, { order: { number: 'ASC', createdAt: 'ASC' } })
      : listDevices(manager, parseNumber(number)),
  );
  print(terminal, { devices: rows.map(deviceDocument) }, () => deviceTable(rows, terminal));
}

/** `device revoke ID`: its token is refused from this moment on. @throws OperatorError `device.none` */
export async function revoke(
  { deps, operator, terminal }: { deps: Deps; operator: string; terminal: Terminal },
  deviceId: string,
): Promise<void> {
  const now = deps.clock();
  const number = await deps.db.write(async (manager) => {
    const row = await manager.findOneBy(DeviceEntity, { deviceId });
    if (row === null || !(await revokeDevice(manager, { number: row.number, deviceId, now })))
      throw new OperatorError('device.none', { id: deviceId }, 14);
    const event = {
      actor: `operator:${operator}`,
      number: row.number,
      operation: 'device-revoke',
      facts: { deviceId },
    };
    await deps.audit.record(manager, event);
    return row.number;
  });
  await mirrorChanges(deps);
  print(terminal, { deviceId, number, revokedAt: now }, () => [terminal.t('device.revoked', { id: deviceId })]);
}

export function deviceDocument(row: DeviceRow): object {
  const { deviceId, number, name, rights, createdAt, lastSeenAt, revokedAt } = row;
  return { deviceId, number, name, state: stateOf(row), rights: rights.split(','), createdAt, lastSeenAt, revokedAt };
}

function stateOf({ revokedAt, state }: DeviceRow): 'revoked' | 'pending' | 'active' {
  return revokedAt === null ? state : 'revoked';
}

export function deviceTable(rows: readonly DeviceRow[], { t }: Terminal): string[] {
  if (rows.length === 0) return [t('list.empty')];
  const head = [
    t('column.device'),
    t('column.number'),
    t('column.name'),
    t('column.state'),
    t('column.created'),
    t('column.seen'),
  ];
  const cells = rows.map((row) => [
    row.deviceId,
    row.number,
    row.name,
    t(`state.${stateOf(row)}`),
    showTime(row.createdAt, t),
    showTime(row.lastSeenAt, t),
  ]);
  return table(head, cells, 2);
}
