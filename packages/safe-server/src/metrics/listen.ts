import { createServer } from 'node:http';
import { type Address, listen } from '../http/listen.ts';
import type { Metrics } from './metrics.ts';

/** Where the metrics are served. */
export interface MetricsServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves `GET /metrics` on an address of its own and nothing else there: the public port never answers it (TN-49).
 *
 * @throws OperatorError `serve.listen`
 */
export async function serveMetrics(metrics: Metrics, address: Address): Promise<MetricsServer> {
  const server = createServer((req, res) => {
    if (req.url !== '/metrics' || (req.method !== 'GET' && req.method !== 'HEAD')) {
      res.writeHead(404, { connection: 'close' }).end();
      return;
    }
    metrics.registry.metrics().then(
      (text) => res.writeHead(200, { 'content-type': metrics.registry.contentType }).end(text),
      () => res.writeHead(500).end(),
    );
  });
  const url = await listen(server, address);
  return {
    url: `${url}/metrics`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
