import type { ChunkParams } from '@cresus-safe/protocol/formats';
import { CDC_WASM } from './cdc-bytes.ts';
import { type WasmMemory, wasm } from './wasm.ts';

/** Cuts `length` bytes at address `at` of the shared memory; writes chunk lengths as u32 at `out`, returns how many. */
export type Cut = (at: number, length: number, params: ChunkParams, out: number) => number;

/** The chunker over a shared memory at whose address 0 the mandate's gear table lies. `cdc.wat` is its source. */
export function createCut(memory: WasmMemory): Cut {
  const module = new wasm.Module(Buffer.from(CDC_WASM, 'base64'));
  const cut = new wasm.Instance(module, { agent: { memory } }).exports['cut'];
  if (!cut) throw new Error('the chunker exports no cut');
  return (at, length, params, out) =>
    cut(at, at + length, params.min, params.average, params.max, params.maskBelow, params.maskFrom, out);
}
