/** SQL for `digits` hex digits of the number `i`. */
export type Hex = (digits: number) => string;

const upTo = (first: number, last: number) =>
  `WITH RECURSIVE n (i) AS (SELECT ${first} UNION ALL SELECT i + 1 FROM n WHERE i < ${last})`;
const GRANULE = 262_144;
const TWO_HOURS = 7_200_000; // before the hour in which entries are counted

/** Copies the one snapshot of a vault (seq 2) `count` times, each with a pack of its own. */
export function fillSnapshots(vaultId: string, count: number, hex: Hex): string[] {
  const numbers = upTo(3, count + 2);
  return [
    `INSERT INTO entry (vault_id, seq, kind, generation, entry_hash, device_id, mandate_ref, subject, entry, pack_ids,
        attachment, receipt, mirrored, received_at)
      ${numbers} SELECT vault_id, i, kind, generation, ${hex(64)}, device_id, mandate_ref, ${hex(64)}, entry, pack_ids,
        NULL, receipt, TRUE, received_at - ${TWO_HOURS} FROM entry, n WHERE vault_id = '${vaultId}' AND seq = 2`,
    `INSERT INTO snapshot (vault_id, snapshot_id, seq, mandate_ref, hold_until)
      ${numbers} SELECT vault_id, ${hex(64)}, i, mandate_ref, 0 FROM snapshot, n WHERE vault_id = '${vaultId}' AND seq = 2`,
    `INSERT INTO pack (vault_id, pack_id, length, state, created_at, first_seq, last_seq)
      ${numbers} SELECT '${vaultId}', ${hex(64)}, ${GRANULE}, 'stored', 0, i, i FROM n`,
    `UPDATE vault SET head_seq = ${count + 2}, used_bytes = used_bytes + ${count * GRANULE},
      used_objects = used_objects + ${count} WHERE vault_id = '${vaultId}'`,
  ];
}

/** `count` more subscribers, each with a device and a vault of one entry. */
export function fillSubscribers(vaultId: string, count: number, hex: Hex): string[] {
  const numbers = upTo(1, count);
  const number = 'CAST(500000 + i AS varchar(12))';
  const own = `WHERE v.vault_id = '${vaultId}'`;
  return [
    `INSERT INTO subscriber (number, name, email, language, expires_on, quota_bytes, suspended, created_at, version, mirrored)
      ${numbers} SELECT ${number}, 'Rochat', 'a@example.ch', 'fr', '2050-12-31', 1000000000, FALSE, 0, 1, 1 FROM n`,
    `INSERT INTO device (device_id, number, name, token_hash, state, rights, created_at, version, mirrored)
      ${numbers} SELECT ${hex(32)}, ${number}, 'PC', ${hex(64)}, 'active', 'read,append', 0, 1, 1 FROM n`,
    // SQLite checks the circle of vault, entry and header at the end of the transaction, as PostgreSQL does
    `INSERT INTO vault (vault_id, number, head_seq, head_hash, generation, header_seq, used_bytes, used_objects, created_at)
      ${numbers} SELECT ${hex(32)}, ${number}, 1, v.head_hash, 0, 1, 0, 0, 0 FROM vault v, n ${own}`,
    `INSERT INTO entry (vault_id, seq, kind, generation, entry_hash, device_id, mandate_ref, subject, entry, pack_ids,
        attachment, receipt, mirrored, received_at)
      ${numbers} SELECT ${hex(32)}, 1, 1, 0, v.entry_hash, v.device_id, v.mandate_ref, v.subject, v.entry, v.pack_ids,
        v.attachment, v.receipt, TRUE, 0 FROM entry v, n ${own} AND v.seq = 1`,
    `INSERT INTO header (vault_id, header_seq, seq, generation, header, sealed_share)
      ${numbers} SELECT ${hex(32)}, 1, 1, 0, v.header, v.sealed_share FROM header v, n ${own} AND v.header_seq = 1`,
  ];
}

/** The statements that every commit, page or account runs, and those of the jobs of every minute. */
export const PLANS = (vaultId: string): Record<string, string> => ({
  'device of a token': `SELECT d.device_id, v.vault_id FROM device d LEFT JOIN vault v ON v.number = d.number
    WHERE d.token_hash = '${'0'.repeat(64)}' AND d.revoked_at IS NULL`,
  head: `SELECT seq, entry, receipt FROM entry WHERE vault_id = '${vaultId}' AND mirrored = TRUE ORDER BY seq DESC LIMIT 1`,
  'plan in force': `SELECT attachment FROM entry WHERE vault_id = '${vaultId}' AND kind = 8 ORDER BY seq DESC LIMIT 1`,
  'entries within the hour': `SELECT COUNT(1) FROM entry WHERE vault_id = '${vaultId}' AND received_at > 9000000000000`,
  page: `SELECT seq, length(entry) FROM entry WHERE vault_id = '${vaultId}' AND seq > 5 AND mirrored = TRUE ORDER BY seq LIMIT 10`,
  'packs of a commit': `SELECT pack_id, length FROM pack WHERE vault_id = '${vaultId}'
    AND pack_id IN ('${'0'.repeat(64)}') AND state IN ('stored', 'condemned')`,
  'use of a vault': `SELECT used_bytes, used_objects FROM vault WHERE number = '500001'`,
  'accounts behind their bucket': 'SELECT * FROM subscriber x WHERE x.mirrored < x.version',
  'devices behind their bucket': 'SELECT * FROM device x WHERE x.mirrored < x.version',
  'entries behind their bucket': 'SELECT vault_id, seq FROM entry e WHERE NOT e.mirrored',
  'uploads that ended badly': `SELECT * FROM pack WHERE state = 'pending' AND expires_at < 1000 ORDER BY expires_at LIMIT 100`,
});
