import * as protocol from '@cresus-safe/protocol';
import { type KeyInput, keysOf } from './operations.ts';
import { PACK_ATTEMPTS } from './packs.ts';

const { fromHex } = protocol;

interface OpenInput {
  readonly header: string;
  readonly secret: string;
  readonly share: string;
  readonly kdfFloor?: protocol.KdfParams;
}

interface ReceiptInput {
  readonly receipt: string;
  readonly keys: readonly protocol.ReceiptKey[];
  readonly serverId: protocol.ServerId;
}

interface AdoptInput {
  readonly serverId: protocol.ServerId;
  readonly pinned: readonly protocol.ReceiptKey[];
  readonly offered: readonly protocol.ReceiptKey[];
}

interface SummaryInput extends KeyInput {
  readonly kind: protocol.EntryKind;
  readonly mandateRef: protocol.MandateRef;
  readonly generation: number;
  readonly summary: string;
}

/** What a must-fail vector's `what` tries with its `in`: each must throw. */
export const ATTEMPTS: Readonly<Record<string, (input: never) => unknown>> = {
  ...PACK_ATTEMPTS,
  header: (hex: string) => protocol.verifyHeader(protocol.parseHeader(fromHex(hex))),
  'header-write': (hex: string) => protocol.checkWritable(protocol.parseHeader(fromHex(hex))),
  'open-secret': ({ header, secret, share, kdfFloor }: OpenInput) =>
    protocol.openWithSecret(protocol.parseHeader(fromHex(header)), protocol.normaliseSecret(secret), fromHex(share), {
      kdfFloor,
    }),
  'open-kit': ({ header, kit }: { readonly header: string; readonly kit: string }) =>
    protocol.openWithKit(protocol.parseHeader(fromHex(header)), fromHex(kit)),
  kdf: (params: protocol.KdfParams) => protocol.checkKdf(params),
  secret: (text: string) => protocol.normaliseSecret(text),
  kit: (text: string) => protocol.decodeKit(text),
  'head-code': (text: string) => protocol.parseHeadCode(text),
  entry: ({ entry, publicKey }: { readonly entry: string; readonly publicKey: string }) =>
    protocol.verifyEntry(protocol.parseEntry(fromHex(entry)), fromHex(publicKey)),
  receipt: ({ receipt, keys, serverId }: ReceiptInput) =>
    protocol.verifyReceipt(protocol.parseReceipt(fromHex(receipt)), keys, serverId),
  'receipt-keys': ({ serverId, pinned, offered }: AdoptInput) => protocol.adoptReceiptKeys(serverId, pinned, offered),
  request: (hex: string) => protocol.parseRequest(fromHex(hex)),
  frame: (hex: string) => protocol.parseFrame(fromHex(hex)),
  history: (hex: string) => protocol.parseHistory(fromHex(hex)),
  heal: (hex: string) => protocol.parseHeal(fromHex(hex)),
  plan: (hex: string) => protocol.parsePlan(fromHex(hex)),
  'live-set': (hex: string) => protocol.parseLiveSet(fromHex(hex)),
  replacement: (hex: string) => protocol.parseReplacement(fromHex(hex)),
  'lost-history': (hex: string) => protocol.parseLostHistory(fromHex(hex)),
  summary: (input: SummaryInput) =>
    protocol.openSummary(keysOf(input), {
      kind: input.kind,
      vaultId: protocol.asVaultId(input.vaultId),
      mandateRef: input.mandateRef,
      generation: input.generation,
      summary: fromHex(input.summary),
    }),
  record: (input: KeyInput & { readonly mandateId: protocol.MandateId; readonly record: string }) =>
    protocol.openRecord(keysOf(input).mandate(input.mandateId), fromHex(input.record)),
  'record-plain': (hex: string) => protocol.parseRecord(fromHex(hex)),
};
