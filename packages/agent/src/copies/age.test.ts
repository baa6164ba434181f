import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { Decrypter, Encrypter } from 'age-encryption';
import { makeAgeHeader, openAgeHeader } from './age-header.ts';
import { AgeSink, AgeSource } from './age-payload.ts';
import type { ByteSink } from './byte-sink.ts';
import type { ByteSource } from './byte-source.ts';

const CHUNK = 64 * 1024;
const PASSWORD = 'un mot de passe à part';
/** What a password costs is no matter here. */
const CHEAP = 10;

class MemorySink implements ByteSink {
  readonly pieces: Buffer[] = [];
  async write(bytes: Buffer): Promise<void> {
    this.pieces.push(Buffer.from(bytes));
  }
  async end(): Promise<void> {
    this.pieces.push(Buffer.alloc(0));
  }
}

function memorySource(bytes: Buffer): ByteSource {
  const read = async (offset: number, length: number): Promise<Buffer> => bytes.subarray(offset, offset + length);
  return { size: bytes.length, read, close: async () => undefined };
}

async function encrypted(plain: Buffer, step = 50_000): Promise<Buffer> {
  const sink = new MemorySink();
  const age = await AgeSink.begin(sink, await makeAgeHeader(PASSWORD, CHEAP));
  for (let at = 0; at < plain.length; at += step) await age.write(plain.subarray(at, at + step));
  await age.end();
  return Buffer.concat(sink.pieces);
}

async function opened(bytes: Buffer, password = PASSWORD): Promise<AgeSource> {
  const header = await openAgeHeader(bytes.subarray(0, 4096), password);
  return AgeSource.open(memorySource(bytes), header);
}

async function defectOf(bytes: Buffer): Promise<unknown> {
  try {
    const source = await opened(bytes);
    await source.read(0, source.size);
    return 'opens';
  } catch (error) {
    return (error as { details?: { defect?: unknown } }).details?.defect;
  }
}

const SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17];

describe('the age v1 passphrase format', () => {
  it.each(SIZES)('%i bytes come back, also through the reference implementation', async (size) => {
    const plain = randomBytes(size);
    const bytes = await encrypted(plain);
    const source = await opened(bytes);
    expect(source.size).toBe(size);
    expect((await source.read(0, size)).equals(plain)).toBe(true);
    const reference = new Decrypter();
    reference.addPassphrase(PASSWORD);
    expect(Buffer.from(await reference.decrypt(bytes)).equals(plain)).toBe(true);
  });

  it.each(SIZES)('%i bytes of the reference implementation open here', async (size) => {
    const plain = randomBytes(size);
    const reference = new Encrypter();
    reference.setPassphrase(PASSWORD);
    reference.setScryptWorkFactor(CHEAP);
    const source = await opened(Buffer.from(await reference.encrypt(plain)));
    expect((await source.read(0, size)).equals(plain)).toBe(true);
  });

  it('gives any piece without reading the rest', async () => {
    const plain = randomBytes(3 * CHUNK + 17);
    const source = await opened(await encrypted(plain));
    for (const [from, length] of [
      [0, 1],
      [CHUNK - 1, 2],
      [CHUNK, CHUNK],
      [2 * CHUNK + 5, CHUNK + 12],
      [plain.length - 1, 1],
      [7, 0],
    ] as const)
      expect((await source.read(from, length)).equals(plain.subarray(from, from + length))).toBe(true);
    await expect(source.read(plain.length, 1)).rejects.toMatchObject({ details: { defect: 'truncated' } });
  });

  it('says of a wrong password that it is wrong', async () => {
    const bytes = await encrypted(randomBytes(10));
    await expect(opened(bytes, 'un autre mot')).rejects.toMatchObject({
      kind: 'wrong-secret',
      key: 'error.copy-password-wrong',
    });
  });

  it('takes a password in either Unicode form', async () => {
    const source = await opened(await encrypted(Buffer.from('x')), PASSWORD.normalize('NFD'));
    expect(String(await source.read(0, 1))).toBe('x');
  });

  it('refuses a file cut off anywhere, at the border of a chunk too', async () => {
    const bytes = await encrypted(randomBytes(2 * CHUNK + 100));
    const start = bytes.length - (2 * (CHUNK + 16) + 116);
    const cuts = [bytes.length - 1, bytes.length - 100, bytes.length - 116, start + CHUNK + 16, start + 20, start + 3];
    for (const cut of cuts) expect(await defectOf(bytes.subarray(0, cut))).toBe('truncated');
  });

  it('refuses any changed byte of header and payload', async () => {
    const bytes = await encrypted(randomBytes(100));
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      await expect(opened(changed)).rejects.toMatchObject({ name: 'AgentError' });
    }
  });

  it('refuses chunks that changed places', async () => {
    const bytes = await encrypted(randomBytes(3 * CHUNK));
    const start = bytes.length - 3 * (CHUNK + 16);
    const first = bytes.subarray(start, start + CHUNK + 16);
    const second = bytes.subarray(start + CHUNK + 16, start + 2 * (CHUNK + 16));
    const swapped = Buffer.concat([bytes.subarray(0, start), second, first, bytes.subarray(start + 2 * (CHUNK + 16))]);
    expect(await defectOf(swapped)).toBe('tampered');
  });

  it('grants a header no more than a gigabyte of memory, and says of a copy for a key that it is none', async () => {
    const bytes = await encrypted(Buffer.from('x'));
    const greedy = Buffer.from(bytes.toString('latin1').replace(` ${CHEAP}\n`, ' 21\n'), 'latin1');
    await expect(opened(greedy)).rejects.toMatchObject({ details: { defect: 'bomb' } });
    const forKey = new Encrypter();
    forKey.addRecipient('age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p');
    const other = Buffer.from(await forKey.encrypt('x'));
    await expect(opened(other)).rejects.toMatchObject({ kind: 'usage', key: 'error.copy-not-password' });
  });
});
