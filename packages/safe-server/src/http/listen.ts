import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OperatorError } from '../errors.ts';

/** Where a server listens; port 0 takes a free one. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Begins to listen. @returns `http://HOST:PORT`, with the port that was really taken @throws OperatorError `serve.listen` */
export async function listen(server: Server, { host, port }: Address): Promise<string> {
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OperatorError('serve.listen', { address: `${host}:${port}`, reason: code ?? '' }, 1, { cause });
  }
  return `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`;
}
