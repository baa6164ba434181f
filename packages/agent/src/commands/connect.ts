import { hostname } from 'node:os';
import { AgentError } from '../errors.ts';
import { findConfig, readToken, saveConfig, saveToken } from '../local/config.ts';
import { changeState } from '../local/state.ts';
import type { Outcome } from '../render/output.ts';
import { visible } from '../render/text.ts';
import type { Enrolment } from '../vault/remote.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';

export interface ConnectArgs {
  readonly server: string;
  readonly code: string;
  readonly device: string | undefined;
}

/**
 * Enrols this computer: spends the code, pins the server's id and receipt keys, keeps the token.
 * @throws AgentError `plain-http`, `code-refused`, `unreachable`, `wrong-server`
 */
export async function connect(context: Context, args: ConnectArgs): Promise<Outcome> {
  const { texts } = context;
  using _lock = await lockHome(context);
  await refuseWhenConnected(context);
  const deviceName = [...(args.device ?? hostname())].slice(0, 100).join('');
  const { HttpRemote } = await import('../vault/http-remote.ts');
  const remote = new HttpRemote({ url: args.server });
  const enrolment = await remote.enrol(args.code.trim(), deviceName).finally(() => remote.close());
  keep(context, args.server, deviceName, enrolment);
  const next = enrolment.vault === 'none' ? 'connect.next-new' : 'connect.next-existing';
  return {
    json: {
      subscriber: enrolment.number,
      subscription: { expiresOn: enrolment.subscription.expiresOn, state: enrolment.subscription.state },
      deviceId: enrolment.deviceId,
      vault: enrolment.vault,
    },
    lines: [texts('connect.done', { number: visible(enrolment.number), device: visible(deviceName) }), texts(next)],
  };
}

/** A second `connect` is for a device that was revoked; a working one keeps its place, and its code is not spent. */
async function refuseWhenConnected(context: Context): Promise<void> {
  const config = findConfig(context.home);
  if (config?.store !== undefined) throw (await import('../vault/store-remote.ts')).readsOnly(config.store);
  const token = readToken(context.home);
  if (!config || !token) return;
  const { HttpRemote } = await import('../vault/http-remote.ts');
  const remote = new HttpRemote({ url: config.server.url, token });
  try {
    await remote.account();
  } catch (error) {
    if (error instanceof AgentError && error.kind === 'device-revoked') return;
    throw error;
  } finally {
    remote.close();
  }
  throw new AgentError('usage', 'this computer is connected already', {
    key: 'error.already-connected',
    hint: 'hint.already-connected',
    params: { url: config.server.url, device: config.deviceName },
  });
}

/** The token is written last: with it, everything else is there. */
function keep(context: Context, url: string, deviceName: string, enrolment: Enrolment): void {
  const { home, now } = context;
  const before = findConfig(home);
  if (before && before.server.serverId !== enrolment.serverId)
    throw new AgentError('wrong-server', 'the server is not the one this computer was connected to');
  saveConfig(home, {
    version: 1,
    server: {
      url,
      serverId: enrolment.serverId,
      receiptKeys: before?.server.receiptKeys ?? enrolment.receiptKeys,
    },
    number: enrolment.number,
    deviceId: enrolment.deviceId,
    deviceName,
    lang: before?.lang,
    mandatesRoot: before?.mandatesRoot,
    vaultId: before?.vaultId,
  });
  const { expiresOn, state } = enrolment.subscription;
  changeState(home, now(), () => ({ subscription: { expiresOn, state, at: now() } }));
  saveToken(home, enrolment.token);
}
