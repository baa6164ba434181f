import type { Express, NextFunction, Request, Response } from 'express';
import type { Logger } from 'pino';
import { z } from 'zod';
import { ServerError } from '../errors.ts';
import { type Authenticate, authorise } from './auth.ts';
import { readBody } from './body.ts';
import { sendReply } from './reply.ts';
import type { Device, Method, Route } from './route.ts';
import type { TransferCaps } from './transfers.ts';
import { parseQuery, validate } from './validate.ts';
import type { Pace } from './watchdog.ts';

/** What dispatching needs beside the routes. */
export interface DispatchDeps {
  readonly authenticate: Authenticate;
  /** Notes that a device did what the route names in this run. */
  readonly recordAccess: (device: Device, done: Done, run: string | undefined, log: Logger) => Promise<void>;
  readonly transfers: TransferCaps;
  readonly pace: Pace;
  /** Called when a transfer begins; what it returns, when it is over. */
  readonly onTransfer?: (direction: 'in' | 'out') => () => void;
}

/** A route's method, and its name in the access log. */
export interface Done {
  readonly method: Method;
  readonly audit: string;
}

const RUN = /^[A-Za-z0-9-]{8,64}$/;
const NO_QUERY = z.strictObject({});

/** Mounts the routes. A path that is known answers 405 with `Allow` for every other method (TN-48). */
export function mountRoutes(app: Express, routes: readonly Route[], deps: DispatchDeps): void {
  for (const [path, methods] of byPath(routes)) {
    app.all(path, (req: Request, res: Response, next: NextFunction) => {
      serve(methods, deps, req, res).catch(next);
    });
  }
}

function byPath(routes: readonly Route[]): Map<string, Map<Method, Route>> {
  const paths = new Map<string, Map<Method, Route>>();
  for (const route of routes) {
    const methods = paths.get(route.path) ?? new Map<Method, Route>();
    if (methods.has(route.method)) throw new Error(`two routes for ${route.method} ${route.path}`);
    paths.set(route.path, methods.set(route.method, route));
  }
  return paths;
}

async function serve(
  methods: ReadonlyMap<Method, Route>,
  deps: DispatchDeps,
  req: Request,
  res: Response,
): Promise<void> {
  const route = methods.get(req.method as Method) ?? (req.method === 'HEAD' ? methods.get('GET') : undefined);
  if (route === undefined) {
    res.setHeader('allow', allowed(methods));
    throw new ServerError('method-not-allowed');
  }
  res.locals['route'] = route.path;
  const device = await authorise(route.access, req.headers.authorization, deps.authenticate);
  res.locals['device'] = device?.deviceId;
  const params = validate(route.params, { ...req.params });
  const query = validate(route.query ?? NO_QUERY, parseQuery(req.url));
  const leave = route.transfer && device !== undefined ? deps.transfers.enter(device.deviceId) : undefined;
  if (leave !== undefined) {
    res.once('close', leave);
    const ended = deps.onTransfer?.(route.method === 'GET' ? 'out' : 'in');
    if (ended !== undefined) res.once('close', ended);
  }
  const raw = await readBody(req, route.body, deps.pace);
  const body = route.body?.kind === 'json' ? validate(route.body.schema, raw) : raw;
  const run = runOf(req);
  const ip = req.ip ?? req.socket.remoteAddress ?? '';
  const requestId = String(req.id);
  const log: Logger = req.log;
  const reply = await route.handle({ params, query, body, device, requestId, run, ip, log, req, res });
  // what cannot be noted is not given out, save for want of room; a stream has nothing open before it is read
  const { method, audit } = route;
  if (audit !== undefined && device !== undefined) await deps.recordAccess(device, { method, audit }, run, log);
  await sendReply(res, reply, deps.pace);
}

function allowed(methods: ReadonlyMap<Method, Route>): string {
  const names = new Set<Method>(methods.keys());
  if (names.has('GET')) names.add('HEAD');
  return [...names].join(', ');
}

/** `x-safe-run`; one that is not sane counts as absent, since it only groups log lines. */
function runOf(req: Request): string | undefined {
  const run = req.get('x-safe-run');
  return run !== undefined && RUN.test(run) ? run : undefined;
}
