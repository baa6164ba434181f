import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { mirrorChanges } from './accounts/mirror.ts';
import { createApp } from './app.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './http/guard.ts';
import { listen } from './http/listen.ts';
import { createHttpServer } from './http/server.ts';
import { findBehind } from './jobs/behind.ts';
import { REBUILDING } from './jobs/rebuild-marks.ts';
import { scrubDaily } from './jobs/scrub.ts';
import { sweepPending } from './jobs/sweep.ts';
import { writeHeartbeat } from './keyring/heartbeat.ts';
import { type MetricsServer, serveMetrics } from './metrics/listen.ts';
import { Metrics } from './metrics/metrics.ts';
import { watchInstallation } from './metrics/sample.ts';
import { measureStore, noteDbRun } from './metrics/stores.ts';
import { isSet, type System } from './system.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const BEHIND_EVERY = 5_000;

/** A server that runs. */
export interface Running {
  /** `http://HOST:PORT`, with the port that was really taken. */
  readonly url: string;
  /** Where Prometheus asks; undefined without `metricsListen`. */
  readonly metricsUrl: string | undefined;
  /** Stops as SIGTERM does; resolves when everything is closed. */
  stop(): Promise<void>;
}

/** Starts the server on an open system and its regular jobs. @throws OperatorError `serve.listen` */
export async function startServer(system: System): Promise<Running> {
  const { config, log } = system.deps;
  const metrics = new Metrics();
  const deps = { ...system.deps, blobs: measureStore(system.deps.blobs, metrics) };
  deps.db.observe((run) => noteDbRun(metrics, run));
  const lifecycle: Lifecycle = { draining: false };
  await noteBehind(deps, lifecycle);
  const server = createHttpServer(createApp(deps, lifecycle, metrics), config);
  await system.bucket.sweepTemp(deps.clock()); // before anything else asks for room
  const scraped = await startMetrics(metrics, deps);
  const url = await listen(server, config).catch(async (error: unknown) => {
    await scraped?.close();
    throw error;
  });
  const jobs = startJobs({ ...system, deps }, metrics, lifecycle);
  const stop = async () => {
    jobs.stop();
    await drain(server, lifecycle, { seconds: config.drainSeconds, log });
    await jobs.settled();
    await scraped?.close(); // last, so that a scrape sees the drain
    await system.close();
  };
  return { url, metricsUrl: scraped?.url, stop };
}

/** Sees whether this database is older than its bucket, and says so loudly; a catch-up in another process ends it. */
async function noteBehind(deps: Deps, lifecycle: Lifecycle): Promise<void> {
  const key = (await isSet(deps.db, REBUILDING)) ? REBUILDING : await findBehind(deps);
  const was = lifecycle.behind === true;
  lifecycle.behind = key !== undefined;
  if (key !== undefined && !was)
    deps.log.error({ key }, 'the database is older than the bucket: nothing is served until `rebuild --catch-up`');
  if (key === undefined && was) deps.log.info('the database has caught up with the bucket');
}

/** The address of the metrics, when there shall be one; what only a scrape needs is measured only then. */
async function startMetrics(metrics: Metrics, deps: Deps): Promise<MetricsServer | undefined> {
  const address = deps.config.metrics;
  if (address === undefined) return undefined;
  metrics.watchProcess();
  watchInstallation(metrics, deps);
  return await serveMetrics(metrics, address);
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
function startJobs(
  { deps, bucket }: System,
  metrics: Metrics,
  lifecycle: Lifecycle,
): { stop(): void; settled(): Promise<void> } {
  const running = new Set<Promise<void>>();
  const run = (name: string, work: () => Promise<unknown>) => {
    if (lifecycle.behind && name !== 'behind') return; // what an old database believes must not reach the bucket
    const began = performance.now();
    const ended = (failed: boolean) =>
      metrics.jobEnded(name, { at: deps.clock(), ms: performance.now() - began, failed });
    const job = work().then(
      () => ended(false),
      (err: unknown) => {
        ended(true);
        deps.log.error({ err, job: name }, 'a job failed');
      },
    );
    running.add(job);
    void job.finally(() => running.delete(job));
  };
  const everyMinute = () => {
    run('mirror', () => mirrorChanges(deps));
    run('sweep', () => sweepPending(deps));
  };
  const heartbeat = () => run('heartbeat', () => writeHeartbeat(deps)); // a full disk only delays it
  const sweepTemp = () => run('sweep-temp', () => bucket.sweepTemp(deps.clock()));
  const stopping = new AbortController();
  const scrubs = () => run('scrub', () => scrubDaily(deps, { ...deps.config.scrub, signal: stopping.signal }));
  const behind = () => {
    if (lifecycle.behind) run('behind', () => noteBehind(deps, lifecycle));
  };
  everyMinute();
  heartbeat();
  scrubs();
  const timers = [
    setInterval(behind, BEHIND_EVERY),
    setInterval(everyMinute, MINUTE),
    setInterval(heartbeat, HOUR),
    setInterval(sweepTemp, HOUR),
    setInterval(scrubs, HOUR),
  ];
  return {
    stop: () => {
      timers.forEach(clearInterval);
      stopping.abort();
    },
    settled: async () => void (await Promise.all(running)),
  };
}
