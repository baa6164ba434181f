import { AgentError } from '../errors.ts';
import type { Outcome } from '../render/output.ts';
import { visible } from '../render/text.ts';
import type { Device } from '../vault/remote.ts';
import { requireYes } from './confirm.ts';
import type { Context } from './context.ts';
import { Elevation } from './elevation.ts';
import { connectRemote } from './open.ts';

/**
 * Shuts a computer out: its token is worth nothing from now on. What it sent stays. Needs an elevation.
 * @throws AgentError `not-found`, `acceptance-missing`, `elevation-required`, `code-refused`
 */
export async function devicesRevoke(context: Context, id: string, code: string | undefined): Promise<Outcome> {
  const { texts, output } = context;
  const { config, remote } = await connectRemote(context);
  try {
    const device = chosen(await remote.devices(), id);
    const self = device.deviceId === config.deviceId;
    const params = { device: visible(device.name) };
    if (device.state === 'revoked')
      return { json: { revoked: device.deviceId, self }, lines: [texts('devices.already', params)] };
    if (self) output.warn('own-device', texts('warning.own-device'));
    await requireYes(context, texts('devices.ask', params));
    await new Elevation(context, remote, code).run(() => remote.revoke(device.deviceId));
    return {
      json: { revoked: device.deviceId, name: device.name, self },
      lines: [`✓ ${texts('devices.done', params)}`, texts('devices.secret')],
    };
  } finally {
    remote.close();
  }
}

/** By the whole id or its beginning. */
function chosen(list: readonly Device[], id: string): Device {
  const wanted = id.toLowerCase();
  const found = list.filter(({ deviceId }) => wanted !== '' && deviceId.startsWith(wanted));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const params = { id };
  if (found.length > 1)
    throw new AgentError('usage', `several devices begin with ${id}`, { key: 'error.ambiguous-device', params });
  throw new AgentError('not-found', `no device ${id}`, {
    key: 'error.no-device',
    hint: 'hint.no-device',
    params,
    details: { id },
  });
}
