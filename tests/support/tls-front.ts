import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';

/** A certificate that vouches for itself, with its key: files made by openssl. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Makes a self-signed certificate for `host`, valid for a day. @param stem path of the two files, without their ends */
export function selfSigned(stem: string, host: string): Certificate {
  const [cert, key] = [`${stem}.pem`, `${stem}.key`];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const names = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`];
  execFileSync('openssl', [...request, ...names, '-keyout', key, '-out', cert], { stdio: 'pipe' });
  return { cert, key };
}

/** What a proxy that does TLS is in front of a server, with certificates to change. */
export class TlsFront {
  /** Connections over which anything but the handshake came. */
  used = 0;
  readonly #server: Server;
  readonly #open = new Set<TLSSocket>();

  private constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#server = createServer((socket) => {
      this.#open.add(socket);
      const server = connect({ host: hostname, port: Number(port) });
      socket.once('data', () => (this.used += 1));
      socket.pipe(server).pipe(socket);
      socket.on('error', () => server.destroy());
      server.on('error', () => socket.destroy());
      socket.on('close', () => this.#open.delete(socket));
    });
    this.#server.on('tlsClientError', () => undefined); // the client refused: that is what it is asked about
  }

  static async before(target: string, certificate: Certificate): Promise<TlsFront> {
    const front = new TlsFront(target);
    front.show(certificate);
    front.#server.listen(0, 'localhost');
    await once(front.#server, 'listening');
    return front;
  }

  get url(): string {
    return `https://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Shows another certificate from now on, and ends every connection. */
  show({ cert, key }: Certificate): void {
    this.#server.setSecureContext({ cert: readFileSync(cert), key: readFileSync(key) });
    for (const socket of this.#open) socket.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
