import {
  accountResponse,
  type DeviceBody,
  deviceParams,
  devicesResponse,
  enrolRequest,
  enrolResponse,
  proofRequest,
  proofResponse,
  ROUTES,
} from '@cresus-safe/protocol/http';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import { type Device, deviceRoute, publicRoute, type Route } from '../http/route.ts';
import { showAccount } from './account.ts';
import { listDevices, revokeDevice } from './devices.ts';
import { enrol } from './enrolment.ts';
import type { DeviceRow } from './entities.ts';
import { mirrorChanges } from './mirror.ts';
import { proveDevice } from './proof.ts';

/** The routes of enrolment, devices and the account. */
export function createAccountRoutes(deps: Deps): Route[] {
  return [enrolRoute(deps), devicesRoute(deps), deleteRoute(deps), proofRoute(deps), accountRoute(deps)];
}

function enrolRoute(deps: Deps): Route {
  return publicRoute({
    method: 'POST',
    path: ROUTES.devices,
    id: 'enrol',
    summary: 'Enrols a computer with a single-use code',
    body: { kind: 'json', schema: enrolRequest, maxBytes: 4096 },
    answers: { 201: { description: 'Enrolled; the token is shown only here', json: enrolResponse } },
    errors: ['code-refused', 'rate-limited'],
    handle: async ({ body, ip }) => ({ status: 201, json: await enrol(deps, { ...body, ip }) }),
  });
}

function devicesRoute(deps: Deps): Route {
  return deviceRoute({
    method: 'GET',
    path: ROUTES.devices,
    id: 'listDevices',
    summary: 'The computers of this subscriber',
    access: 'read',
    answers: { 200: { description: 'Oldest first, revoked ones too', json: devicesResponse } },
    handle: async ({ device }) => {
      const rows = await deps.db.read((manager) => listDevices(manager, device.subscriberNumber));
      return { status: 200, json: { devices: rows.map((row) => deviceBody(row, device)) } };
    },
  });
}

function deviceBody(row: DeviceRow, asking: Device): DeviceBody {
  const { deviceId, name, createdAt, lastSeenAt } = row;
  const state = row.revokedAt === null ? row.state : 'revoked';
  return { deviceId, name, state, createdAt, lastSeenAt, current: deviceId === asking.deviceId };
}

function deleteRoute(deps: Deps): Route {
  return deviceRoute({
    method: 'DELETE',
    path: ROUTES.device,
    id: 'revokeDevice',
    summary: 'Revokes a computer; its token is refused at once',
    access: 'forget',
    params: deviceParams,
    answers: { 204: { description: 'Revoked' } },
    errors: ['elevation-required', 'not-found'],
    handle: async ({ device, params: { deviceId } }) => {
      const number = device.subscriberNumber;
      await deps.db.write(async (manager) => {
        const revoked = await revokeDevice(manager, { number, deviceId, now: deps.clock() });
        if (!revoked) throw new ServerError('not-found');
        const event = { actor: `device:${device.deviceId}`, number, operation: 'device-revoke', facts: { deviceId } };
        await deps.audit.record(manager, event);
      });
      await mirrorChanges(deps);
      return { status: 204, empty: true };
    },
  });
}

function proofRoute(deps: Deps): Route {
  return deviceRoute({
    method: 'POST',
    path: ROUTES.proof,
    id: 'proveDevice',
    summary: 'Proves that this computer knows the vault key',
    access: 'device',
    body: { kind: 'json', schema: proofRequest, maxBytes: 4096 },
    answers: { 200: { description: 'The device is active', json: proofResponse } },
    errors: ['vault-none', 'bad-signature'],
    handle: async ({ device, body }) => {
      await proveDevice(deps, device, body.signature);
      return { status: 200, json: { state: 'active' } };
    },
  });
}

function accountRoute(deps: Deps): Route {
  return deviceRoute({
    method: 'GET',
    path: ROUTES.account,
    id: 'getAccount',
    summary: 'Subscription, quota, server time, receipt keys and head',
    access: 'device',
    answers: { 200: { description: 'The account', json: accountResponse } },
    handle: async ({ device }) => ({ status: 200, json: await showAccount(deps, device) }),
  });
}
