import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CatalogWriter } from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { listNames } from './names.ts';
import { microsOf, type ScanNode, scanMandate } from './scan.ts';

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'safe-scan-')));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

const put = (path: string, content = 'x'): void => writeFileSync(join(root, path), content);
const shown = (nodes: readonly ScanNode[]): string[] =>
  nodes.map((node) => `${node.type} ${node.path}${node.type === 'problem' ? `: ${node.reason}` : ''}`);

/** The catalog's writer refuses what is out of order or has no parent. */
function fitsCatalog(nodes: readonly ScanNode[]): void {
  const writer = new CatalogWriter();
  for (const node of nodes)
    if (node.type === 'file') writer.push({ type: 'problem', path: node.path, mtime: 0, mode: 0, reason: 'x' });
    else writer.push(node);
  writer.finish();
}

describe('scanning a mandate', () => {
  it('gives the tree in catalog order, empty folders too', async () => {
    for (const folder of ['a', 'a/b', 'a-b', 'vide', 'é']) mkdirSync(join(root, folder));
    for (const file of ['a/b/c', 'a/z', 'a-b/x', 'A', 'a!', 'é/1', 'z']) put(file);
    const nodes = await scanMandate(root);
    expect(nodes.map(({ path }) => path)).toEqual([
      'A',
      'a',
      'a/b',
      'a/b/c',
      'a/z',
      'a!',
      'a-b',
      'a-b/x',
      'vide',
      'z',
      'é',
      'é/1',
    ]);
    fitsCatalog(nodes);
  });

  it('keeps names as they are: NFC and NFD side by side, beyond the BMP, 255 bytes', async () => {
    const long = `${'é'.repeat(127)}a`;
    const names = ['é', 'e\u0301', '\u{1f4c4}', '\uffee', long];
    for (const name of names) put(name);
    const nodes = await scanMandate(root);
    expect(new Set(nodes.map(({ path }) => path))).toEqual(new Set(names));
    expect(nodes.every(({ type }) => type === 'file')).toBe(true);
    fitsCatalog(nodes);
  });

  it('lists names that are not UTF-8 as problems, each under its own replacement', async () => {
    const bytes = (...tail: number[]): Buffer => Buffer.concat([Buffer.from(`${root}/caf`), Buffer.from(tail)]);
    writeFileSync(bytes(0xe9), 'x');
    writeFileSync(bytes(0xe8), 'x');
    put('caf\ufffd');
    put('zebra');
    const nodes = await scanMandate(root);
    expect(shown(nodes)).toEqual([
      'file caf\ufffd',
      'problem caf\ufffd~2: invalid-name',
      'problem caf\ufffd~3: invalid-name',
      'file zebra',
    ]);
    fitsCatalog(nodes);
  });

  it('stores links, whole or broken, inside or outside, and follows none', async () => {
    mkdirSync(join(root, 'd'));
    put('d/f');
    symlinkSync('d', join(root, 'inside'));
    symlinkSync('/etc', join(root, 'outside'));
    symlinkSync('../nowhere', join(root, 'broken'));
    symlinkSync('.', join(root, 'loop'));
    const nodes = await scanMandate(root);
    expect(shown(nodes)).toEqual(['link broken', 'folder d', 'file d/f', 'link inside', 'link loop', 'link outside']);
    expect(nodes.flatMap((node) => (node.type === 'link' ? [node.target] : []))).toEqual([
      '../nowhere',
      'd',
      '.',
      '/etc',
    ]);
  });

  it('lists pipes and sockets as problems and does not hang on them', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    const server = createServer().listen(join(root, 'socket'));
    try {
      await new Promise((resolve) => server.once('listening', resolve));
      expect(shown(await scanMandate(root))).toEqual(['problem pipe: special', 'problem socket: special']);
    } finally {
      server.close();
    }
  });

  it('does not follow a folder that is swapped for a link while it is listed', async () => {
    mkdirSync(join(root, 'books'));
    put('books/f');
    put('zzz');
    const list: typeof listNames = (folder) => {
      if (folder.endsWith('/books')) {
        renameSync(folder, `${folder}.away`);
        symlinkSync('/etc', folder);
      }
      return listNames(folder);
    };
    expect(shown(await scanMandate(root, { list }))).toEqual(['problem books: changed', 'file zzz']);
  });

  it('makes a folder that cannot be listed a problem as a whole', async () => {
    mkdirSync(join(root, 'd'));
    put('d/f');
    const list: typeof listNames = (folder) => {
      if (folder.endsWith('/d')) throw Object.assign(new Error('no'), { code: 'EACCES' });
      return listNames(folder);
    };
    expect(shown(await scanMandate(root, { list }))).toEqual(['problem d: unreadable']);
  });

  it('keeps the permission bits only, and times in µs', async () => {
    put('f');
    chmodSync(join(root, 'f'), 0o4751);
    const [node] = await scanMandate(root);
    expect(node).toMatchObject({ type: 'file', mode: 0o751 });
    expect(Math.abs((node?.mtime ?? 0) / 1000 - Date.now())).toBeLessThan(60_000);
  });

  it('refuses a mandate that is not there, is a file, or is a link', async () => {
    put('file');
    symlinkSync('/etc', join(root, 'link'));
    for (const path of ['gone', 'file', 'link'])
      await expect(scanMandate(join(root, path))).rejects.toMatchObject({ kind: 'path-missing' });
  });

  it('stops when it is told to', async () => {
    for (let i = 0; i < 20; i++) {
      mkdirSync(join(root, `d${i}`));
      for (let k = 0; k < 20; k++) put(`d${i}/${k}`);
    }
    const slow: typeof listNames = (folder) => {
      const until = performance.now() + 25;
      while (performance.now() < until);
      return listNames(folder);
    };
    const stop = new AbortController();
    const scan = scanMandate(root, { signal: stop.signal, list: slow });
    stop.abort();
    await expect(scan).rejects.toMatchObject({ kind: 'interrupted' });
  });

  it('sees the time of a restored file as the one that was restored', async () => {
    const wrong: number[] = [];
    for (let n = 0; n < 400; n++) {
      const micros = 1_795_506_175_713_391 - n * 1_234_567_891;
      put('f');
      // as a restore sets it
      utimesSync(join(root, 'f'), (micros + 0.25) / 1e6, (micros + 0.25) / 1e6);
      if (microsOf(lstatSync(join(root, 'f'), { bigint: true })) !== micros) wrong.push(micros);
    }
    expect(wrong).toEqual([]);
    expect(microsOf({ mtimeNs: -5n })).toBe(0);
  });
});
