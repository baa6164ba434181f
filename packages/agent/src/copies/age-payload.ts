import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { ByteSink } from './byte-sink.ts';
import type { ByteSource } from './byte-source.ts';
import { copyDefect } from './copy-error.ts';

/** The payload of the age v1 format: chunks of 64 KiB, each sealed under its number and whether it is the last. */
const CHUNK = 64 * 1024;
const TAG = 16;
const SEALED = CHUNK + TAG;
const NONCE = 16;

function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

function chunkNonce(index: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(index, 5, 6);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

/** Encrypts what is written to it; `end` seals the last chunk. */
export class AgeSink implements ByteSink {
  readonly #sink: ByteSink;
  readonly #key: Buffer;
  #chunk = Buffer.allocUnsafe(CHUNK);
  #used = 0;
  #index = 0;

  private constructor(sink: ByteSink, key: Buffer) {
    this.#sink = sink;
    this.#key = key;
  }

  /** Writes the header and begins the payload under a nonce of its own. */
  static async begin(sink: ByteSink, header: { bytes: Buffer; fileKey: Uint8Array }): Promise<AgeSink> {
    const nonce = randomBytes(NONCE);
    await sink.write(header.bytes);
    await sink.write(nonce);
    return new AgeSink(sink, payloadKey(header.fileKey, nonce));
  }

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      // a full chunk waits for the next byte: it may be the last, which only `end` knows
      if (this.#used === CHUNK) await this.#seal(false);
      const copied = bytes.copy(this.#chunk, this.#used, at);
      this.#used += copied;
      at += copied;
    }
  }

  async end(): Promise<void> {
    await this.#seal(true);
    await this.#sink.end();
  }

  async #seal(isLast: boolean): Promise<void> {
    const nonce = chunkNonce(this.#index, isLast);
    const cipher = createCipheriv('chacha20-poly1305', this.#key, nonce, { authTagLength: TAG });
    const sealed = Buffer.concat([
      cipher.update(this.#chunk.subarray(0, this.#used)),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
    this.#used = 0;
    this.#index += 1;
    await this.#sink.write(sealed);
  }
}

/**
 * The plain bytes of an encrypted file, readable at any place without ever lying on a disk. The last chunk is opened
 * first: only the true last one opens as such, so a file cut off at a chunk's border is found out.
 */
export class AgeSource implements ByteSource {
  readonly size: number;
  readonly #sealed: ByteSource;
  readonly #start: number;
  readonly #key: Buffer;
  readonly #last: number;

  private constructor(sealed: ByteSource, start: number, key: Buffer) {
    const length = sealed.size - start;
    const chunks = Math.max(1, Math.ceil(length / SEALED));
    const rest = length - (chunks - 1) * SEALED;
    if (rest < TAG || (rest === TAG && chunks > 1)) throw copyDefect('truncated');
    this.#sealed = sealed;
    this.#start = start;
    this.#key = key;
    this.#last = chunks - 1;
    this.size = length - chunks * TAG;
  }

  /** @throws AgentError `integrity` when the file was cut off or its end tampered with */
  static async open(sealed: ByteSource, header: { bytes: Buffer; fileKey: Uint8Array }): Promise<AgeSource> {
    const start = header.bytes.length + NONCE;
    if (sealed.size < start + TAG) throw copyDefect('truncated');
    const nonce = await sealed.read(header.bytes.length, NONCE);
    const source = new AgeSource(sealed, start, payloadKey(header.fileKey, nonce));
    await source.#chunks(source.#last, source.#last);
    return source;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (length === 0) return Buffer.alloc(0);
    const first = Math.floor(offset / CHUNK);
    const last = Math.floor((offset + length - 1) / CHUNK);
    if (offset + length > this.size) throw copyDefect('truncated');
    const plain = await this.#chunks(first, last);
    return plain.subarray(offset - first * CHUNK, offset - first * CHUNK + length);
  }

  close(): Promise<void> {
    return this.#sealed.close();
  }

  async #chunks(first: number, last: number): Promise<Buffer> {
    const from = this.#start + first * SEALED;
    const to = Math.min(this.#sealed.size, this.#start + (last + 1) * SEALED);
    const sealed = await this.#sealed.read(from, to - from);
    const plain: Buffer[] = [];
    for (let index = first; index <= last; index += 1)
      plain.push(this.#open(index, sealed.subarray((index - first) * SEALED, (index - first + 1) * SEALED)));
    return Buffer.concat(plain);
  }

  #open(index: number, sealed: Buffer): Buffer {
    const nonce = chunkNonce(index, index === this.#last);
    const decipher = createDecipheriv('chacha20-poly1305', this.#key, nonce, { authTagLength: TAG });
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - TAG)), decipher.final()]);
    } catch (cause) {
      throw copyDefect(index === this.#last ? 'truncated' : 'tampered', { at: index }, cause);
    }
  }
}
