// Every key of the bucket layout (SPEC 17) that belongs to a vault. The arguments come from the database or were checked
// against the pattern of their id; nothing a client sent reaches a key otherwise (TN-20, TN-21).

/** Key of a pack. */
export function packKey(vaultId: string, packId: string): string {
  return `v/${vaultId}/p/${packId}`;
}

/** Key of the stored frame of journal entry `seq`. */
export function journalKey(vaultId: string, seq: number): string {
  return `v/${vaultId}/j/${String(seq).padStart(10, '0')}`;
}

/** Key of the sealed server share that belongs to header `headerSeq`. */
export function shareKey(vaultId: string, headerSeq: number): string {
  return `v/${vaultId}/s/${headerSeq}`;
}
