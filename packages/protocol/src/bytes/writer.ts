import { ProtocolError } from '../errors.ts';
import { ascii, encodeText } from './bytes.ts';

/** Builds a byte string; the mirror of Reader. A value that does not fit its field is `format`. */
export class Writer {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor(capacity = 512) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#at;
  }

  /** Makes room; may replace `#bytes` and `#view`, so both are read only after it. */
  #reserve(length: number): number {
    const needed = this.#at + length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    const at = this.#at;
    this.#at = needed;
    return at;
  }

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#view.setUint8(at, whole(value, 0xff));
    return this;
  }

  u16(value: number): this {
    const at = this.#reserve(2);
    this.#view.setUint16(at, whole(value, 0xffff));
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#view.setUint32(at, whole(value, 0xffffffff));
    return this;
  }

  u64(value: number): this {
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, BigInt(whole(value, Number.MAX_SAFE_INTEGER)));
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Bytes of a length that the layout fixes. */
  fixed(value: Uint8Array, length: number): this {
    if (value.length !== length) throw new ProtocolError('format', `${value.length} bytes where ${length} belong`);
    return this.bytes(value);
  }

  lp16(value: Uint8Array): this {
    return this.u16(value.length).bytes(value);
  }

  lp32(value: Uint8Array): this {
    return this.u32(value.length).bytes(value);
  }

  text16(text: string, field: string): this {
    return this.lp16(encodeText(text, field));
  }

  zero(length: number): this {
    this.#reserve(length);
    return this;
  }

  /** Magic of four characters, then version 1. */
  magic(magic: string): this {
    return this.bytes(ascii(magic)).u8(1);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }
}

function whole(value: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < 0 || value > max)
    throw new ProtocolError('format', `${value} is not a whole number from 0 to ${max}`);
  return value;
}
