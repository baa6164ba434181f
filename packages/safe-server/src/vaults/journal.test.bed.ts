import { parseHistory } from '@cresus-safe/protocol/public';
import { type Answer, addDevice, type Bed, type Client } from './conversation.test.bed.ts';

/** Status and problem code of an answer. */
export const codeOf = ({ status, json }: Answer) => [status, json['code']];

/** What a client sees of the journal, parsed. */
export async function journalOf(client: Client, query = '') {
  const answer = await client.call('GET', `/v1/journal${query}`);
  return { frames: parseHistory(answer.bytes), head: answer.headers.get('safe-head'), status: answer.status };
}

/** Another active device of the same vault, with these rights. */
export async function siblingWith(bed: Bed, client: Client, rights: string): Promise<Client> {
  const other = client.sibling();
  await addDevice(bed.deps.db, other, 'active', rights);
  return other;
}

/** A vault with one snapshot over two packs. */
export async function firstSnapshot(client: Client) {
  await client.createVault();
  const packIds = [await client.putPack(), await client.putPack()];
  const snapshot = client.snapshot(packIds);
  const { status } = await client.append(snapshot);
  if (status !== 201) throw new Error(`append: ${status}`);
  return { packIds, snapshot };
}

/** A journal request of raw parts, unchecked. */
export function requestOf(entry: Uint8Array, attachment: Uint8Array): Uint8Array {
  const part = (bytes: Uint8Array) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  };
  return Buffer.concat([entry, Buffer.alloc(0), attachment, Buffer.alloc(0)].flatMap(part));
}
