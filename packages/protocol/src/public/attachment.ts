import { sha256 } from '../bytes/bytes.ts';
import { ProtocolError } from '../errors.ts';
import { asHash, type PackId } from '../ids.ts';
import { type LiveSnapshot, parseLiveSet } from './checkpoint.ts';
import type { Entry } from './entry.ts';
import { type Header, parseHeader, verifyHeader } from './header.ts';
import { attachmentOf } from './kinds.ts';
import { type LostHistory, parseLostHistory } from './lost-history.ts';
import { packListHash } from './pack-list.ts';
import { type Plan, parsePlan } from './plan.ts';
import { parseReplacement, type ReplacedPack } from './replacement.ts';

/** The attachment of an entry, parsed; a sealed record stays opaque here. */
export type Attachment =
  | { readonly type: 'none' }
  | { readonly type: 'header'; readonly header: Header }
  | { readonly type: 'record'; readonly record: Uint8Array }
  | { readonly type: 'plan'; readonly plan: Plan }
  | { readonly type: 'replacement'; readonly packs: readonly ReplacedPack[] }
  | { readonly type: 'live-set'; readonly live: readonly LiveSnapshot[] }
  | { readonly type: 'lost-history'; readonly lost: LostHistory };

function refuse(entry: Entry, defect: string): never {
  throw new ProtocolError('format', `entry ${entry.seq} (${entry.kind}): ${defect}`);
}

/**
 * Parses an attachment and checks it against its entry: hash, vault, generation, place. A header's own signature is
 * checked too, since it is by the key that it names.
 */
export function parseAttachment(entry: Entry, bytes: Uint8Array): Attachment {
  const type = attachmentOf(entry.kind);
  if (type === 'none') {
    if (bytes.length > 0) refuse(entry, 'has an attachment');
    return { type };
  }
  if (bytes.length === 0) refuse(entry, 'has no attachment');
  if (asHash(sha256(bytes)) !== entry.subject) refuse(entry, 'subject is not the hash of the attachment');
  switch (type) {
    case 'header':
      return { type, header: checkHeader(entry, parseHeader(bytes)) };
    case 'record':
      return { type, record: bytes };
    case 'plan':
      return { type, plan: parsePlan(bytes) };
    case 'replacement':
      return { type, packs: parseReplacement(bytes) };
    case 'live-set':
      return { type, live: checkLiveSet(entry, parseLiveSet(bytes)) };
    case 'lost-history':
      return { type, lost: checkLost(entry, parseLostHistory(bytes)) };
  }
}

function checkHeader(entry: Entry, header: Header): Header {
  if (header.vaultId !== entry.vaultId) refuse(entry, 'header is of another vault');
  const generation = entry.kind === 'generation' ? entry.generation + 1 : entry.generation;
  if (header.generation !== generation) refuse(entry, `header is of generation ${header.generation}`);
  if ((header.headerSeq === 1) !== (entry.kind === 'vault-create')) refuse(entry, `headerSeq is ${header.headerSeq}`);
  verifyHeader(header);
  return header;
}

function checkLiveSet(entry: Entry, live: readonly LiveSnapshot[]): readonly LiveSnapshot[] {
  if ((live.at(-1)?.seq ?? 0) >= entry.seq) refuse(entry, 'live set names a later entry');
  return live;
}

function checkLost(entry: Entry, lost: LostHistory): LostHistory {
  if (entry.seq <= lost.base) refuse(entry, 'base is not before the entry');
  return lost;
}

/** Checks the list of packs against its entry: hash, and for a replacement exactly the new packs. */
export function checkPacks(entry: Entry, packIds: readonly PackId[], attachment: Attachment): void {
  if (packListHash(packIds) !== entry.packListHash) refuse(entry, 'packListHash is not that of the pack ids');
  if (attachment.type !== 'replacement') return;
  const news = attachment.packs.map(({ newId }) => newId).toSorted();
  if (news.join() !== packIds.join()) refuse(entry, 'pack ids are not the new packs');
}
