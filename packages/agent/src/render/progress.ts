import type { Texts } from './i18n.ts';
import type { Output } from './output.ts';
import { counted, countText, durationText, sizeText } from './text.ts';

/** The long tasks that show where they stand. */
export type Task = 'send' | 'restore' | 'verify' | 'copy' | 'point';

/** Where a task stands. Bytes are of the mandate's own data, except `sent` and `received`, which crossed the network. */
export interface Standing {
  /** The folder is still being read: totals are not known yet. */
  readonly scanning?: boolean;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly files?: number;
  readonly sent?: number;
  readonly reused?: number;
  readonly received?: number;
}

const REDRAW_MS = 100;
const EVENT_MS = 500;
/** The rate looks this far back: long enough to be calm, short enough to follow the line. */
const WINDOW_MS = 5000;

interface Sample {
  readonly at: number;
  readonly bytes: number;
}

/**
 * Shows one task: a line that updates itself on a terminal, JSON objects with `--json`, and otherwise one line at the
 * end. It never throws and never waits: a task does not depend on being watched.
 */
export class Progress {
  readonly #output: Output;
  readonly #texts: Texts;
  readonly #task: Task;
  readonly #name: string;
  readonly #now: () => number;
  readonly #start: number;
  #samples: Sample[] = [];
  #last: Standing = { bytes: 0, totalBytes: 0 };
  #shownAt = 0;
  #drawn = false;

  constructor(output: Output, texts: Texts, task: Task, name: string, now: () => number = Date.now) {
    this.#output = output;
    this.#texts = texts;
    this.#task = task;
    this.#name = name;
    this.#now = now;
    this.#start = now();
  }

  /** Takes where the task stands; draws at most ten times a second. */
  update(standing: Standing): void {
    this.#last = standing;
    const now = this.#now();
    const { json, quiet, progress } = this.#output.options;
    if (quiet || !progress || now - this.#shownAt < (json ? EVENT_MS : REDRAW_MS)) return;
    this.#shownAt = now;
    this.#remember(now, standing.bytes);
    if (json) this.#output.event({ event: 'progress', task: this.#task, name: this.#name, ...standing });
    else if (this.#output.stderr.isTTY) this.#draw(now);
  }

  /** Takes the line away; where no terminal showed it, one clean line says what was done. */
  finish(done = true): void {
    if (this.#drawn) this.#output.stderr.write('\r\u001b[K');
    this.#drawn = false;
    const { json, quiet, progress } = this.#output.options;
    if (!done || json || quiet || !progress || this.#output.stderr.isTTY) return;
    this.#output.say(this.#texts(`progress.line-${this.#task}`, this.#params(this.#now(), this.#task !== 'verify')));
  }

  #draw(now: number): void {
    const width = this.#output.stderr.columns || 80;
    const key = this.#last.scanning ? 'progress.scan' : (`progress.${this.#task}` as const);
    const line = [...this.#texts(key, this.#params(now))].slice(0, width - 1).join('');
    this.#output.stderr.write(`\r${line}\u001b[K`);
    this.#drawn = true;
  }

  #remember(at: number, bytes: number): void {
    this.#samples.push({ at, bytes });
    this.#samples = this.#samples.filter((sample) => at - sample.at <= WINDOW_MS);
  }

  #params(now: number, inWords = false): Record<string, string> {
    const { language } = this.#texts;
    const { bytes, totalBytes, files = 0, sent = 0, reused = 0, received = 0 } = this.#last;
    const rate = this.#rate(now);
    const left = rate > 0 ? Math.max(0, totalBytes - bytes) / rate : 0;
    return {
      name: this.#name,
      percent: String(totalBytes > 0 ? Math.min(100, Math.floor((bytes / totalBytes) * 100)) : 0),
      bytes: sizeText(bytes, language),
      total: sizeText(totalBytes, language),
      rate: sizeText(Math.round(rate * 1000), language),
      eta: rate > 0 ? durationText(left, language) : '…',
      files: inWords ? counted(this.#texts, 'files', files) : countText(files),
      sent: sizeText(sent, language),
      reused: sizeText(reused, language),
      received: sizeText(received, language),
      duration: durationText(now - this.#start, language),
    };
  }

  /** Bytes per millisecond. */
  #rate(now: number): number {
    const first = this.#samples[0];
    if (!first || now <= first.at) return 0;
    return Math.max(0, (this.#last.bytes - first.bytes) / (now - first.at));
  }
}
