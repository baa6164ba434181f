import { ProtocolError } from '../errors.ts';
import type { Hash, PackRef } from '../ids.ts';
import { MAX_SEGMENT_BYTES } from './segment.ts';

export const MAX_PATH_BYTES = 4096;
export const MAX_NAME_BYTES = 255;

/** A run of plain bytes in one segment. */
export interface Extent {
  readonly packRef: PackRef;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

interface NodeCommon {
  /** Relative, `/` between parts. */
  readonly path: string;
  /** µs since 1970. */
  readonly mtime: number;
  /** The nine permission bits. */
  readonly mode: number;
}

export interface FileNode extends NodeCommon {
  readonly type: 'file';
  readonly size: number;
  readonly sha256: Hash;
  readonly extents: readonly Extent[];
}
export interface FolderNode extends NodeCommon {
  readonly type: 'folder';
}
export interface LinkNode extends NodeCommon {
  readonly type: 'link';
  readonly target: string;
}
/** Something that could not be saved; `reason` is a code such as `unreadable`. */
export interface ProblemNode extends NodeCommon {
  readonly type: 'problem';
  readonly reason: string;
}
export type CatalogNode = FileNode | FolderNode | LinkNode | ProblemNode;

export const NODE_TYPES = { file: 1, folder: 2, link: 3, problem: 4 } as const;

/** Order of paths in a catalog: by bytes, `/` before every other, so that a folder comes directly before its content. */
export function comparePaths(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a[i] as number;
    const y = b[i] as number;
    if (x !== y) return (x === SLASH ? 0 : x) - (y === SLASH ? 0 : y);
  }
  return a.length - b.length;
}

const SLASH = 0x2f;
const DOT = 0x2e;

/** Checks the rules of SPEC 11 for a path's bytes; throws `format`. */
export function checkPath(path: Uint8Array): void {
  if (path.length === 0 || path.length > MAX_PATH_BYTES) throw bad(`a path of ${path.length} bytes`);
  for (let start = 0; start <= path.length; ) {
    const found = path.indexOf(SLASH, start);
    const end = found < 0 ? path.length : found;
    checkName(path, start, end);
    start = end + 1;
  }
}

function checkName(path: Uint8Array, start: number, end: number): void {
  const length = end - start;
  if (length === 0) throw bad('a path with an empty part');
  if (length > MAX_NAME_BYTES) throw bad(`a name of ${length} bytes`);
  const dots = path[start] === DOT && (length === 1 || (length === 2 && path[start + 1] === DOT));
  if (dots) throw bad('a path with a part . or ..');
}

/** Checks that each node comes after the one before and lies in a folder that came before; throws `format`. */
export class TreeOrder {
  #previous: Uint8Array = new Uint8Array(0);
  readonly #folders: string[] = [];

  next(path: string, bytes: Uint8Array, isFolder: boolean): void {
    checkPath(bytes);
    if (this.#previous.length > 0 && comparePaths(this.#previous, bytes) >= 0) throw bad('paths do not ascend');
    this.#previous = bytes;
    const slash = path.lastIndexOf('/');
    const parent = slash < 0 ? '' : path.slice(0, slash);
    while (this.#folders.length > 0 && this.#folders.at(-1) !== parent) this.#folders.pop();
    if (parent !== '' && this.#folders.length === 0) throw bad('a path whose parent is not a folder before it');
    if (isFolder) this.#folders.push(path);
  }
}

/** Checks extents against the rules of SPEC 11 and the file's size; throws `format`. */
export function checkExtents(extents: readonly Extent[], size: number): void {
  let sum = 0;
  let previous: Extent | undefined;
  for (const extent of extents) {
    if (extent.length === 0) throw bad('an extent of no bytes');
    if (extent.segment >= MAX_SEGMENTS) throw bad(`an extent in segment ${extent.segment}`);
    if (extent.offset + extent.length > MAX_SEGMENT_BYTES) throw bad('an extent past the end of a segment');
    if (previous && touches(previous, extent)) throw bad('neighbouring extents that touch');
    sum += extent.length;
    previous = extent;
  }
  if (sum !== size) throw bad('extents that do not add up to the size');
}

const MAX_SEGMENTS = 4096;

function touches(a: Extent, b: Extent): boolean {
  return a.packRef === b.packRef && a.segment === b.segment && a.offset + a.length === b.offset;
}

/**
 * Adds a run to the end of `extents`, lengthening the last where they touch. Called for every chunk of a backup, so it
 * makes an object only for a new extent.
 */
export function pushExtent(extents: Extent[], packRef: PackRef, segment: number, offset: number, length: number): void {
  const last = extents.at(-1) as { -readonly [K in keyof Extent]: Extent[K] } | undefined;
  if (last && last.offset + last.length === offset && last.segment === segment && last.packRef === packRef)
    last.length += length;
  else extents.push({ packRef, segment, offset, length });
}

function bad(what: string): ProtocolError {
  return new ProtocolError('format', `catalog: ${what}`);
}
