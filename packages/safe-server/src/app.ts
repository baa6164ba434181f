import express, { type Express } from 'express';
import { deviceOfToken, onVaultCreated } from './accounts/devices.ts';
import { createAccountRoutes } from './accounts/routes.ts';
import type { Deps } from './deps.ts';
import { ServerError } from './errors.ts';
import { mountRoutes } from './http/dispatch.ts';
import { createDocsRoutes } from './http/docs.ts';
import { guard, type Lifecycle, notFound, onError, requestId, requestLog, securityHeaders } from './http/guard.ts';
import { createHealthRoutes } from './http/health.ts';
import type { Route } from './http/route.ts';
import { TransferCaps } from './http/transfers.ts';
import { Metrics } from './metrics/metrics.ts';
import { measureRequests } from './metrics/requests.ts';
import { findSubscriber, type SubscriptionNow, subscriptionOf } from './subscriptions/subscribers.ts';
import { createVaultRoutes } from './vaults/routes.ts';

/** Every route of the server; OpenAPI and the tests walk this list. */
export function createRoutes(deps: Deps, lifecycle: Lifecycle): Route[] {
  const routes = [
    ...createAccountRoutes(deps),
    ...createVaultRoutes({
      ...deps,
      limits: deps.config.vaults,
      subscriptionOf: (number) => subscriptionNow(deps, number),
      onVaultCreated,
    }),
    ...createHealthRoutes(deps, lifecycle),
  ];
  return [...routes, ...createDocsRoutes(routes)];
}

async function subscriptionNow({ db, clock, config }: Deps, number: string): Promise<SubscriptionNow> {
  return await db.read(async (manager) => {
    const subscriber = await findSubscriber(manager, number);
    if (subscriber === null) throw new ServerError('unauthorized');
    return await subscriptionOf(manager, subscriber, { now: clock(), durations: config.durations });
  });
}

/**
 * The application: what a request passes, from top to bottom. Start here.
 *
 * @param lifecycle set `draining` to have new requests refused
 * @param metrics where requests and transfers are counted
 */
export function createApp(
  deps: Deps,
  lifecycle: Lifecycle = { draining: false },
  metrics: Metrics = new Metrics(),
): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.set('case sensitive routing', true);
  app.set('strict routing', true);
  app.set('trust proxy', deps.config.trustProxy);
  app.use(measureRequests(metrics), requestId, requestLog(deps.log), securityHeaders, guard(lifecycle));
  mountRoutes(app, createRoutes(deps, lifecycle), {
    authenticate: (token) => deviceOfToken(deps, token),
    recordAccess: (device, { method, audit }, run, log) =>
      method === 'GET' ? deps.audit.readAccess(device, audit, run, log) : deps.audit.access(device, audit, run),
    transfers: new TransferCaps(deps.config.transfers),
    pace: deps.config.pace,
    onTransfer: (direction) => metrics.transferBegins(direction),
  });
  app.use(notFound, onError);
  return app;
}
