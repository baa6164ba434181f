import type { Socket } from 'node:net';
import type { RequestHandler } from 'express';
import type { Direction, Metrics } from './metrics.ts';

const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE']);

/** Bytes of a connection that were counted already: several requests share one. */
type Counted = Record<Direction, number>;

/** Counts and times every request under the route that took it; a path that nobody knows is `unmatched`, whatever it was. */
export function measureRequests(metrics: Metrics): RequestHandler {
  const counted = new WeakMap<Socket, Counted>();
  return (req, res, next) => {
    const { socket } = req; // an answer has none any more once it is sent
    const began = performance.now();
    res.once('close', () => {
      const route = String(res.locals['route'] ?? 'unmatched');
      const method = METHODS.has(req.method) ? req.method : 'other';
      // a refusal is sent whole long before its connection ends, and a client need not wait for that
      const sent = res.writableEnded || (res.statusCode >= 400 && res.headersSent);
      const status = sent ? String(res.statusCode) : 'aborted';
      metrics.requests.inc({ route, method, status });
      metrics.requestSeconds.observe({ route, method }, (performance.now() - began) / 1000);
      countBytes(metrics, counted, socket);
    });
    next();
  };
}

function countBytes(metrics: Metrics, counted: WeakMap<Socket, Counted>, socket: Socket): void {
  const before = counted.get(socket) ?? { in: 0, out: 0 };
  const now: Counted = { in: socket.bytesRead, out: socket.bytesWritten };
  metrics.httpBytes.inc({ direction: 'in' }, Math.max(0, now.in - before.in));
  metrics.httpBytes.inc({ direction: 'out' }, Math.max(0, now.out - before.out));
  counted.set(socket, now);
}
