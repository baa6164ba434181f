import type { Outcome } from '../render/output.ts';
import { brief, momentText, table } from '../render/text.ts';
import type { Device } from '../vault/remote.ts';
import type { Context } from './context.ts';
import { connectRemote } from './open.ts';

/** The computers that are enrolled. @throws AgentError `unreachable`, `device-revoked` */
export async function devices(context: Context): Promise<Outcome> {
  const { config, remote } = await connectRemote(context);
  const list = await remote.devices().finally(() => remote.close());
  return {
    json: { devices: list.map((device) => ({ ...device, self: device.deviceId === config.deviceId })) },
    lines: table(list.map((device) => deviceCells(context, device, device.deviceId === config.deviceId))),
  };
}

function deviceCells({ texts }: Context, device: Device, self: boolean): string[] {
  return [
    brief(device.name, 40),
    stateText(texts, device.state),
    device.lastSeenAt === null
      ? texts('devices.never')
      : texts('devices.seen', { date: momentText(device.lastSeenAt) }),
    self ? texts('devices.this') : '',
    device.deviceId,
  ];
}

function stateText(texts: Context['texts'], state: string): string {
  return texts.find(`devices.${state}`) ?? brief(state, 20);
}
