import { decodeText, encodeText } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { ProtocolError } from '../errors.ts';
import { asHash, asPackRef, idBytes, type PackRef } from '../ids.ts';
import {
  type CatalogNode,
  checkExtents,
  type Extent,
  type FileNode,
  MAX_PATH_BYTES,
  NODE_TYPES,
  TreeOrder,
} from './catalog-node.ts';

export const MAX_CATALOG_BYTES = 1024 ** 3;
export const EXTENT_BYTES = 26;
/** Longest reason code of a problem. */
export const MAX_REASON_BYTES = 64;

const MAGIC = 'CSCT';
const HEADER_BYTES = 8;
const END_BYTES = 9;
const PIECE_BYTES = 64 * 1024;
const MAX_MODE = 0o777;

/** `packRef ‖ segment ‖ offset ‖ length`, as catalog and record list it. */
export function writeExtent(writer: Writer, extent: Extent): void {
  writer.bytes(packRefBytes(extent.packRef)).u16(extent.segment).u32(extent.offset).u32(extent.length);
}

/** Reads one extent; its ranges are judged by `checkExtents`. */
export function readExtent(reader: Reader): Extent {
  const packRef = packRefOf(reader.bytes(16, 'packRef'));
  return { packRef, segment: reader.u16('segment'), offset: reader.u32('offset'), length: reader.u32('length') };
}

// Almost every extent repeats the packRef of the one before: converting it once keeps 100,000 files cheap.
let lastRef: { id: PackRef; bytes: Uint8Array } = { id: asPackRef('0'.repeat(32)), bytes: new Uint8Array(16) };

function packRefBytes(id: PackRef): Uint8Array {
  if (lastRef.id !== id) lastRef = { id, bytes: idBytes(id) };
  return lastRef.bytes;
}

function packRefOf(bytes: Uint8Array): PackRef {
  const known = lastRef.bytes;
  for (let i = 0; i < 16; i++)
    if (bytes[i] !== known[i]) {
      lastRef = { id: asPackRef(bytes), bytes: bytes.slice() };
      break;
    }
  return lastRef.id;
}

/** Turns nodes, given in catalog order, into the catalog's plain stream. */
export class CatalogWriter {
  readonly #order = new TreeOrder();
  #writer = new Writer(PIECE_BYTES * 2).magic(MAGIC).zero(3);
  #count = 0;
  #length = 0;

  /**
   * Adds one node. Returns a piece of the stream whenever enough has gathered.
   * @throws ProtocolError `format` when the node breaks a rule of SPEC 11, `limit` past 1 GiB
   */
  push(node: CatalogNode): Uint8Array | undefined {
    writeNode(this.#writer, node, this.#order);
    this.#count += 1;
    return this.#writer.length < PIECE_BYTES ? undefined : this.#flush();
  }

  /** The last piece. */
  finish(): Uint8Array {
    this.#writer.u8(0).u64(this.#count);
    return this.#flush();
  }

  #flush(): Uint8Array {
    const piece = this.#writer.finish();
    this.#writer = new Writer(PIECE_BYTES * 2);
    this.#length += piece.length;
    if (this.#length > MAX_CATALOG_BYTES) throw new ProtocolError('limit', 'a catalog over 1 GiB');
    return piece;
  }
}

function writeNode(writer: Writer, node: CatalogNode, order: TreeOrder): void {
  const path = encodeText(node.path, 'catalog path');
  order.next(node.path, path, node.type === 'folder');
  if (node.mode > MAX_MODE) throw new ProtocolError('format', `catalog: mode ${node.mode.toString(8)}`);
  writer.u8(NODE_TYPES[node.type]).lp16(path).u64(node.mtime).u16(node.mode);
  if (node.type === 'file') {
    checkExtents(node.extents, node.size);
    writer.u64(node.size).bytes(idBytes(node.sha256)).u8(0).u32(node.extents.length);
    for (const extent of node.extents) writeExtent(writer, extent);
  } else if (node.type === 'link') writer.lp16(linkTarget(encodeText(node.target, 'link target')));
  else if (node.type === 'problem') writer.lp16(reasonCode(encodeText(node.reason, 'reason')));
}

function linkTarget(target: Uint8Array): Uint8Array {
  if (target.length === 0 || target.length > MAX_PATH_BYTES)
    throw new ProtocolError('format', `catalog: a link target of ${target.length} bytes`);
  return target;
}

function reasonCode(reason: Uint8Array): Uint8Array {
  if (reason.length === 0 || reason.length > MAX_REASON_BYTES)
    throw new ProtocolError('format', `catalog: a reason of ${reason.length} bytes`);
  return reason;
}

/** Turns pieces of a catalog's plain stream, cut anywhere, into its nodes; memory holds one piece and one node. */
export class CatalogReader {
  readonly #order = new TreeOrder();
  #pending: Uint8Array = new Uint8Array(0);
  #started = false;
  #ended = false;
  #count = 0;
  #length = 0;

  /**
   * The nodes that are complete with this piece. The piece may be overwritten afterwards.
   * @throws ProtocolError `format`, `version`, `limit`
   */
  push(piece: Uint8Array): CatalogNode[] {
    this.#length += piece.length;
    if (this.#length > MAX_CATALOG_BYTES) throw new ProtocolError('limit', 'a catalog over 1 GiB');
    const bytes = this.#pending.length === 0 ? piece : joined(this.#pending, piece);
    const nodes: CatalogNode[] = [];
    let at = this.#readStart(bytes);
    while (this.#started && !this.#ended) {
      const length = nodeLength(bytes, at);
      if (length === undefined || at + length > bytes.length) break;
      const reader = new Reader(bytes.subarray(at, at + length), 'catalog');
      if (bytes[at] === 0) this.#readEnd(reader);
      else {
        nodes.push(readNode(reader, this.#order));
        this.#count += 1;
      }
      at += length;
    }
    this.#pending = bytes.slice(at);
    if (this.#ended && this.#pending.length > 0) throw defect(`${this.#pending.length} trailing bytes`);
    return nodes;
  }

  /** To be called after the last piece: throws `format` when the stream ended early. */
  finish(): void {
    if (!this.#ended) throw defect('ends early');
  }

  #readStart(bytes: Uint8Array): number {
    if (this.#started || bytes.length < HEADER_BYTES) return 0;
    const reader = new Reader(bytes, 'catalog');
    reader.magic(MAGIC);
    reader.zero(3, 'reserved bytes');
    this.#started = true;
    return HEADER_BYTES;
  }

  #readEnd(reader: Reader): void {
    reader.u8('end');
    const count = reader.u64('count');
    if (count !== this.#count) throw defect(`counts ${count} nodes, holds ${this.#count}`);
    this.#ended = true;
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

function u16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** Length of the node that begins at `at`, or undefined while too little of it is there to tell. */
function nodeLength(bytes: Uint8Array, at: number): number | undefined {
  const type = bytes[at];
  if (type === undefined) return undefined;
  if (type === 0) return END_BYTES;
  if (at + 3 > bytes.length) return undefined;
  const pathLength = u16At(bytes, at + 1);
  if (pathLength > MAX_PATH_BYTES) throw defect(`a path of ${pathLength} bytes`);
  const body = 3 + pathLength + 10;
  if (type === NODE_TYPES.folder) return body;
  if (type === NODE_TYPES.link || type === NODE_TYPES.problem)
    return at + body + 2 > bytes.length ? undefined : body + 2 + u16At(bytes, at + body);
  if (type !== NODE_TYPES.file) throw defect(`a node of type ${type}`);
  const countAt = at + body + 41;
  if (countAt + 4 > bytes.length) return undefined;
  const extents = u16At(bytes, countAt) * 65_536 + u16At(bytes, countAt + 2);
  if (extents * EXTENT_BYTES > MAX_CATALOG_BYTES) throw defect(`a file of ${extents} extents`);
  return body + 45 + extents * EXTENT_BYTES;
}

function readNode(reader: Reader, order: TreeOrder): CatalogNode {
  const type = reader.u8('type');
  const bytes = reader.lp16('path', MAX_PATH_BYTES).slice();
  const path = decodeText(bytes, 'catalog: path');
  order.next(path, bytes, type === NODE_TYPES.folder);
  const mtime = reader.u64('mtime');
  const mode = reader.u16('mode');
  if (mode > MAX_MODE) throw defect(`mode ${mode.toString(8)}`);
  const common = { path, mtime, mode };
  if (type === NODE_TYPES.file) return readFile(reader, common);
  if (type === NODE_TYPES.folder) return { type: 'folder', ...common };
  const text = reader.lp16('text');
  if (type === NODE_TYPES.link)
    return { type: 'link', ...common, target: decodeText(linkTarget(text), 'catalog: link target') };
  return { type: 'problem', ...common, reason: decodeText(reasonCode(text), 'catalog: reason') };
}

function readFile(reader: Reader, common: Pick<FileNode, 'path' | 'mtime' | 'mode'>): FileNode {
  const size = reader.u64('size');
  const sha256 = asHash(reader.bytes(32, 'sha256'));
  if (reader.u8('flags') !== 0) throw defect('flags that are not zero');
  const count = reader.u32('extent count');
  const extents: Extent[] = [];
  for (let i = 0; i < count; i++) extents.push(readExtent(reader));
  checkExtents(extents, size);
  return { type: 'file', ...common, size, sha256, extents };
}

/** The nodes of a catalog given in pieces. */
export function* readCatalog(pieces: Iterable<Uint8Array>): Generator<CatalogNode> {
  const reader = new CatalogReader();
  for (const piece of pieces) yield* reader.push(piece);
  reader.finish();
}

function defect(what: string): ProtocolError {
  return new ProtocolError('format', `catalog: ${what}`);
}
