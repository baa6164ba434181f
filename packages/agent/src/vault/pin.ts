import { join } from 'node:path';
import type { KdfParams } from '@cresus-safe/protocol';
import { readJson, writeJson } from '../local/files.ts';
import { type Shape, shape } from '../local/shape.ts';

/** How this computer came to trust its history before its first write. */
export type AnchorHow = 'created' | 'code' | 'receipt' | 'consent';

/**
 * What this computer remembers of its vault beside the history, so that a server cannot take it back: which vault, the
 * newest header, the strongest key derivation.
 */
export interface Pin {
  readonly vaultId: string;
  readonly headerSeq: number;
  readonly headerHash: string;
  /** The strongest parameters (by m·t) of a secret slot seen here. */
  readonly kdf: KdfParams;
  /**
   * The history was verified to belong to this header. Until then a server may have shown a vault of its own making, and
   * nothing is held against what it shows next.
   */
  readonly confirmed: boolean;
  /** The server knows that this device holds the vault key. */
  readonly proved: boolean;
  readonly anchored: { readonly how: AnchorHow; readonly seq: number } | null;
  /** Receipt keys adopted after enrolment, oldest first, as the server lists them. */
  readonly receiptKeys: readonly unknown[];
}

const pinPath = (dir: string): string => join(dir, 'pin.json');

/** The pin of a vault folder; a damaged one counts as none and is told. */
export function readPin(dir: string): { pin: Pin | undefined; damaged: boolean } {
  const read = readJson(pinPath(dir), checkPin);
  return read.found ? { pin: read.value, damaged: false } : { pin: undefined, damaged: read.damaged !== undefined };
}

/** Writes the pin durably. */
export function writePin(dir: string, pin: Pin): void {
  writeJson(pinPath(dir), { version: 1, ...pin });
}

function checkPin(value: unknown): Pin {
  const fields = shape(value);
  if (fields.integer('version') !== 1) throw new TypeError('version is not 1');
  const anchored = fields.optionalObject('anchored');
  return {
    vaultId: fields.text('vaultId'),
    headerSeq: fields.integer('headerSeq'),
    headerHash: fields.text('headerHash'),
    kdf: kdfOf(fields.object('kdf')),
    confirmed: fields.flag('confirmed'),
    proved: fields.flag('proved'),
    anchored: anchored === undefined ? null : { how: howOf(anchored.text('how')), seq: anchored.integer('seq') },
    receiptKeys: fields.list('receiptKeys', (item) => item),
  };
}

function kdfOf(fields: Shape): KdfParams {
  return { m: fields.integer('m'), t: fields.integer('t'), p: fields.integer('p') };
}

function howOf(how: string): AnchorHow {
  if (how === 'created' || how === 'code' || how === 'receipt' || how === 'consent') return how;
  throw new TypeError('anchored.how is not known');
}

/** The stronger of two parameter sets by the measure of SPEC 4.1 (m·t). */
export function strongerKdf(a: KdfParams, b: KdfParams | undefined): KdfParams {
  return b !== undefined && b.m * b.t > a.m * a.t ? b : a;
}
