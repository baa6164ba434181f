import { ProtocolError } from '../errors.ts';
import { ascii, decodeText, equal, isZero } from './bytes.ts';

/** Reads a byte string strictly from front to back (SPEC 3). Every method throws `format` naming object and field. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #at = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  /** Position of the next byte to be read. */
  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  fail(defect: string): never {
    throw new ProtocolError('format', `${this.#what}: ${defect}`);
  }

  #take(length: number, field: string): number {
    if (length > this.remaining) this.fail(`ends within ${field}`);
    const at = this.#at;
    this.#at += length;
    return at;
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(1, field));
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(2, field));
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(4, field));
  }

  /** An unsigned 64-bit number of at most 2^53−1. */
  u64(field: string): number {
    const value = this.#view.getBigUint64(this.#take(8, field));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail(`${field} is over 2^53-1`);
    return Number(value);
  }

  /** A view (not a copy) of the next `length` bytes. */
  bytes(length: number, field: string): Uint8Array {
    const at = this.#take(length, field);
    return this.#bytes.subarray(at, at + length);
  }

  lp16(field: string, limit = 0xffff): Uint8Array {
    return this.#prefixed(this.u16(`length of ${field}`), field, limit);
  }

  lp32(field: string, limit: number): Uint8Array {
    return this.#prefixed(this.u32(`length of ${field}`), field, limit);
  }

  #prefixed(length: number, field: string, limit: number): Uint8Array {
    if (length > limit) this.fail(`${field} is longer than ${limit} bytes`);
    return this.bytes(length, field);
  }

  text16(field: string, limit = 0xffff): string {
    return decodeText(this.lp16(field, limit), `${this.#what}: ${field}`);
  }

  zero(length: number, field: string): void {
    if (!isZero(this.bytes(length, field))) this.fail(`${field} is not zero`);
  }

  /** Magic of four characters, then version 1; an unknown version is its own kind. */
  magic(magic: string): void {
    if (!equal(this.bytes(4, 'magic'), ascii(magic))) this.fail(`magic is not ${magic}`);
    const version = this.u8('version');
    if (version !== 1) throw new ProtocolError('version', `${this.#what}: version ${version} is not known`);
  }

  /** Everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining, 'the rest');
  }

  end(): void {
    if (this.remaining > 0) this.fail(`${this.remaining} trailing bytes`);
  }
}
