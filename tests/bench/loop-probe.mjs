// Loaded into the server by NODE_OPTIONS=--import: how long its event loop was blocked, written when asked by SIGUSR2.
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const histogram = monitorEventLoopDelay({ resolution: 1 });
histogram.enable();
process.on('SIGUSR2', () => {
  const delay = { maxMs: histogram.max / 1e6, p99Ms: histogram.percentile(99) / 1e6 };
  writeFileSync(process.env.LOOP_PROBE_FILE, JSON.stringify(delay));
  histogram.reset();
});
