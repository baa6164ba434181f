/** Every path of version 1 (SPEC 16), with `:name` for what varies. */
export const ROUTES = {
  devices: '/v1/devices',
  device: '/v1/devices/:deviceId',
  proof: '/v1/devices/self/proof',
  elevations: '/v1/elevations',
  account: '/v1/account',
  seen: '/v1/seen',
  vault: '/v1/vault',
  keepPacks: '/v1/packs/keep',
  damagedPacks: '/v1/packs/damaged',
  pack: '/v1/packs/:packId',
  journal: '/v1/journal',
  heal: '/v1/journal/heal',
  record: '/v1/records/:snapshotId',
  openapi: '/v1/openapi.json',
  live: '/health/live',
  ready: '/health/ready',
} as const;

export type RouteName = keyof typeof ROUTES;

type ParamsOf<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | ParamsOf<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never;

/** The path of a route with its ids filled in; ids are hex, so nothing needs escaping, and everything is escaped. */
export function pathOf<Name extends RouteName>(
  name: Name,
  ...[params]: [ParamsOf<(typeof ROUTES)[Name]>] extends [never]
    ? []
    : [params: Readonly<Record<ParamsOf<(typeof ROUTES)[Name]>, string>>]
): string {
  const values: Readonly<Record<string, string>> = params ?? {};
  return ROUTES[name].replace(/:(\w+)/g, (_, key: string) => encodeURIComponent(values[key] ?? ''));
}

export const BINARY_TYPE = 'application/octet-stream';
export const PROBLEM_TYPE = 'application/problem+json';
/** Header of `GET /v1/journal`: seq of the newest entry shown. */
export const HEAD_HEADER = 'safe-head';
export const MAX_JOURNAL_PAGE = 500;
/** JSON bodies are small; binary ones have their own limits. */
export const MAX_JSON_BYTES = 1024 * 1024;
export const MAX_KEEP_IDS = 10_000;
/** Packs that one page of `GET /v1/packs/damaged` lists. */
export const MAX_DAMAGED_PAGE = 1_000;
export const MAX_SEEN_REFS = 1_000;
