/** Facts in the table `meta` that a rebuild leaves. */

/** Set while a rebuild runs or was cut short: such a database must not be served. */
export const REBUILDING = 'rebuild.running';

/** Set for a vault whose journal breaks off in the bucket: nothing may be written behind the break. */
export function gapName(vaultId: string): string {
  return `gap.${vaultId}`;
}
