import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { concat } from '../bytes/bytes.ts';
import { asHash, asPackRef } from '../ids.ts';
import { CatalogReader, CatalogWriter, readCatalog } from './catalog.ts';
import { type CatalogNode, comparePaths, type Extent, pushExtent } from './catalog-node.ts';

const REFS = [asPackRef('11'.repeat(16)), asPackRef('22'.repeat(16))] as const;
const SHA = asHash('ee'.repeat(32));

function streamOf(nodes: readonly CatalogNode[]): Uint8Array {
  const writer = new CatalogWriter();
  return concat(...nodes.flatMap((node) => writer.push(node) ?? []), writer.finish());
}

/** A tree from names: every folder before what is in it, in catalog order. */
function treeOf(names: readonly string[]): CatalogNode[] {
  const paths = new Map<string, CatalogNode>();
  for (const [i, name] of names.entries()) {
    const parts = name.split('/');
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join('/');
      paths.set(path, { type: 'folder', path, mtime: i, mode: 0o755 });
    }
    if (!paths.has(name)) paths.set(name, fileNode(name, i));
  }
  const key = (path: string): Uint8Array => new TextEncoder().encode(path);
  return [...paths.values()].sort((a, b) => comparePaths(key(a.path), key(b.path)));
}

function fileNode(path: string, i: number): CatalogNode {
  const extents: Extent[] = [];
  for (let n = 0; n < i % 4; n++) pushExtent(extents, REFS[n % 2] as Extent['packRef'], n, 10, 100);
  const size = extents.reduce((sum, { length }) => sum + length, 0);
  return { type: 'file', path, mtime: i, mode: 0o644, size, sha256: SHA, extents };
}

const name = fc.stringMatching(/^[a-c!\-.é\u{1f4c4}]{1,6}$/u).filter((part) => part !== '.' && part !== '..');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));

describe('catalogs', () => {
  it('give back their nodes, wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.uniqueArray(path, { maxLength: 30 }), fc.integer({ min: 1, max: 50 }), (names, step) => {
        const nodes = treeOf(names);
        const stream = streamOf(nodes);
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < stream.length; at += step) pieces.push(stream.slice(at, at + step));
        expect([...readCatalog(pieces)]).toEqual(nodes);
      }),
      { numRuns: 60 },
    );
  });

  it('are refused at every truncation', () => {
    const stream = streamOf(treeOf(['a/b', 'a/c', 'd']));
    for (let end = 0; end < stream.length; end++)
      expect(() => [...readCatalog([stream.subarray(0, end)])]).toThrow(/ends early/);
  });

  it('may reuse the buffer of a piece', () => {
    const nodes = treeOf(['a/b', 'c', 'd/e/f']);
    const stream = streamOf(nodes);
    const reader = new CatalogReader();
    const buffer = new Uint8Array(7);
    const read: CatalogNode[] = [];
    for (let at = 0; at < stream.length; at += 7) {
      const piece = stream.subarray(at, at + 7);
      buffer.set(piece);
      read.push(...reader.push(buffer.subarray(0, piece.length)));
      buffer.fill(0xff);
    }
    reader.finish();
    expect(read).toEqual(nodes);
  });

  it('order a folder directly before what is in it', () => {
    const order = ['a', 'a/b', 'a/b/c', 'a/é', 'a!', 'a-b', 'b'];
    const bytes = order.map((text) => new TextEncoder().encode(text));
    expect(bytes.toSorted(comparePaths)).toEqual(bytes);
    expect(comparePaths(bytes[0] as Uint8Array, bytes[0] as Uint8Array)).toBe(0);
  });

  it('merge runs that touch, and only those', () => {
    const extents: Extent[] = [];
    pushExtent(extents, REFS[0], 1, 0, 10);
    pushExtent(extents, REFS[0], 1, 10, 5);
    pushExtent(extents, REFS[0], 1, 16, 5);
    pushExtent(extents, REFS[0], 2, 21, 5);
    pushExtent(extents, REFS[1], 2, 26, 5);
    expect(extents.map(({ offset, length }) => [offset, length])).toEqual([
      [0, 15],
      [16, 5],
      [21, 5],
      [26, 5],
    ]);
  });
});
