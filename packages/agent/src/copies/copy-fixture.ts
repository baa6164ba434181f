import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CopyProgress, WriteCopyOptions } from './copy-pass.ts';
import { MandateSource } from './mandate-source.ts';
import { openCopy } from './open-copy.ts';

/** Size of the module file, which is read in several blocks. */
export const BIG = 3_000_000;
export const MANDATE = '0f'.repeat(16);

/** A small mandate in `books` and an empty folder `stick`, for tests of copies. */
export class CopyFixture {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'safe-copy-'));

  constructor() {
    mkdirSync(this.path('books', 'Documents', 'vide'), { recursive: true });
    mkdirSync(this.path('stick'));
    writeFileSync(this.path('books', 'compta.cre'), randomBytes(BIG));
    writeFileSync(this.path('books', 'Documents', 'facture é.pdf'), randomBytes(40_000));
    writeFileSync(this.path('books', 'Documents', 'note.txt'), 'bonjour\n');
    writeFileSync(this.path('books', 'Documents', 'rien'), '');
    writeFileSync(this.path('books', 'manifest.json'), 'le mien');
    chmodSync(this.path('books', 'Documents', 'note.txt'), 0o440);
    utimesSync(this.path('books', 'Documents', 'note.txt'), 1_600_000_000.25, 1_600_000_000.25);
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  options(more: Partial<WriteCopyOptions> = {}): WriteCopyOptions {
    const modules = [{ kind: 'accounting' as const, file: 'compta.cre' }];
    const mandate = { name: 'Boulangerie', mandateId: MANDATE, path: this.path('books'), modules };
    const source = new MandateSource({ mandate, now: () => 1_700_000_000_000 });
    const file = this.path('stick', 'copie');
    return { source, file, overwrite: false, agentVersion: '1.2.3', now: Date.now, ...more };
  }

  /** What a copy gives back, by path. */
  async contentOf(file: string, password?: string): Promise<Map<string, Buffer>> {
    const copy = await openCopy(file, { password });
    const into = mkdtempSync(this.path('out-'));
    const content = new Map<string, Buffer>();
    for (const node of copy.nodes) {
      if (node.type !== 'file') continue;
      const target = join(into, createHash('sha256').update(node.path).digest('hex'));
      await copy.extract(node, target);
      content.set(node.path, readFileSync(target));
    }
    await copy.close();
    return content;
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Calls `act` at the first report of progress that `when` accepts. */
export function once(when: (now: CopyProgress) => boolean, act: () => void): (now: CopyProgress) => void {
  let done = false;
  return (now) => {
    if (done || !when(now)) return;
    done = true;
    act();
  };
}
