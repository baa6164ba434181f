import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as protocol from '@cresus-safe/protocol';
import { keysOf, OPERATIONS, type Operation } from './operations.ts';
import { type Json, toVector } from './values.ts';

const { ascii, sha256, toHex } = protocol;

/** Fixed "random" bytes: vectors must come out the same for ever. */
export function bytesFor(name: string, length: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, index) => sha256(ascii(`${name}/${index}`)));
  return protocol.concat(...blocks).subarray(0, length);
}

export const hexFor = (name: string, length: number): string => toHex(bytesFor(name, length));

export const VAULT = { vaultId: protocol.asVaultId(hexFor('vault', 16)), roots: [hexFor('root 0', 32)] } as const;
export const ROTATED = { vaultId: VAULT.vaultId, roots: [...VAULT.roots, hexFor('root 1', 32)] } as const;
export const KEYS = keysOf(VAULT);
export const MANDATE_ID = protocol.asMandateId(hexFor('mandate', 16));
export const MANDATE = KEYS.mandate(MANDATE_ID);
export const DEVICE_ID = protocol.asDeviceId(hexFor('device', 16));
export const SERVER_ID = protocol.asServerId(hexFor('server', 16));
export const RECEIPT_SEED = bytesFor('receipt key 1', 32);
export const SHARE = bytesFor('share', 32);
export const KIT = bytesFor('kit', 20);
export const SECRET = 'Clé du coffre 1291';
/** The weakest that readers accept, so that replaying stays quick. */
export const KDF: protocol.KdfParams = { m: 65_536, t: 3, p: 1 };
export const PREVIOUS = protocol.asHash(hexFor('previous', 32));
export const TIME = Date.UTC(2026, 10, 24, 14, 5);
export const packIds = (count: number): protocol.PackId[] =>
  Array.from({ length: count }, (_, index) => protocol.asPackId(hexFor(`pack ${index}`, 32))).toSorted();

/** The five draws that a header with two slots takes: slotId and salt of each. */
export const SLOT_DRAWS = ['secret slotId', 'secret salt', 'kit slotId', 'kit salt'].map((name, index) =>
  hexFor(name, index % 2 === 0 ? 16 : 32),
);

export const PACKS = packIds(2).map((packId, index) => ({
  packRef: protocol.asPackRef(hexFor(`packRef ${index}`, 16)),
  packId,
}));

export const RECORD: protocol.SnapshotRecord = {
  vaultId: VAULT.vaultId,
  mandateId: MANDATE_ID,
  mandateName: 'Boulangerie Rochat',
  generation: 0,
  createdAt: TIME,
  finishedAt: TIME + 4_000,
  deviceId: DEVICE_ID,
  deviceName: 'PC Comptabilité',
  agentVersion: '1.0.0',
  comment: 'avant le bouclement 2026',
  files: 1_204,
  folders: 31,
  links: 1,
  bytes: 264_000_000,
  newBytes: 1_900_000,
  modules: [
    { kind: 'accounting', file: 'Rochat.cre' },
    { kind: 'payroll', file: 'Rochat.salx' },
  ],
  problems: [{ code: 'unreadable', path: 'Documents/verrouillé.pdf' }],
  packs: PACKS,
  catalog: {
    sha256: protocol.asHash(hexFor('catalog', 32)),
    length: 5_000,
    extents: [
      { packRef: PACKS[0]?.packRef as protocol.PackRef, segment: 0, offset: 100, length: 3_000 },
      { packRef: PACKS[1]?.packRef as protocol.PackRef, segment: 7, offset: 0, length: 2_000 },
    ],
  },
};

export const SUMMARY: protocol.Summary = {
  mandateName: RECORD.mandateName,
  comment: RECORD.comment,
  files: RECORD.files,
  bytes: RECORD.bytes,
  createdAt: RECORD.createdAt,
  mandateId: MANDATE_ID,
  incomplete: true,
};

export interface Vector {
  readonly name: string;
  readonly op: Operation;
  readonly in: unknown;
}

/** Writes one file of golden vectors, their outputs as the code gives them now: read the diff before committing it. */
export async function writeGolden(file: string, section: string, vectors: readonly Vector[]): Promise<void> {
  const cases: Json[] = [];
  for (const vector of vectors) {
    const input = toVector(vector.in);
    const run = OPERATIONS[vector.op] as (input: never) => unknown;
    cases.push({ name: vector.name, op: vector.op, in: input, out: toVector(await run(input as never)) });
  }
  writeVectors(join(import.meta.dirname, file), section, cases);
}

const biome = createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome');

/** Formatted as the house's linter wants it, so that writing them again changes nothing. */
export function writeVectors(path: string, section: string, cases: readonly Json[]): void {
  writeFileSync(path, JSON.stringify({ spec: `SPEC ${section}`, cases }, undefined, 2));
  execFileSync(process.execPath, [biome, 'format', '--write', path], { stdio: 'pipe' });
}
