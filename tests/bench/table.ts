/** Rows of cells, aligned: the first column to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  return rows
    .map((row) =>
      row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  '),
    )
    .map((line) => `  ${line.trimEnd()}`)
    .join('\n');
}

export const seconds = (value: number | undefined): string => (value === undefined ? '' : value.toFixed(2));
export const megabytes = (bytes: number | undefined, digits = 0): string =>
  bytes === undefined ? '' : (bytes / 1e6).toFixed(digits);
export const ratio = (mine: number | undefined, theirs: number | undefined): string =>
  mine === undefined || theirs === undefined ? '' : (mine / theirs).toFixed(2);
