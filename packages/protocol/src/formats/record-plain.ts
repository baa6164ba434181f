import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { ProtocolError } from '../errors.ts';
import {
  asDeviceId,
  asHash,
  asMandateId,
  asPackId,
  asPackRef,
  asVaultId,
  type DeviceId,
  type Hash,
  idBytes,
  type MandateId,
  type PackId,
  type PackRef,
  type VaultId,
} from '../ids.ts';
import {
  MAX_COMMENT_CHARACTERS,
  MAX_DEVICE_NAME_CHARACTERS,
  MAX_MANDATE_NAME_CHARACTERS,
  MAX_PACKS_PER_SNAPSHOT,
} from '../public/limits.ts';
import { packListHash } from '../public/pack-list.ts';
import { readExtent, writeExtent } from './catalog.ts';
import { checkExtents, type Extent, MAX_PATH_BYTES } from './catalog-node.ts';

export const MODULE_KINDS = { accounting: 1, invoicing: 2, payroll: 3 } as const;
export type ModuleKind = keyof typeof MODULE_KINDS;

export interface SnapshotModule {
  readonly kind: ModuleKind;
  readonly file: string;
}

/** A file that could not be saved as it is. */
export interface SnapshotProblem {
  readonly code: string;
  readonly path: string;
}

/** What a snapshot is (SPEC 12): with its packs it suffices to restore. Times are ms since 1970. */
export interface SnapshotRecord {
  readonly vaultId: VaultId;
  readonly mandateId: MandateId;
  readonly mandateName: string;
  readonly generation: number;
  readonly createdAt: number;
  readonly finishedAt: number;
  readonly deviceId: DeviceId;
  readonly deviceName: string;
  readonly agentVersion: string;
  readonly comment: string;
  readonly files: number;
  readonly folders: number;
  readonly links: number;
  /** Sum of the sizes of all files. */
  readonly bytes: number;
  /** Of those, in chunks that were not stored before. */
  readonly newBytes: number;
  readonly modules: readonly SnapshotModule[];
  /** At most MAX_RECORD_PROBLEMS; the catalog has all. */
  readonly problems: readonly SnapshotProblem[];
  /** Every pack of the snapshot, ascending by packId. */
  readonly packs: readonly { readonly packRef: PackRef; readonly packId: PackId }[];
  readonly catalog: { readonly sha256: Hash; readonly length: number; readonly extents: readonly Extent[] };
}

export const MAX_RECORD_PROBLEMS = 1000;
const MAX_MODULES = 1000;
const MAX_CODE_BYTES = 64;
const MAX_VERSION_CHARACTERS = 100;
const GRANULE = 1024;

/** The plain record, padded; throws as `parseRecord`. */
export function encodeRecord(record: SnapshotRecord): Uint8Array {
  const writer = new Writer(4096).bytes(idBytes(record.vaultId)).bytes(idBytes(record.mandateId));
  writer.text16(record.mandateName, 'mandate name').u32(record.generation).u64(record.createdAt).u64(record.finishedAt);
  writer.bytes(idBytes(record.deviceId)).text16(record.deviceName, 'device name');
  writer.text16(record.agentVersion, 'agent version').text16(record.comment, 'comment');
  writer.u64(record.files).u64(record.folders).u64(record.links).u64(record.bytes).u64(record.newBytes);
  writer.u16(record.modules.length);
  for (const { kind, file } of record.modules) writer.u8(MODULE_KINDS[kind]).text16(file, 'module file');
  writer.u32(record.problems.length);
  for (const { code, path } of record.problems) writer.text16(code, 'problem code').text16(path, 'problem path');
  writer.u32(record.packs.length);
  for (const { packRef, packId } of record.packs) writer.bytes(idBytes(packRef)).bytes(idBytes(packId));
  writer.bytes(idBytes(packListHash(record.packs.map(({ packId }) => packId))));
  writer.bytes(idBytes(record.catalog.sha256)).u64(record.catalog.length).u32(record.catalog.extents.length);
  for (const extent of record.catalog.extents) writeExtent(writer, extent);
  const plain = writer.zero((GRANULE - (writer.length % GRANULE)) % GRANULE).finish();
  parseRecord(plain);
  return plain;
}

/** Parses strictly; throws `format` or `limit`. */
export function parseRecord(plain: Uint8Array): SnapshotRecord {
  const reader = new Reader(plain, 'record');
  const record = {
    ...readIdentity(reader),
    ...readTotals(reader),
    modules: readModules(reader),
    problems: readProblems(reader),
    packs: readPacks(reader),
    catalog: readCatalogPlace(reader),
  };
  checkRefs(reader, record);
  if (plain.length % GRANULE !== 0) reader.fail('length is not a multiple of 1024');
  if (reader.remaining >= GRANULE) reader.fail('more padding than needed');
  reader.zero(reader.remaining, 'padding');
  return record;
}

function text(reader: Reader, field: string, min: number, max: number): string {
  const value = reader.text16(field);
  const length = [...value].length;
  if (length < min || length > max)
    throw new ProtocolError('limit', `record: ${field} has ${length} characters, not ${min} to ${max}`);
  return value;
}

function readIdentity(reader: Reader) {
  return {
    vaultId: asVaultId(reader.bytes(16, 'vaultId')),
    mandateId: asMandateId(reader.bytes(16, 'mandateId')),
    mandateName: text(reader, 'mandate name', 1, MAX_MANDATE_NAME_CHARACTERS),
    generation: reader.u32('generation'),
    createdAt: reader.u64('createdAt'),
    finishedAt: reader.u64('finishedAt'),
    deviceId: asDeviceId(reader.bytes(16, 'deviceId')),
    deviceName: text(reader, 'device name', 1, MAX_DEVICE_NAME_CHARACTERS),
    agentVersion: text(reader, 'agent version', 1, MAX_VERSION_CHARACTERS),
    comment: text(reader, 'comment', 0, MAX_COMMENT_CHARACTERS),
  };
}

function readTotals(reader: Reader) {
  return {
    files: reader.u64('files'),
    folders: reader.u64('folders'),
    links: reader.u64('links'),
    bytes: reader.u64('bytes'),
    newBytes: reader.u64('newBytes'),
  };
}

function times<T>(count: number, max: number, what: string, read: () => T): T[] {
  if (count > max) throw new ProtocolError('limit', `record: ${count} ${what}, over ${max}`);
  return Array.from({ length: count }, read);
}

function readModules(reader: Reader): SnapshotModule[] {
  const kinds = Object.keys(MODULE_KINDS) as ModuleKind[];
  return times(reader.u16('moduleCount'), MAX_MODULES, 'modules', () => {
    const code = reader.u8('module kind');
    const kind = kinds[code - 1] ?? reader.fail(`module kind ${code} is not known`);
    return { kind, file: reader.text16('module file', MAX_PATH_BYTES) };
  });
}

function readProblems(reader: Reader): SnapshotProblem[] {
  return times(reader.u32('problemCount'), MAX_RECORD_PROBLEMS, 'problems', () => ({
    code: reader.text16('problem code', MAX_CODE_BYTES),
    path: reader.text16('problem path', MAX_PATH_BYTES),
  }));
}

function readPacks(reader: Reader): SnapshotRecord['packs'] {
  const packs = times(reader.u32('packCount'), MAX_PACKS_PER_SNAPSHOT, 'packs', () => ({
    packRef: asPackRef(reader.bytes(16, 'packRef')),
    packId: asPackId(reader.bytes(32, 'packId')),
  }));
  if (new Set(packs.map(({ packRef }) => packRef)).size !== packs.length) reader.fail('the same packRef twice');
  const hash = packListHash(packs.map(({ packId }) => packId));
  if (asHash(reader.bytes(32, 'packListHash')) !== hash) reader.fail('packListHash is not that of the packs');
  return packs;
}

function readCatalogPlace(reader: Reader): SnapshotRecord['catalog'] {
  const sha256 = asHash(reader.bytes(32, 'catalog sha256'));
  const length = reader.u64('catalog length');
  const count = reader.u32('extentCount');
  if (count > reader.remaining / 26) reader.fail('ends within the extents of the catalog');
  const extents = Array.from({ length: count }, () => readExtent(reader));
  checkExtents(extents, length);
  return { sha256, length, extents };
}

function checkRefs(reader: Reader, { packs, catalog }: Pick<SnapshotRecord, 'packs' | 'catalog'>): void {
  const refs = new Set(packs.map(({ packRef }) => packRef));
  for (const { packRef } of catalog.extents)
    if (!refs.has(packRef)) reader.fail('an extent of the catalog in a pack that is not listed');
}
