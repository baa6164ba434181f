import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { ProtocolError } from '../errors.ts';
import type { PackId } from '../ids.ts';
import { type Attachment, checkPacks, parseAttachment } from './attachment.ts';
import { type Entry, parseEntry } from './entry.ts';
import { shareIdOf } from './header.ts';
import { attachmentOf } from './kinds.ts';
import {
  MAX_ATTACHMENT_BYTES,
  MAX_ENTRY_BYTES,
  MAX_PACKS_PER_SNAPSHOT,
  MAX_REQUEST_BYTES,
  SHARE_BYTES,
} from './limits.ts';
import { encodePackIds, parsePackIds } from './pack-list.ts';
import { checkReceiptOf, parseReceipt, RECEIPT_BYTES, type Receipt } from './receipt.ts';

/** What is sent to append an entry (SPEC 8), as bytes. */
export interface RequestParts {
  readonly entry: Uint8Array;
  readonly packIds: readonly PackId[];
  readonly attachment: Uint8Array;
  /** 32 bytes with an entry that carries a header, else empty. */
  readonly share: Uint8Array;
}

/** A journal request, its parts checked against each other; signatures of the entry are not. */
export interface JournalRequest {
  readonly entry: Entry;
  readonly packIds: readonly PackId[];
  readonly attachment: Uint8Array;
  readonly attached: Attachment;
  readonly share: Uint8Array;
}

/** A stored entry with its packs and receipt: the bucket object `j/<seq>`. */
export interface StoredFrame {
  readonly entry: Entry;
  readonly packIds: readonly PackId[];
  readonly attachment: Uint8Array;
  readonly attached: Attachment;
  readonly receipt: Receipt;
}

export interface RawHistoryFrame {
  readonly entry: Uint8Array;
  /** Empty for snapshot-add: the record is fetched apart. */
  readonly attachment: Uint8Array;
  readonly receipt: Uint8Array;
}

/** One step of the history; `attached` is undefined for snapshot-add. */
export interface HistoryFrame {
  readonly entry: Entry;
  readonly attachment: Uint8Array;
  readonly attached: Attachment | undefined;
  readonly receipt: Receipt;
}

export interface HealFrame {
  readonly request: JournalRequest;
  /** The exact bytes of the request. */
  readonly requestBytes: Uint8Array;
  readonly receipt: Receipt;
}

const MAX_PACK_IDS_BYTES = MAX_PACKS_PER_SNAPSHOT * 32;

export function encodeRequest(parts: RequestParts): Uint8Array {
  const bytes = new Writer(parts.attachment.length + 1024)
    .lp32(parts.entry)
    .lp32(encodePackIds(parts.packIds))
    .lp32(parts.attachment)
    .lp32(parts.share)
    .finish();
  parseRequest(bytes);
  return bytes;
}

/** Parses a request and checks its parts against each other (SPEC 6 and 8); throws `format`, `limit`, `wrong-share`, … */
export function parseRequest(bytes: Uint8Array): JournalRequest {
  const reader = new Reader(bytes, 'journal request');
  const parts = readParts(reader);
  const share = reader.lp32('share', SHARE_BYTES);
  reader.end();
  const { entry, attached } = parts;
  if (attached.type === 'header') {
    if (share.length === 0) reader.fail('a header without its share');
    if (shareIdOf(entry.vaultId, share) !== attached.header.shareId)
      throw new ProtocolError('wrong-share', 'journal request: share does not fit the header');
  } else if (share.length > 0) reader.fail(`${entry.kind} with a share`);
  return { ...parts, share };
}

function readParts(reader: Reader): Omit<JournalRequest, 'share'> {
  const entry = parseEntry(reader.lp32('entry', MAX_ENTRY_BYTES));
  const packIds = parsePackIds(reader.lp32('pack ids', MAX_PACK_IDS_BYTES));
  const attachment = reader.lp32('attachment', MAX_ATTACHMENT_BYTES);
  const attached = parseAttachment(entry, attachment);
  checkPacks(entry, packIds, attached);
  return { entry, packIds, attachment, attached };
}

export function encodeFrame(parts: Omit<RequestParts, 'share'> & { readonly receipt: Uint8Array }): Uint8Array {
  const bytes = new Writer(parts.attachment.length + 1024)
    .lp32(parts.entry)
    .lp32(encodePackIds(parts.packIds))
    .lp32(parts.attachment)
    .lp32(parts.receipt)
    .finish();
  parseFrame(bytes);
  return bytes;
}

/** Parses a stored frame, checked like a request; its receipt must be that of its entry. */
export function parseFrame(bytes: Uint8Array): StoredFrame {
  const reader = new Reader(bytes, 'stored frame');
  const parts = readParts(reader);
  const receipt = readReceipt(reader, parts.entry);
  reader.end();
  return { ...parts, receipt };
}

function readReceipt(reader: Reader, entry: Entry): Receipt {
  const receipt = parseReceipt(reader.lp32('receipt', RECEIPT_BYTES));
  checkReceiptOf(receipt, entry);
  return receipt;
}

/** History frames, joined. */
export function encodeHistory(frames: readonly RawHistoryFrame[]): Uint8Array {
  const writer = new Writer(2048);
  for (const frame of frames) writer.lp32(frame.entry).lp32(frame.attachment).lp32(frame.receipt);
  return writer.finish();
}

/** Cuts joined history frames apart without parsing what is in them. */
export function splitHistory(bytes: Uint8Array): RawHistoryFrame[] {
  const reader = new Reader(bytes, 'history');
  const frames: RawHistoryFrame[] = [];
  while (reader.remaining > 0)
    frames.push({
      entry: reader.lp32('entry', MAX_ENTRY_BYTES),
      attachment: reader.lp32('attachment', MAX_ATTACHMENT_BYTES),
      receipt: reader.lp32('receipt', RECEIPT_BYTES),
    });
  return frames;
}

/** Parses one history frame; attachment and receipt must be the entry's. */
export function parseHistoryFrame(frame: RawHistoryFrame): HistoryFrame {
  const entry = parseEntry(frame.entry);
  const receipt = parseReceipt(frame.receipt);
  checkReceiptOf(receipt, entry);
  const { attachment } = frame;
  if (attachmentOf(entry.kind) !== 'record')
    return { entry, attachment, attached: parseAttachment(entry, attachment), receipt };
  if (attachment.length > 0) throw new ProtocolError('format', `history: ${entry.kind} ${entry.seq} with a record`);
  return { entry, attachment, attached: undefined, receipt };
}

/** Parses joined history frames; throws at the first that is not well-formed. */
export function parseHistory(bytes: Uint8Array): HistoryFrame[] {
  return splitHistory(bytes).map(parseHistoryFrame);
}

/** Heal frames, joined. */
export function encodeHeal(
  frames: readonly { readonly request: Uint8Array; readonly receipt: Uint8Array }[],
): Uint8Array {
  const writer = new Writer(2048);
  for (const frame of frames) writer.lp32(frame.request).lp32(frame.receipt);
  const bytes = writer.finish();
  parseHeal(bytes);
  return bytes;
}

/** Parses joined heal frames: requests, each with the receipt it once got. */
export function parseHeal(bytes: Uint8Array): HealFrame[] {
  const reader = new Reader(bytes, 'heal frames');
  const frames: HealFrame[] = [];
  while (reader.remaining > 0) {
    const requestBytes = reader.lp32('journal request', MAX_REQUEST_BYTES);
    const request = parseRequest(requestBytes);
    frames.push({ request, requestBytes, receipt: readReceipt(reader, request.entry) });
  }
  return frames;
}
