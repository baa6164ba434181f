import { AgentError } from '../errors.ts';
import { type Shape, shape } from '../local/shape.ts';
import type { ModuleFile, ModuleKind } from '../mandate/modules.ts';
import { copyDefect } from './copy-error.ts';
import { pathDefect } from './entry-path.ts';

/** The name of the manifest in the ZIP file, and the folder that holds everything else. */
export const MANIFEST = 'manifest.json';
export const FILES = 'files/';
export const FORMAT = 'cresus-safe-copy';
export const FORMAT_VERSION = 1;
/** A manifest is read into memory whole. */
export const MAX_MANIFEST_BYTES = 256 * 1024 * 1024;

/** A file or folder of a copy, in the order of a catalog: a folder directly before its content. */
export type TreeNode = TreeFile | TreeFolder;

interface NodeFacts {
  /** Relative, `/` between parts. */
  readonly path: string;
  /** µs since 1970. */
  readonly mtime: number;
  /** The nine permission bits. */
  readonly mode: number;
}
export interface TreeFile extends NodeFacts {
  readonly type: 'file';
  readonly size: number;
  readonly sha256: string;
}
export interface TreeFolder extends NodeFacts {
  readonly type: 'folder';
}

/** Something of the mandate that the copy does not hold, with why. */
export interface CopyProblem {
  readonly path: string;
  readonly code: string;
}

/** What a copy says of itself, without the list of its files. */
export interface ManifestHead {
  /** The state of the data: ms since 1970. */
  readonly createdAt: number;
  /** When the copy was written: ms since 1970. */
  readonly writtenAt: number;
  readonly agentVersion: string;
  readonly mandate: { readonly name: string; readonly id: string };
  readonly modules: readonly ModuleFile[];
  readonly source: { readonly kind: SourceKind; readonly id: string | undefined };
  readonly comment: string;
}

export type SourceKind = 'mandate' | 'point' | 'snapshot';

export interface Manifest extends ManifestHead {
  readonly nodes: readonly TreeNode[];
  readonly problems: readonly CopyProblem[];
  readonly files: number;
  readonly bytes: number;
}

/** The manifest as JSON in pieces, one line a file, so that a diff of two copies can be read. */
export function* manifestText(
  head: ManifestHead,
  nodes: readonly TreeNode[],
  problems: readonly CopyProblem[],
): Generator<string> {
  const files = nodes.filter((node) => node.type === 'file');
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const facts = {
    format: FORMAT,
    version: FORMAT_VERSION,
    mandate: head.mandate,
    comment: head.comment,
    createdAt: head.createdAt,
    writtenAt: head.writtenAt,
    agentVersion: head.agentVersion,
    modules: head.modules,
    source: { kind: head.source.kind, id: head.source.id ?? null },
    totals: { files: files.length, bytes },
  };
  yield `${JSON.stringify(facts, null, 2).slice(0, -2)},\n  "entries": [`;
  yield* lines(nodes);
  yield '],\n  "problems": [';
  yield* lines(problems);
  yield ']\n}\n';
}

function* lines(items: readonly object[]): Generator<string> {
  for (const [index, item] of items.entries()) yield `${index === 0 ? '' : ','}\n    ${JSON.stringify(item)}`;
  if (items.length > 0) yield '\n  ';
}

/**
 * Reads a manifest strictly: its version first, then every field and every path.
 * @throws AgentError `integrity` with `copy-version`, `copy-manifest`, `copy-path`, `copy-duplicate`
 */
export function parseManifest(bytes: Buffer): Manifest {
  try {
    const fields = shape(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), 'manifest');
    checkVersion(fields);
    const nodes = fields.list('entries', nodeOf);
    checkTree(nodes);
    const manifest = { ...headOf(fields), nodes, problems: fields.list('problems', problemOf), ...totalsOf(nodes) };
    const { files, bytes: total } = {
      files: fields.object('totals').integer('files'),
      bytes: fields.object('totals').integer('bytes'),
    };
    if (files !== manifest.files || total !== manifest.bytes)
      throw new TypeError('totals are not those of the entries');
    return manifest;
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw copyDefect('manifest', { reason: (error as Error).message }, error);
  }
}

function checkVersion(fields: Shape): void {
  const format = fields.text('format');
  if (format !== FORMAT) throw copyDefect('not-a-copy');
  const version = fields.integer('version');
  if (version !== FORMAT_VERSION) throw copyDefect('version', { version, known: FORMAT_VERSION });
}

function headOf(fields: Shape): ManifestHead {
  const mandate = fields.object('mandate');
  const source = fields.object('source');
  return {
    mandate: { name: mandate.text('name'), id: idOf(mandate.text('id')) },
    comment: fields.text('comment'),
    createdAt: moment(fields.integer('createdAt')),
    writtenAt: moment(fields.integer('writtenAt')),
    agentVersion: fields.text('agentVersion'),
    modules: fields.list('modules', moduleOf),
    source: { kind: oneOf(source.text('kind'), ['mandate', 'point', 'snapshot']), id: source.optionalText('id') },
  };
}

function idOf(text: string): string {
  if (!/^[0-9a-f]{32}$/.test(text)) throw new TypeError('id is not 32 hex digits');
  return text;
}

function moment(time: number): number {
  if (time < 0 || time > 8.64e15) throw new TypeError('a time is out of range');
  return time;
}

function moduleOf(value: unknown): ModuleFile {
  const fields = shape(value, 'module');
  const kinds: readonly ModuleKind[] = ['accounting', 'invoicing', 'payroll'];
  const file = fields.text('file');
  if (pathDefect(file) !== undefined || file.includes('/')) throw copyDefect('path', { path: file });
  return { kind: oneOf(fields.text('kind'), kinds), file };
}

function oneOf<T extends string>(text: string, known: readonly T[]): T {
  const found = known.find((each) => each === text);
  if (found === undefined) throw new TypeError(`${text} is none of ${known.join(', ')}`);
  return found;
}

function problemOf(value: unknown): CopyProblem {
  const fields = shape(value, 'problem');
  return { path: fields.text('path'), code: fields.text('code') };
}

function nodeOf(value: unknown): TreeNode {
  const fields = shape(value, 'entry');
  const path = fields.text('path');
  if (pathDefect(path) !== undefined) throw copyDefect('path', { path });
  const facts = { path, mtime: whole(fields, 'mtime'), mode: whole(fields, 'mode') };
  if (facts.mode > 0o777) throw new TypeError('mode is more than nine bits');
  const type = oneOf(fields.text('type'), ['file', 'folder', 'link']);
  if (type === 'link') throw copyDefect('link', { path });
  if (type === 'folder') return { type, ...facts };
  const sha256 = fields.text('sha256');
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new TypeError('sha256 is not 64 hex digits');
  return { type, ...facts, size: whole(fields, 'size'), sha256 };
}

function whole(fields: Shape, key: string): number {
  const value = fields.integer(key);
  if (value < 0) throw new TypeError(`${key} is negative`);
  return value;
}

/** No path twice, and everything in a folder that came before: what restores need (MS-32). */
function checkTree(nodes: readonly TreeNode[]): void {
  const seen = new Set<string>();
  const folders = new Set<string>(['']);
  for (const { path, type } of nodes) {
    if (seen.has(path)) throw copyDefect('duplicate', { path });
    seen.add(path);
    const cut = path.lastIndexOf('/');
    if (!folders.has(cut < 0 ? '' : path.slice(0, cut))) throw copyDefect('path', { path });
    if (type === 'folder') folders.add(path);
  }
}

function totalsOf(nodes: readonly TreeNode[]): { files: number; bytes: number } {
  let files = 0;
  let bytes = 0;
  for (const node of nodes) {
    if (node.type !== 'file') continue;
    files += 1;
    bytes += node.size;
  }
  return { files, bytes };
}
