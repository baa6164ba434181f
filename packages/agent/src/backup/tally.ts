import type { Entry } from './entry.ts';
import type { Writer } from './read-blocks.ts';

export type BackupPhase = 'scan' | 'read' | 'commit';

/** Where a backup stands; bytes are of the mandate's data, `sentBytes` crossed the network. */
export interface BackupProgress {
  readonly phase: BackupPhase;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly filesDone: number;
  readonly filesTotal: number;
  readonly sentBytes: number;
  /** Of those done, bytes that were stored already. */
  readonly reusedBytes: number;
}

/** Counts what a backup did, and tells. */
export class Tally {
  readonly #writer: Writer;
  readonly #tell: ((progress: BackupProgress) => void) | undefined;
  #phase: BackupPhase = 'scan';
  #bytesDone = 0;
  #bytesTotal = 0;
  #filesDone = 0;
  #filesTotal = 0;
  #unchangedBytes = 0;

  constructor(writer: Writer, tell: ((progress: BackupProgress) => void) | undefined) {
    this.#writer = writer;
    this.#tell = tell;
  }

  scanning(nodes: number): void {
    this.#filesTotal = nodes;
    this.#report();
  }

  /** Everything was scanned; unchanged files count as done. */
  planned(entries: readonly Entry[]): void {
    this.#phase = 'read';
    this.#filesTotal = 0;
    for (const { file } of entries) {
      if (!file) continue;
      this.#filesTotal += 1;
      this.#bytesTotal += file.stat.size;
      if (!file.sha256) continue;
      this.#filesDone += 1;
      this.#unchangedBytes += file.stat.size;
    }
    this.#bytesDone = this.#unchangedBytes;
    this.#report();
  }

  /** A file, or 4 MiB of one, was read and stored; `files` of them became complete. */
  read(bytes: number, files: number): void {
    this.#bytesDone = Math.min(this.#bytesTotal, this.#bytesDone + bytes);
    this.#filesDone = Math.min(this.#filesTotal, this.#filesDone + files);
    this.#report();
  }

  committing(): void {
    this.#phase = 'commit';
    this.#report();
  }

  #report(): void {
    this.#tell?.({
      phase: this.#phase,
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesTotal,
      filesDone: this.#filesDone,
      filesTotal: this.#filesTotal,
      sentBytes: this.#writer.sentBytes,
      reusedBytes: this.#unchangedBytes + this.#writer.reusedBytes,
    });
  }
}
