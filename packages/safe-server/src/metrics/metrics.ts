import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Seen from the server: `in` is an upload. */
export type Direction = 'in' | 'out';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const SHORT = SECONDS.filter((second) => second <= 10);

/**
 * Everything that one server measures, in a registry of its own: two servers in one process count apart. Labels have few
 * values, all known beforehand: never a subscriber, a device, an id or a path that a client chose.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly requests = new Counter({
    name: 'safe_http_requests_total',
    help: 'Requests answered; status "aborted" when the client went away before the end',
    labelNames: ['route', 'method', 'status'] as const,
    registers: [this.registry],
  });
  readonly requestSeconds = new Histogram({
    name: 'safe_http_request_duration_seconds',
    help: 'From the first header to the last byte of the answer; for packs this is mostly the network of the client',
    labelNames: ['route', 'method'] as const,
    buckets: SECONDS,
    registers: [this.registry],
  });
  readonly httpBytes = new Counter({
    name: 'safe_http_bytes_total',
    help: 'Bytes on the connections of clients, headers included, counted at the end of each request',
    labelNames: ['direction'] as const,
    registers: [this.registry],
  });
  readonly transfers = new Gauge({
    name: 'safe_transfers_running',
    help: 'Packs that are being received or sent',
    labelNames: ['direction'] as const,
    registers: [this.registry],
  });
  readonly unitSeconds = new Histogram({
    name: 'safe_db_duration_seconds',
    help: 'Units of work and reads of the database, without their time in the queue',
    labelNames: ['kind'] as const,
    buckets: SHORT,
    registers: [this.registry],
  });
  readonly queueSeconds = new Histogram({
    name: 'safe_db_queue_seconds',
    help: 'How long a unit of work waited for its turn or for a connection',
    buckets: SHORT,
    registers: [this.registry],
  });
  readonly dbErrors = new Counter({
    name: 'safe_db_errors_total',
    help: 'Units of work and reads that failed for a reason of the database, not of the request',
    labelNames: ['kind'] as const,
    registers: [this.registry],
  });
  readonly storeSeconds = new Histogram({
    name: 'safe_store_duration_seconds',
    help: 'Operations of the object store; a put includes waiting for whoever sends the bytes, a get ends with the first of them',
    labelNames: ['operation'] as const,
    buckets: SECONDS,
    registers: [this.registry],
  });
  readonly storeErrors = new Counter({
    name: 'safe_store_errors_total',
    help: 'Operations of the object store that failed for a reason of the store',
    labelNames: ['operation'] as const,
    registers: [this.registry],
  });
  readonly jobSuccess = new Gauge({
    name: 'safe_job_last_success_timestamp_seconds',
    help: 'When a job last ended well, by the clock of the server',
    labelNames: ['name'] as const,
    registers: [this.registry],
  });
  readonly jobSeconds = new Gauge({
    name: 'safe_job_last_duration_seconds',
    help: 'How long the last run of a job took',
    labelNames: ['name'] as const,
    registers: [this.registry],
  });
  readonly jobFailures = new Counter({
    name: 'safe_job_failures_total',
    help: 'Runs of a job that failed',
    labelNames: ['name'] as const,
    registers: [this.registry],
  });

  constructor() {
    for (const direction of ['in', 'out'] as const) {
      this.httpBytes.inc({ direction }, 0);
      this.transfers.set({ direction }, 0);
    }
  }

  /** Adds what the process itself has: CPU, memory, event-loop lag, garbage collection, as `safe_process_*` and `safe_nodejs_*`. */
  watchProcess(): void {
    collectDefaultMetrics({ register: this.registry, prefix: 'safe_' });
  }

  /** Counts a transfer as running. @returns what ends it */
  transferBegins(direction: Direction): () => void {
    this.transfers.inc({ direction });
    return () => this.transfers.dec({ direction });
  }

  /** Notes a run of a job. @param at ms, the server's clock @param ms how long it took */
  jobEnded(name: string, { at, ms, failed }: { at: number; ms: number; failed: boolean }): void {
    this.jobSeconds.set({ name }, ms / 1000);
    this.jobFailures.inc({ name }, failed ? 1 : 0); // a series that exists from the first run on can be alerted on
    if (!failed) this.jobSuccess.set({ name }, at / 1000);
  }
}
