import {
  accountResponse,
  type DeviceBody,
  deviceParams,
  devicesResponse,
  type ElevationRequest,
  elevationRequest,
  elevationResponse,
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
import { elevate, mailElevation } from './elevation.ts';
import { enrol } from './enrolment.ts';
import type { DeviceRow } from './entities.ts';
import { mirrorChanges } from './mirror.ts';
import { proveDevice } from './proof.ts';

/** The routes of enrolment, devices and the account. */
export function createAccountRoutes(deps: Deps): Route[] {
  return [
    enrolRoute(deps),
    devicesRoute(deps),
    deleteRoute(deps),
    elevationRoute(deps),
    proofRoute(deps),
    accountRoute(deps),
  ];
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
    access: 'device', // a computer may always shut itself out; for another one it needs an elevation
    params: deviceParams,
    answers: { 204: { description: 'Revoked' } },
    errors: ['pending', 'elevation-required', 'not-found'],
    handle: async ({ device, params: { deviceId } }) => {
      requireRevoking(device, deviceId);
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

/** @throws ServerError `pending`, `elevation-required` */
function requireRevoking(device: Device, deviceId: string): void {
  if (deviceId === device.deviceId) return;
  if (device.state !== 'active') throw new ServerError('pending');
  if (!device.rights.has('forget')) throw new ServerError('elevation-required');
}

function elevationRoute(deps: Deps): Route {
  return deviceRoute<undefined, undefined, ElevationRequest>({
    method: 'POST',
    path: ROUTES.elevations,
    id: 'elevate',
    summary: 'Gives this computer the right to forget for ten minutes, or mails the code for it',
    access: 'append',
    body: { kind: 'json', schema: elevationRequest, maxBytes: 4096 },
    answers: {
      200: { description: 'Elevated', json: elevationResponse },
      202: { description: 'A code was mailed to the subscriber' },
    },
    errors: ['code-refused', 'rate-limited', 'no-mailer'],
    handle: async ({ device, body, ip }) => {
      if (body.code !== undefined) {
        const until = await elevate(deps, device, { code: body.code, ip });
        return { status: 200, json: { right: 'forget', until } };
      }
      await mailElevation(deps, device);
      return { status: 202, empty: true };
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
