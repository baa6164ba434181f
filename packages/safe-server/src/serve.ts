import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { mirrorChanges } from './accounts/mirror.ts';
import { createApp } from './app.ts';
import type { Config } from './config.ts';
import { OperatorError } from './errors.ts';
import type { Lifecycle } from './http/guard.ts';
import { createHttpServer } from './http/server.ts';
import { sweepPending } from './jobs/sweep.ts';
import { writeHeartbeat } from './keyring/heartbeat.ts';
import type { System } from './system.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A server that runs. */
export interface Running {
  /** `http://HOST:PORT`, with the port that was really taken. */
  readonly url: string;
  /** Stops as SIGTERM does; resolves when everything is closed. */
  stop(): Promise<void>;
}

/** Starts the server on an open system and its regular jobs. @throws OperatorError `serve.listen` */
export async function startServer(system: System): Promise<Running> {
  const { deps } = system;
  const { config } = deps;
  const lifecycle: Lifecycle = { draining: false };
  const server = createHttpServer(createApp(deps, lifecycle), config);
  await system.store.sweepTemp(deps.clock()); // before anything else asks for room
  await listen(server, config);
  const jobs = startJobs(system);
  const stop = async () => {
    jobs.stop();
    await drain(server, lifecycle, { seconds: config.drainSeconds, log: deps.log });
    await jobs.settled();
    await system.close();
  };
  return { url: urlOf(server, config.host), stop };
}

async function listen(server: Server, { host, port }: Config): Promise<void> {
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OperatorError('serve.listen', { address: `${host}:${port}`, reason: code ?? '' }, 1, { cause });
  }
}

function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Stops taking connections, answers what comes on open ones with 503, waits for running requests as long as allowed,
 * then cuts what is left (F-17).
 */
async function drain(
  server: Server,
  lifecycle: Lifecycle,
  { seconds, log }: { seconds: number; log: Logger },
): Promise<void> {
  lifecycle.draining = true;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 200);
  const cut = setTimeout(() => {
    log.warn('requests still ran when the time to drain was over');
    server.closeAllConnections();
  }, seconds * 1000);
  await closed;
  clearInterval(idle);
  clearTimeout(cut);
}

/** Regular work beside requests. One that fails is logged and tried again at its next turn. */
function startJobs({ deps, store }: System): { stop(): void; settled(): Promise<void> } {
  const running = new Set<Promise<void>>();
  const run = (name: string, work: () => Promise<unknown>) => {
    const job = work().then(
      () => undefined,
      (err: unknown) => deps.log.error({ err, job: name }, 'a job failed'),
    );
    running.add(job);
    void job.finally(() => running.delete(job));
  };
  const everyMinute = () => {
    run('mirror', () => mirrorChanges(deps));
    run('sweep', () => sweepPending(deps));
  };
  const heartbeat = () => run('heartbeat', () => writeHeartbeat(deps)); // a full disk only delays it
  const sweepTemp = () => run('sweep-temp', () => store.sweepTemp(deps.clock()));
  everyMinute();
  heartbeat();
  const timers = [setInterval(everyMinute, MINUTE), setInterval(heartbeat, HOUR), setInterval(sweepTemp, HOUR)];
  return {
    stop: () => timers.forEach(clearInterval),
    settled: async () => void (await Promise.all(running)),
  };
}
