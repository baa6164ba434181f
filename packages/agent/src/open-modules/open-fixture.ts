import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mandate } from '../mandate/mandates.ts';

/** For tests: a mandate of two modules in a folder of its own, and programs that live until the end. */
export class OpenFixture {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), 'safe-open-')));
  readonly mandate: Mandate = {
    name: 'Dupont SA',
    mandateId: '0f'.repeat(16),
    path: join(this.root, 'books'),
    modules: [
      { kind: 'accounting', file: 'a.cre' },
      { kind: 'payroll', file: 'b.salx' },
    ],
  };
  readonly #children: ChildProcess[] = [];

  constructor() {
    mkdirSync(this.mandate.path);
    for (const { file } of this.mandate.modules) writeFileSync(this.book(file), 'books');
  }

  book(file: string): string {
    return join(this.mandate.path, file);
  }

  /** A living program that runs `script` in the mandate's folder and has said so. */
  async program(script: string): Promise<ChildProcess> {
    const child = spawn('sh', ['-c', `${script}; echo ready; read end`], {
      cwd: this.mandate.path,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map(endProgram));
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Kills a program, if it still lives, and waits for its end. */
export async function endProgram(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
