// node -C @cresus-safe/source tests/vectors/generate-packs.ts: writes the vectors of chunks, packs and catalogs.
import { join } from 'node:path';
import * as protocol from '@cresus-safe/protocol';
import { type Json, toVector } from './values.ts';
import { bytesFor, hexFor, MANDATE_ID, VAULT, writeGolden, writeVectors } from './world.ts';

const { toHex, Writer } = protocol;

const KEYS = { vaultId: VAULT.vaultId, root: VAULT.roots[0], mandateId: MANDATE_ID };
const RANDOM = [hexFor('pack ref', 16), hexFor('pack salt', 32)];
const GIB = 1024 ** 3;
const REF = protocol.asPackRef(hexFor('pack ref', 16));

interface Segment {
  readonly contentClass: number;
  readonly compression: number;
  readonly reserved: number;
  readonly sealed: number;
  readonly plain: number;
  readonly count: number;
  readonly chunks: readonly number[];
}

function index(...segments: readonly Partial<Segment>[]): string {
  const writer = new Writer();
  for (const segment of segments) {
    const { contentClass = 1, compression = 0, reserved = 0, plain = 1000, chunks = [400, 600] } = segment;
    const { sealed = plain + 16, count = chunks.length } = segment;
    writer.u8(contentClass).u8(compression).u16(reserved).u32(sealed).u32(plain).u32(count);
    for (const length of chunks) writer.u32(length);
  }
  return toHex(writer.finish());
}

const PLAIN = hexFor('segment 0', 1000);
const OTHER = hexFor('segment 1', 1000);
const BASE = { ...KEYS, random: RANDOM, payloads: [PLAIN], index: index({}) };
/** zstd, level 3: 4,096 times the letter a; from libzstd 1.5, decoded by every later one. */
const FRAME = toHex(protocol.compressSegment(new Uint8Array(4096).fill(0x61)) as Uint8Array);

type Row = readonly [name: string, input: unknown, kind: protocol.ProtocolErrorKind, message: string, attack?: string];

function cases(what: string, rows: readonly Row[]): Json[] {
  return rows.map(([name, input, kind, message, attack]) =>
    toVector({ name, attack, what, in: input, error: { kind, message } }),
  );
}

function zstd(payload: string, plain: number): object {
  return {
    ...BASE,
    payloads: [payload],
    index: index({ compression: 1, sealed: payload.length / 2 + 16, plain, chunks: [plain] }),
  };
}

function withoutChecksum(frame: string): string {
  const bytes = protocol.fromHex(frame).slice(0, -4);
  bytes[4] = (bytes[4] as number) & ~0b100;
  return toHex(bytes);
}

const PACK_ROWS: readonly Row[] = [
  ['another name', { ...BASE, packId: hexFor('other', 32) }, 'integrity', 'do not have its name', 'MS-04'],
  ['a byte too many', { ...BASE, append: '00' }, 'integrity', 'a length of 262145 bytes', 'MS-03'],
  ['magic', { ...BASE, flip: 0 }, 'integrity', 'magic is not CSPK'],
  ['version 2', { ...BASE, version: 2 }, 'version', 'version 2 is not known'],
  ['reserved bytes', { ...BASE, flip: 6 }, 'integrity', 'reserved bytes is not zero'],
  [
    'another mandate',
    { ...BASE, mandateRef: hexFor('stranger', 16) },
    'integrity',
    'belongs to another mandate',
    'MS-07',
  ],
  ['a generation that does not exist', { ...BASE, generation: 1 }, 'integrity', 'generation 1 is not opened'],
  ['packRef', { ...BASE, flip: 30 }, 'integrity', 'commitment does not fit'],
  ['salt', { ...BASE, flip: 50 }, 'integrity', 'commitment does not fit'],
  ['commitment', { ...BASE, flip: 80 }, 'integrity', 'commitment does not fit', 'MS-13'],
  ['a bit of a segment', { ...BASE, flip: 200 }, 'integrity', 'segment 0: authentication failed', 'MS-01'],
  ['a bit of the index', { ...BASE, flip: 2000 }, 'integrity', 'pack index: authentication failed', 'MS-01'],
  ['a bit of the footer', { ...BASE, flip: -1 }, 'integrity', 'pack footer: authentication failed', 'MS-01'],
  ['reserved bytes of the footer', { ...BASE, footer: { reserved: 1 } }, 'integrity', 'reserved bytes is not zero'],
  ['index offset within the header', { ...BASE, footer: { offset: 60 } }, 'integrity', 'its index does not fit'],
  ['index offset off by one', { ...BASE, footer: { offset: 1125 } }, 'integrity', 'its index does not fit'],
  ['no segments', { ...BASE, footer: { count: 0 } }, 'integrity', '0 segments'],
  ['4,097 segments', { ...BASE, footer: { count: 4097 } }, 'integrity', '4097 segments'],
  ['padding that is not zero', { ...BASE, padding: 1 }, 'integrity', 'padding is not zero'],
  [
    'one segment more than counted',
    { ...BASE, payloads: [PLAIN, OTHER], footer: { count: 1 }, index: index({}, {}) },
    'integrity',
    'padding is not zero',
  ],
  [
    'a segment that the index does not list',
    { ...BASE, payloads: [PLAIN, OTHER], footer: { count: 1 } },
    'integrity',
    'do not end where the index begins',
  ],
  [
    'two segments swapped',
    { ...BASE, payloads: [PLAIN, OTHER], nonces: [1, 0], index: index({}, {}) },
    'integrity',
    'segment 0: authentication failed',
    'MS-05',
  ],
  ['class 4', { ...BASE, index: index({ contentClass: 4 }) }, 'integrity', 'is of class 4'],
  ['compression 2', { ...BASE, index: index({ compression: 2 }) }, 'integrity', 'has compression 2'],
  [
    'reserved bytes of a segment',
    { ...BASE, index: index({ reserved: 1 }) },
    'integrity',
    'reserved bytes is not zero',
  ],
  [
    'an empty segment',
    { ...BASE, payloads: [''], index: index({ plain: 0, chunks: [] }) },
    'integrity',
    'declares 0 bytes',
  ],
  ['a segment over 2 MiB', { ...BASE, index: index({ plain: 2_097_153 }) }, 'integrity', 'declares 2097153 bytes'],
  [
    'sealed length of another plain length',
    { ...BASE, index: index({ sealed: 1015 }) },
    'integrity',
    'has 1015 sealed bytes for 1000',
  ],
  [
    'compression that saves nothing',
    { ...BASE, index: index({ compression: 1 }) },
    'integrity',
    'has 1016 sealed bytes for 1000',
  ],
  ['chunks that do not add up', { ...BASE, index: index({ chunks: [400, 599] }) }, 'integrity', 'do not add up'],
  ['an empty chunk', { ...BASE, index: index({ chunks: [0, 1000] }) }, 'integrity', 'has a chunk of 0 bytes'],
  [
    'a chunk over 512 KiB',
    { ...BASE, index: index({ chunks: [524_289] }) },
    'integrity',
    'has a chunk of 524289 bytes',
  ],
  [
    'more chunks than the index has room for',
    { ...BASE, index: index({ count: 4_000_000_000 }) },
    'integrity',
    'lists 4000000000 chunks',
  ],
  ['zstd: another declared length', zstd(FRAME, 4095), 'integrity', 'does not declare 4095 bytes', 'MS-29'],
  ['zstd: a byte behind the frame', zstd(`${FRAME}00`, 4096), 'integrity', 'does not end at the end'],
  ['zstd: two frames', zstd(FRAME + FRAME, 4096), 'integrity', 'does not end at the end'],
  ['zstd: truncated', zstd(FRAME.slice(0, -4), 4096), 'integrity', 'does not end at the end', 'MS-30'],
  ['zstd: without checksum', zstd(withoutChecksum(FRAME), 4096), 'integrity', 'has no checksum'],
  ['zstd: wrong checksum', zstd(`${FRAME.slice(0, -2)}ff`, 4096), 'integrity', 'does not expand'],
  ['zstd: no frame', zstd(hexFor('junk', 40), 4096), 'integrity', 'is not a zstd frame'],
];

const FILE: protocol.FileNode = {
  type: 'file',
  path: 'livre.cre',
  mtime: 1_795_529_100_000_000,
  mode: 0o644,
  size: 300,
  sha256: protocol.asHash(hexFor('file', 32)),
  extents: [
    { packRef: REF, segment: 0, offset: 100, length: 200 },
    { packRef: REF, segment: 3, offset: 0, length: 100 },
  ],
};

const TREE: readonly protocol.CatalogNode[] = [
  { type: 'folder', path: 'Pièces', mtime: 1, mode: 0o755 },
  {
    type: 'file',
    path: 'Pièces/vide',
    mtime: 2,
    mode: 0o600,
    size: 0,
    sha256: protocol.asHash(toHex(protocol.sha256())),
    extents: [],
  },
  { type: 'link', path: 'Pièces-2025', mtime: 0, mode: 0o777, target: '../archives' },
  { type: 'problem', path: 'Pièces-2025.lock', mtime: 0, mode: 0, reason: 'special' },
  FILE,
];

type Patch = (writer: protocol.Writer) => protocol.Writer;
const start: Patch = (writer) => writer.magic('CSCT').zero(3);
const end =
  (count: number): Patch =>
  (writer) =>
    writer.u8(0).u64(count);
function node(
  type: number,
  path: string | Uint8Array,
  body: Patch = (w) => w,
  mode = 0o644,
  mtime?: Uint8Array,
): Patch {
  const bytes = typeof path === 'string' ? new TextEncoder().encode(path) : path;
  return (writer) =>
    body(
      writer
        .u8(type)
        .lp16(bytes)
        .bytes(mtime ?? new Uint8Array(8))
        .u16(mode),
    );
}
const folder = (path: string | Uint8Array): Patch => node(2, path);
function file(size: number, ...extents: [segment: number, offset: number, length: number][]): Patch {
  return (writer) => {
    writer.u64(size).bytes(bytesFor('file', 32)).u8(0).u32(extents.length);
    for (const [segment, offset, length] of extents)
      writer.bytes(protocol.idBytes(REF)).u16(segment).u32(offset).u32(length);
    return writer;
  };
}
function raw(...patches: readonly Patch[]): string {
  return toHex(patches.reduce((writer, patch) => patch(writer), new Writer()).finish());
}
const one = (patch: Patch): string => raw(start, patch, end(1));

const CATALOG_ROWS: readonly Row[] = [
  ['magic', raw((w) => w.magic('CSCU').zero(3), end(0)), 'format', 'magic is not CSCT'],
  ['version 2', raw((w) => w.bytes(protocol.ascii('CSCT')).u8(2).zero(3), end(0)), 'version', 'version 2 is not known'],
  [
    'reserved bytes',
    raw((w) => w.magic('CSCT').bytes(Uint8Array.of(0, 1, 0)), end(0)),
    'format',
    'reserved bytes is not zero',
  ],
  ['ends early', raw(start, folder('a')), 'format', 'ends early'],
  ['a count that is not that of the nodes', raw(start, folder('a'), end(2)), 'format', 'counts 2 nodes, holds 1'],
  ['trailing bytes', raw(start, end(0), (w) => w.u8(7)), 'format', '1 trailing bytes'],
  ['type 5', one(node(5, 'a')), 'format', 'a node of type 5'],
  ['an empty path', one(folder('')), 'format', 'a path of 0 bytes', 'MS-32'],
  ['a path of 4,097 bytes', one(folder('a'.repeat(4097))), 'format', 'a path of 4097 bytes', 'MS-32'],
  ['an absolute path', one(folder('/etc')), 'format', 'an empty part', 'MS-32'],
  ['an empty part', raw(start, folder('a'), folder('a//b'), end(2)), 'format', 'an empty part', 'MS-32'],
  ['a trailing slash', one(folder('a/')), 'format', 'an empty part', 'MS-32'],
  ['a part that is a dot', one(folder('.')), 'format', 'a part . or ..', 'MS-32'],
  ['a part that is two dots', raw(start, folder('a'), folder('a/..'), end(2)), 'format', 'a part . or ..', 'MS-32'],
  ['a name of 256 bytes', one(folder('é'.repeat(128))), 'format', 'a name of 256 bytes', 'MS-32'],
  ['a NUL', one(folder('a\0b')), 'format', 'has a NUL', 'MS-32'],
  ['a path that is not UTF-8', one(folder(Uint8Array.of(0x61, 0xff))), 'format', 'not UTF-8'],
  ['paths that descend', raw(start, folder('b'), folder('a'), end(2)), 'format', 'do not ascend', 'MS-33'],
  ['the same path twice', raw(start, folder('a'), folder('a'), end(2)), 'format', 'do not ascend', 'MS-33'],
  [
    'a slash after other bytes',
    raw(start, folder('a'), folder('a-b'), folder('a/b'), end(3)),
    'format',
    'do not ascend',
  ],
  ['a parent that is missing', one(folder('a/b')), 'format', 'parent is not a folder'],
  [
    'a parent that is a link',
    raw(
      start,
      node(3, 'd', (w) => w.text16('/tmp', 't')),
      folder('d/f'),
      end(2),
    ),
    'format',
    'parent is not a folder',
    'MS-33',
  ],
  ['set-uid bit', one(node(2, 'a', undefined, 0o4755)), 'format', 'mode 4755', 'MS-37'],
  [
    'mtime over 2^53',
    one(node(2, 'a', undefined, 0o644, new Uint8Array(8).fill(0xff))),
    'format',
    'mtime is over 2^53-1',
    'MS-39',
  ],
  ['flags', one(node(1, 'a', (w) => w.u64(0).zero(32).u8(1).u32(0))), 'format', 'flags that are not zero'],
  ['extents short of the size', one(node(1, 'a', file(301, [0, 0, 300]))), 'format', 'do not add up', 'MS-39'],
  ['an extent of no bytes', one(node(1, 'a', file(0, [0, 0, 0]))), 'format', 'an extent of no bytes'],
  ['an extent past 2 MiB', one(node(1, 'a', file(2, [0, 2_097_151, 2]))), 'format', 'past the end', 'MS-39'],
  ['an extent in segment 4,096', one(node(1, 'a', file(1, [4096, 0, 1]))), 'format', 'in segment 4096'],
  ['extents that touch', one(node(1, 'a', file(20, [0, 0, 10], [0, 10, 10]))), 'format', 'that touch'],
  [
    'more extents than a catalog can hold',
    one(node(1, 'a', (w) => w.u64(0).zero(32).u8(0).u32(4_000_000_000))),
    'format',
    'a file of 4000000000 extents',
  ],
  ['an empty link', one(node(3, 'a', (w) => w.u16(0))), 'format', 'a link target of 0 bytes', 'MS-34'],
  ['a reason of 65 bytes', one(node(4, 'a', (w) => w.text16('r'.repeat(65), 'r'))), 'format', 'a reason of 65 bytes'],
  ['no reason', one(node(4, 'a', (w) => w.u16(0))), 'format', 'a reason of 0 bytes'],
];

async function main(): Promise<void> {
  const chunk = { ...KEYS, seed: 'vector', contentClass: 1, sizeClass: 0, length: 100_000 };
  await writeGolden('chunk.json', '9', [
    { name: '100,000 bytes of class 0', op: 'chunks', in: chunk },
    { name: 'the same as a document: same cuts, other ids', op: 'chunks', in: { ...chunk, contentClass: 2 } },
    { name: 'a forced cut at 4 MiB', op: 'chunks', in: { ...chunk, sizeClass: 4, length: 4_194_304 + 70_000 } },
    { name: '16 KiB stay whole', op: 'chunks', in: { ...chunk, length: 16_384 } },
    { name: 'one byte more does not', op: 'chunks', in: { ...chunk, length: 16_385 } },
    { name: 'empty', op: 'chunks', in: { ...chunk, length: 0 } },
    { name: '1 GiB', op: 'chunk-class', in: { size: GIB } },
    { name: 'a byte more', op: 'chunk-class', in: { size: GIB + 1 } },
    { name: 'a byte more, for a file that was smaller', op: 'chunk-class', in: { size: GIB + 1, previous: 0 } },
    { name: 'twice past the border', op: 'chunk-class', in: { size: 2 * GIB + 1, previous: 0 } },
    { name: 'shrunk to half a border', op: 'chunk-class', in: { size: GIB / 2, previous: 1 } },
    { name: '1 TiB', op: 'chunk-class', in: { size: 1024 * GIB } },
  ]);
  await writeGolden('pack.json', '10', [
    {
      name: 'two segments of two classes',
      op: 'pack',
      in: {
        ...KEYS,
        random: RANDOM,
        segments: [
          { contentClass: 1, plain: PLAIN, chunkLengths: [400, 600] },
          { contentClass: 3, plain: OTHER, chunkLengths: [1000] },
        ],
      },
    },
    { name: 'a compressed payload', op: 'segment-payload', in: { payload: FRAME, plainLength: 4096 } },
  ]);
  await writeGolden('catalog.json', '11', [
    { name: 'each kind of node', op: 'catalog', in: TREE },
    { name: 'an empty mandate', op: 'catalog', in: [] },
  ]);
  const mustFail = join(import.meta.dirname, 'must-fail');
  writeVectors(join(mustFail, 'pack.json'), '10', cases('pack', PACK_ROWS));
  writeVectors(join(mustFail, 'catalog.json'), '11', [
    ...cases('catalog', CATALOG_ROWS),
    ...cases('catalog-write', [
      ['unsorted', [TREE[4], TREE[0]], 'format', 'do not ascend'],
      ['a size that its extents do not give', [{ ...FILE, size: 299 }], 'format', 'do not add up'],
    ]),
    ...cases('chunk-class', [['size class 5', 5, 'format', 'size class 5 does not exist']]),
  ]);
}

await main();
