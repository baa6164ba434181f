import type { Response } from 'express';
import type { Reply } from './route.ts';
import { type Pace, watchPace } from './watchdog.ts';

/** Sends what a handler returned. A HEAD request gets the headers only. */
export async function sendReply(res: Response, reply: Reply, pace: Pace): Promise<void> {
  res.status(reply.status);
  if (!res.hasHeader('cache-control')) res.setHeader('cache-control', 'no-store');
  for (const [name, value] of Object.entries(reply.headers ?? {})) res.setHeader(name, value);
  if ('empty' in reply) res.end();
  else if ('json' in reply) sendBytes(res, 'application/json', Buffer.from(JSON.stringify(reply.json)));
  else if ('bytes' in reply) sendBytes(res, reply.type ?? 'application/octet-stream', reply.bytes);
  else await sendStream(res, reply.stream, reply.length, pace);
}

function sendBytes(res: Response, type: string, bytes: Uint8Array): void {
  if (!res.hasHeader('content-type')) res.setHeader('content-type', type);
  res.setHeader('content-length', bytes.length);
  res.end(res.req.method === 'HEAD' ? undefined : bytes);
}

/**
 * Sends a stream piece by piece, each of which is only lent: the next one is asked for when the system has taken the
 * last. A client that reads slower than `pace` loses its connection, so that it cannot hold a file and a place open for
 * ever.
 */
async function sendStream(res: Response, stream: AsyncIterable<Uint8Array>, length: number, pace: Pace): Promise<void> {
  if (!res.hasHeader('content-type')) res.setHeader('content-type', 'application/octet-stream');
  res.setHeader('content-length', length);
  if (res.req.method === 'HEAD') {
    res.end();
    return;
  }
  // bytes that wait in our own buffer have not reached anybody; without a socket, an earlier answer has it (pipelining)
  const delivered = () => (res.socket === null ? undefined : res.socket.bytesWritten - res.socket.writableLength);
  const watch = watchPace(delivered, pace);
  const gone = new Promise<'gone'>((resolve) => res.once('close', () => resolve('gone')));
  try {
    for await (const piece of stream) {
      // the client went away: nothing is left to answer
      if ((await Promise.race([write(res, piece), gone, watch.expired])) === 'gone') return;
    }
    res.end();
  } finally {
    watch.stop();
  }
}

/** Resolves when the system has taken the bytes, so that their memory may be used again. */
function write(res: Response, piece: Uint8Array): Promise<'written' | 'gone'> {
  return new Promise((resolve) => res.write(piece, (error) => resolve(error ? 'gone' : 'written')));
}
