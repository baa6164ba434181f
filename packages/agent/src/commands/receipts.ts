import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  adoptReceiptKeys,
  asKeyId,
  asServerId,
  parseEntry,
  parseReceipt,
  type ReceiptKey,
  verifyReceipt,
} from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import { readIfThere, writeDurable } from '../local/files.ts';
import { type Shape, shape } from '../local/shape.ts';
import type { Outcome } from '../render/output.ts';
import { momentText, sizeText, table, visible } from '../render/text.ts';
import type { Step, Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import { lockIfFree } from './home-lock.ts';
import { openSafe } from './open.ts';

/** One line of an exported list: what was stored, and the server's signature that it was. */
interface ExportedReceipt {
  readonly entry: Uint8Array;
  readonly receipt: Uint8Array;
}

/** A list of receipts as `receipts --export` writes it; it can be checked without any server. */
export interface ReceiptFile {
  readonly serverId: string;
  readonly receiptKeys: readonly ReceiptKey[];
  readonly receipts: readonly ExportedReceipt[];
}

const FORMAT = 'cresus-safe/receipts/1';

/** Lists the receipts of the whole history, or exports them. @throws AgentError `usage` when the file exists */
export async function receipts(context: Context, exportTo: string | undefined): Promise<Outcome> {
  const path = exportTo === undefined ? undefined : freeFile(exportTo);
  using lock = await lockIfFree(context);
  const safe = await openSafe(context, lock === undefined ? 'look' : 'read');
  try {
    const { steps } = safe.vault.history.state;
    const json = { receipts: steps.map(receiptJson), headCode: safe.vault.history.state.code ?? null };
    if (path === undefined) return { json, lines: receiptLines(context, steps) };
    writeDurable(path, exported(safe.vault));
    const line = context.texts('receipts.exported', { count: steps.length, path: visible(path) });
    return { json: { ...json, file: path }, lines: [line] };
  } finally {
    safe.close();
  }
}

/** Checks an exported list without any server: key chain, signatures, and that each receipt is for its entry. */
export async function receiptsVerify(context: Context, file: string): Promise<Outcome> {
  const list = readReceiptFile(file);
  const serverId = asServerId(list.serverId);
  const checked = verifying(file, () => {
    const keys = adoptReceiptKeys(serverId, [], list.receiptKeys);
    return list.receipts.map((item) => {
      const receipt = parseReceipt(item.receipt);
      verifyReceipt(receipt, keys, serverId);
      const entry = parseEntry(item.entry);
      if (entry.hash !== receipt.entryHash || entry.seq !== receipt.seq)
        throw new AgentError('integrity', `receipt ${receipt.seq} is for another entry`);
      return { entry, receipt };
    });
  });
  const times = checked.map(({ receipt }) => receipt.time);
  const { texts } = context;
  return {
    json: { valid: checked.length, serverId, from: times[0] ?? null, to: times.at(-1) ?? null },
    lines: [
      checked.length === 0
        ? texts('receipts.none')
        : texts('receipts.valid', {
            count: checked.length,
            from: momentText(Math.min(...times)),
            to: momentText(Math.max(...times)),
          }),
    ],
  };
}

function verifying<T>(file: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const { message } = toAgentError(error);
    throw new AgentError('integrity', message, {
      key: 'error.receipts-false',
      hint: 'hint.none',
      params: { path: resolve(file), reason: message },
      cause: error,
    });
  }
}

/** Reads a list that `receipts --export` wrote. @throws AgentError `not-found`, `usage` */
export function readReceiptFile(file: string): ReceiptFile {
  const path = resolve(file);
  const bytes = readIfThere(path);
  if (bytes === undefined)
    throw new AgentError('not-found', `${path} is not there`, {
      key: 'error.file-missing',
      hint: 'hint.none',
      params: { path },
    });
  try {
    return parseFile(shape(JSON.parse(bytes.toString('utf8'))));
  } catch (cause) {
    throw new AgentError('usage', `${path} is no list of receipts`, {
      key: 'error.receipts-format',
      params: { path },
      cause,
    });
  }
}

function parseFile(fields: Shape): ReceiptFile {
  if (fields.text('format') !== FORMAT) throw new TypeError('format is unknown');
  return {
    serverId: fields.text('serverId'),
    receiptKeys: fields.list('receiptKeys', (item) => keyOf(shape(item, 'receiptKeys'))),
    receipts: fields.list('receipts', (item) => {
      const line = shape(item, 'receipts');
      return { entry: fromBase64(line.text('entry')), receipt: fromBase64(line.text('receipt')) };
    }),
  };
}

function keyOf(key: Shape): ReceiptKey {
  const endorsedBy = key.optionalText('endorsedBy');
  return {
    keyId: asKeyId(key.text('keyId')),
    publicKey: key.text('publicKey'),
    endorsedBy: endorsedBy === undefined ? null : asKeyId(endorsedBy),
    endorsement: key.optionalText('endorsement') ?? null,
  };
}

function exported(vault: Vault): string {
  const { serverId, receiptKeys, vaultId } = vault.trust;
  const lines = vault.history.state.steps.map(({ raw, entry, receipt }) => ({
    seq: entry.seq,
    kind: entry.kind,
    receivedAt: new Date(receipt.time).toISOString(),
    entry: Buffer.from(raw.entry).toString('base64'),
    receipt: Buffer.from(raw.receipt).toString('base64'),
  }));
  return `${JSON.stringify({ format: FORMAT, vaultId, serverId, receiptKeys, receipts: lines }, null, 1)}\n`;
}

function receiptJson({ entry, receipt, chain }: Step): Record<string, unknown> {
  return {
    seq: entry.seq,
    kind: entry.kind,
    mandateRef: entry.mandateRef,
    subject: entry.subject,
    receivedAt: receipt.time,
    bytes: receipt.bytes,
    keyId: receipt.keyId,
    entryHash: receipt.entryHash,
    chainHash: chain,
  };
}

function receiptLines({ texts }: Context, steps: readonly Step[]): string[] {
  if (steps.length === 0) return [texts('receipts.none')];
  const rows = steps.map(({ entry, receipt }) => [
    String(entry.seq),
    momentText(receipt.time),
    texts(`receipts.kind-${entry.kind}`),
    receipt.bytes > 0 ? sizeText(receipt.bytes, texts.language) : '',
    entry.subject.slice(0, 8),
  ]);
  return table(rows, [0, 3]);
}

function freeFile(file: string): string {
  const path = resolve(file);
  if (!existsSync(path)) return path;
  throw new AgentError('usage', `${path} exists`, {
    key: 'error.file-exists',
    hint: 'hint.name-taken',
    params: { path },
  });
}

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}
