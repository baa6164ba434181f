import { ServerError } from '../errors.ts';
import type { Access, Device } from './route.ts';

/** Finds the device of a token; undefined for an unknown, revoked or malformed one. */
export type Authenticate = (token: string) => Promise<Device | undefined>;

/** `Authorization: Bearer <token>`; the token is nowhere else, least of all in an address that proxies log (TN-03). */
export function bearerToken(header: string | undefined): string | undefined {
  return /^bearer ([A-Za-z0-9_-]{20,128})$/i.exec(header ?? '')?.[1];
}

/**
 * Lets a request through to a route or says why not.
 *
 * @throws ServerError `unauthorized`, `pending`, `elevation-required`, `forbidden`
 */
export async function authorise(
  access: Access,
  header: string | undefined,
  authenticate: Authenticate,
): Promise<Device | undefined> {
  if (access === 'public') return undefined;
  const token = bearerToken(header);
  const device = token === undefined ? undefined : await authenticate(token);
  if (device === undefined) throw new ServerError('unauthorized');
  if (access === 'device') return device;
  if (device.state !== 'active') throw new ServerError('pending');
  if (!device.rights.has(access)) throw new ServerError(access === 'forget' ? 'elevation-required' : 'forbidden');
  return device;
}
