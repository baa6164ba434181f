import { closeSync, openSync, readSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import type { SourceNode } from './copy-source.ts';

/** The biggest files hold nearly all of a mandate; a look into each tells what compressing will do. */
const SAMPLES = 24;
const SAMPLE_BYTES = 64 * 1024;
/** Headers and the line in the manifest. */
const ENTRY_BYTES = 400;

/** About how many bytes the copy of these files will take, from samples of the biggest ones. */
export function expectedBytes(folder: string, files: readonly SourceNode[]): number {
  const biggest = files.toSorted((a, b) => b.size - a.size);
  let [sampled, taken, total] = [0, 0, 0];
  for (const [index, { path, size }] of biggest.entries()) {
    total += size;
    if (index >= SAMPLES || size === 0) continue;
    sampled += size;
    taken += size * sampleRatio(`${folder}/${path}`, size);
  }
  const rest = sampled === 0 ? 0 : (total - sampled) * (taken / sampled);
  return Math.ceil(taken + rest) + files.length * ENTRY_BYTES;
}

function sampleRatio(path: string, size: number): number {
  const bytes = Buffer.alloc(Math.min(size, SAMPLE_BYTES));
  try {
    const file = openSync(path, 'r');
    try {
      const read = readSync(file, bytes, 0, bytes.length, Math.floor((size - bytes.length) / 2));
      return read === 0 ? 0 : Math.min(1, deflateRawSync(bytes.subarray(0, read), { level: 1 }).length / read);
    } finally {
      closeSync(file);
    }
  } catch {
    return 0; // what cannot be read takes no room; the copy tells
  }
}
