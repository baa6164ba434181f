import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Home, homeAt, prepareHome } from '../local/home.ts';
import type { Mandate } from '../mandate/mandates.ts';
import type { Warning } from '../vault/history-state.ts';
import { type MadePoint, type MakeOptions, makePoint } from './make.ts';
import { openPoints, type Points } from './store.ts';

/** A home with points and one small mandate, for tests; the clock is the test's own. */
export class Desk {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'safe-points-'));
  readonly home: Home = homeAt(join(this.dir, 'home'));
  readonly warnings: Warning[] = [];
  now: number = Date.parse('2026-11-24T09:00Z');
  #written = 0;

  constructor() {
    prepareHome(this.home);
  }

  /** A mandate with a folder of its own. */
  mandate(name = 'Dupont SA', digit = 'a'): Mandate {
    const path = join(this.dir, name);
    mkdirSync(path, { recursive: true });
    return { name, mandateId: digit.repeat(32), path, modules: [{ kind: 'accounting', file: 'livre.cre' }] };
  }

  /** Writes a file that looks long unchanged, so that the next scan need not distrust its time. */
  write(mandate: Mandate, file: string, content: string | Uint8Array): void {
    const path = join(mandate.path, file);
    writeFileSync(path, content);
    this.#written += 1;
    utimesSync(path, 1_600_000_000 + this.#written, 1_600_000_000 + this.#written);
  }

  open(): Promise<Points> {
    const { home } = this;
    const warn = (warning: Warning): void => void this.warnings.push(warning);
    return openPoints({ home, now: () => this.now, deviceName: 'poste', agentVersion: '1', warn });
  }

  /** Opens the points for one act. */
  async with<T>(act: (points: Points) => T | Promise<T>): Promise<T> {
    const points = await this.open();
    try {
      return await act(points);
    } finally {
      points.close();
    }
  }

  make(mandate: Mandate, options: Partial<MakeOptions> = {}): Promise<MadePoint> {
    return this.with((points) => makePoint(points, mandate, { reason: 'manual', ...options }));
  }

  get codes(): string[] {
    return this.warnings.map(({ code }) => code);
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
