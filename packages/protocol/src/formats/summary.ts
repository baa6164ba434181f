import { concat, encodeText, equal } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { open, seal } from '../crypto/aead.ts';
import { hkdf } from '../crypto/derive.ts';
import { label } from '../crypto/labels.ts';
import { type Random, systemRandom } from '../crypto/random.ts';
import { ProtocolError } from '../errors.ts';
import { asMandateId, idBytes, type MandateId, type MandateRef, type VaultId } from '../ids.ts';
import type { VaultKeys } from '../keys/vault-keys.ts';
import { type Entry, SUMMARY_BYTES } from '../public/entry.ts';
import { ENTRY_KINDS, type EntryKind } from '../public/kinds.ts';
import { MAX_MANDATE_NAME_CHARACTERS } from '../public/limits.ts';

/** What a list of snapshots shows, sealed within the entry (SPEC 6). */
export interface Summary {
  readonly mandateName: string;
  /** Cut to 256 bytes; the record has the whole. */
  readonly comment: string;
  readonly files: number;
  readonly bytes: number;
  /** ms since 1970, by the clock of the device. */
  readonly createdAt: number;
  readonly mandateId: MandateId;
  /** Some files could not be read. */
  readonly incomplete: boolean;
}

interface SummaryContext {
  readonly kind: EntryKind;
  readonly vaultId: VaultId;
  readonly mandateRef: MandateRef;
  readonly generation: number;
}

const PLAIN_BYTES = 512;
const MAX_COMMENT_BYTES = 256;

function summaryKeys(names: Uint8Array, salt: Uint8Array, context: SummaryContext) {
  const info = new Writer(96).bytes(label('summary')).u8(ENTRY_KINDS[context.kind].code);
  info.bytes(idBytes(context.vaultId)).bytes(idBytes(context.mandateRef)).u32(context.generation);
  const okm = hkdf(names, salt, info.finish(), 64);
  return { key: okm.subarray(0, 32), commitment: okm.subarray(32) };
}

/**
 * Seals the summary of an entry of the current generation, 592 bytes.
 *
 * @throws ProtocolError `limit` when the mandate's name is too long
 */
export function sealSummary(
  keys: VaultKeys,
  summary: Summary & Pick<SummaryContext, 'kind' | 'mandateRef'>,
  random: Random = systemRandom,
): Uint8Array {
  const { kind, mandateRef } = summary;
  const { vaultId, generation } = keys;
  const salt = random(32);
  const { key, commitment } = summaryKeys(keys.names(generation), salt, { kind, mandateRef, vaultId, generation });
  return concat(salt, commitment, seal(key, 0, encodeSummary(summary)));
}

function encodeSummary(summary: Summary): Uint8Array {
  checkName(summary.mandateName);
  const comment = cutText(summary.comment, MAX_COMMENT_BYTES);
  const writer = new Writer(PLAIN_BYTES).text16(summary.mandateName, 'mandate name').text16(comment, 'comment');
  writer.u64(summary.files).u64(summary.bytes).u64(summary.createdAt).bytes(idBytes(summary.mandateId));
  writer.u8(summary.incomplete ? 1 : 0);
  return writer.zero(PLAIN_BYTES - writer.length).finish();
}

function checkName(name: string): void {
  const length = [...name].length;
  if (length < 1 || length > MAX_MANDATE_NAME_CHARACTERS)
    throw new ProtocolError('limit', `summary: mandate name has ${length} characters, not 1 to 20`);
}

/** The longest beginning of a text, cut between code points, that fits into so many bytes of UTF-8. */
export function cutText(text: string, maxBytes: number): string {
  let cut = '';
  let length = 0;
  for (const point of text) {
    length += encodeText(point, 'text').length;
    if (length > maxBytes) break;
    cut += point;
  }
  return cut;
}

/**
 * Opens the summary of an entry (whose signature was verified before).
 *
 * @throws ProtocolError `integrity` when it is of another entry or damaged, `format` when what was sealed is not a summary
 */
export function openSummary(
  keys: VaultKeys,
  entry: Pick<Entry, 'kind' | 'vaultId' | 'mandateRef' | 'generation' | 'summary'>,
): Summary {
  if (entry.summary.length !== SUMMARY_BYTES)
    throw new ProtocolError('format', `summary: ${entry.summary.length} bytes, not ${SUMMARY_BYTES}`);
  const salt = entry.summary.subarray(0, 32);
  const { key, commitment } = summaryKeys(keys.names(entry.generation), salt, entry);
  if (!equal(commitment, entry.summary.subarray(32, 64)))
    throw new ProtocolError('integrity', 'summary: the commitment differs');
  const summary = parseSummary(open(key, 0, entry.summary.subarray(64), 'summary'));
  if (keys.mandateRef(summary.mandateId) !== entry.mandateRef)
    throw new ProtocolError('integrity', 'summary: mandateId does not give the mandateRef of the entry');
  return summary;
}

function parseSummary(plain: Uint8Array): Summary {
  const reader = new Reader(plain, 'summary');
  const mandateName = reader.text16('mandate name');
  checkName(mandateName);
  const summary = {
    mandateName,
    comment: reader.text16('comment', MAX_COMMENT_BYTES),
    files: reader.u64('files'),
    bytes: reader.u64('bytes'),
    createdAt: reader.u64('createdAt'),
    mandateId: asMandateId(reader.bytes(16, 'mandateId')),
  };
  const flags = reader.u8('flags');
  if (flags > 1) reader.fail(`flags are ${flags}`);
  reader.zero(reader.remaining, 'padding');
  return { ...summary, incomplete: flags === 1 };
}
