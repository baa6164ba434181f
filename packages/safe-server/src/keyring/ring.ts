import { createHash, type KeyObject } from 'node:crypto';
import {
  adoptReceiptKeys,
  asKeyId,
  asServerId,
  type KeyId,
  type ReceiptKey,
  type ServerId,
} from '@cresus-safe/protocol/public';
import { z } from 'zod';
import { OperatorError, ServerError } from '../errors.ts';
import { openObject, type SealKey, sealedWith, sealKeyId, sealObject } from './sealing.ts';
import { keyIdOf, publicKeyOf, type ServerSignature, signingKey, signNamed } from './signing.ts';

const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
const base64 = (bytes: number) =>
  z.base64().refine((text) => Buffer.from(text, 'base64').length === bytes, `not ${bytes} bytes`);

const SealKeySchema = z.strictObject({ keyId: hex(16), key: base64(32), createdAt: z.iso.datetime() });
const ReceiptKeySchema = z.strictObject({
  keyId: hex(16),
  publicKey: base64(32),
  seed: base64(32),
  endorsedBy: hex(16).nullable(),
  endorsement: base64(64).nullable(),
  createdAt: z.iso.datetime(),
});
/** The key ring as it lies on disk. Lists are oldest first; the last key of each is the one in use. */
const RingSchema = z.strictObject({
  format: z.literal('cresus-safe-keys'),
  version: z.literal(1),
  serverId: hex(32),
  receipt: z.array(ReceiptKeySchema).min(1),
  share: z.array(SealKeySchema).min(1),
  seal: z.array(SealKeySchema).min(1),
});
type RingFile = z.infer<typeof RingSchema>;

interface SigningKey {
  readonly listed: ReceiptKey;
  readonly publicKey: Uint8Array;
  readonly key: KeyObject;
}

type Random = (n: number) => Uint8Array;

/**
 * The server's own keys: it signs receipts, and seals what only the server may read. Keys are never removed, so
 * everything ever sealed still opens and every receipt ever given still verifies.
 */
export class KeyRing {
  /** 32 hex digits; agents pin it at enrolment. */
  readonly serverId: ServerId;
  readonly #file: RingFile;
  readonly #receipt: readonly SigningKey[];
  readonly #share: readonly SealKey[];
  readonly #seal: readonly SealKey[];
  readonly #random: Random;

  private constructor(file: RingFile, random: Random) {
    this.serverId = asServerId(file.serverId);
    this.#file = file;
    this.#receipt = receiptChain(file);
    this.#share = file.share.map(sealKey);
    this.#seal = file.seal.map(sealKey);
    this.#random = random;
  }

  /** A new ring: server id and one key of each sort. `now` in ms. */
  static create(random: Random, now: number): KeyRing {
    const serverId = toHex(random(16));
    const createdAt = new Date(now).toISOString();
    const fresh = () => newSealKey(random, createdAt);
    const receipt = [newReceiptKey(serverId, undefined, random, createdAt)];
    return new KeyRing(
      { format: 'cresus-safe-keys', version: 1, serverId, receipt, share: [fresh()], seal: [fresh()] },
      random,
    );
  }

  /** Parses a ring file strictly, endorsements and ids included. @throws OperatorError `keys.invalid` */
  static parse(text: string, random: Random): KeyRing {
    try {
      return new KeyRing(RingSchema.parse(JSON.parse(text)), random);
    } catch (cause) {
      throw new OperatorError('keys.invalid', {}, 1, { cause });
    }
  }

  /** The ring with one more key of each sort: new things use it, old ones keep theirs; the old receipt key endorses the new. */
  rotated(now: number): KeyRing {
    const createdAt = new Date(now).toISOString();
    const { receipt, share, seal, ...rest } = this.#file;
    const fresh = () => newSealKey(this.#random, createdAt);
    const next = newReceiptKey(this.serverId, this.#receipt.at(-1), this.#random, createdAt);
    return new KeyRing(
      { ...rest, receipt: [...receipt, next], share: [...share, fresh()], seal: [...seal, fresh()] },
      this.#random,
    );
  }

  /** The text of the ring file, secrets included. */
  serialize(): string {
    return `${JSON.stringify(this.#file, null, 2)}\n`;
  }

  /** 16 hex digits that name exactly this ring; safe to show. */
  fingerprint(): string {
    return createHash('sha256').update(this.serialize()).digest('hex').slice(0, 16);
  }

  /** Ids of all keys of the ring. */
  keyIds(): string[] {
    const { receipt, share, seal } = this.#file;
    return [...receipt, ...share, ...seal].map(({ keyId }) => keyId);
  }

  /** The public receipt keys, oldest first, all of them for ever. */
  receiptKeys(): ReceiptKey[] {
    return this.#receipt.map(({ listed }) => listed);
  }

  /** The id of the receipt key in use. */
  get receiptKeyId(): KeyId {
    return newest(this.#receipt).listed.keyId;
  }

  /** Signs with the receipt key in use (SPEC 7); 64 bytes. */
  sign(name: ServerSignature, message: Uint8Array): Buffer {
    return signNamed(newest(this.#receipt).key, name, message);
  }

  /** Seals `plain` for the bucket key it will be stored under (SPEC 17); shares under the share key, all else under the seal key. */
  seal(objectKey: string, plain: Uint8Array): Buffer {
    return sealObject(newest(isShare(objectKey) ? this.#share : this.#seal), objectKey, plain, this.#random);
  }

  /** Opens what this ring sealed for `objectKey`. @throws ServerError `stored-damaged` */
  open(objectKey: string, sealed: Uint8Array): Buffer {
    const keyId = sealedWith(sealed);
    const key = (isShare(objectKey) ? this.#share : this.#seal).find((candidate) => candidate.keyId === keyId);
    if (key === undefined) throw new ServerError('stored-damaged', { detail: 'Sealed under a key this server lacks' });
    return openObject(key, objectKey, sealed);
  }
}

/** `v/<vault>/s/<n>`: sealed under its own key, so that the two sorts can one day live in two places. */
function isShare(objectKey: string): boolean {
  return /^v\/[0-9a-f]{32}\/s\//.test(objectKey);
}

function newest<T>(keys: readonly T[]): T {
  const last = keys.at(-1);
  if (last === undefined) throw new Error('a key ring always has a key of each sort');
  return last;
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function newSealKey(random: Random, createdAt: string): RingFile['seal'][number] {
  const key = Buffer.from(random(32));
  return { keyId: sealKeyId(key), key: key.toString('base64'), createdAt };
}

function sealKey({ keyId, key }: RingFile['seal'][number]): SealKey {
  const bytes = Buffer.from(key, 'base64');
  if (sealKeyId(bytes) !== keyId) throw new Error(`key ${keyId} does not have its id`);
  return { keyId, key: bytes };
}

/** `Sign(previous receipt key, "receipt-key", serverId ‖ publicKey)`, SPEC 7. */
function endorsed(serverId: string, publicKey: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(serverId, 'hex'), publicKey]);
}

function newReceiptKey(
  serverId: string,
  previous: SigningKey | undefined,
  random: Random,
  createdAt: string,
): RingFile['receipt'][number] {
  const seed = Buffer.from(random(32));
  const publicKey = publicKeyOf(signingKey(seed));
  const endorsement = previous && signNamed(previous.key, 'receipt-key', endorsed(serverId, publicKey));
  return {
    keyId: keyIdOf(publicKey),
    publicKey: publicKey.toString('base64'),
    seed: seed.toString('base64'),
    endorsedBy: previous?.listed.keyId ?? null,
    endorsement: endorsement?.toString('base64') ?? null,
    createdAt,
  };
}

/** Checks that each key is what it says and that each but the first is endorsed by the one before it. */
function receiptChain(file: RingFile): SigningKey[] {
  const keys = file.receipt.map((stored) => {
    const key = signingKey(Buffer.from(stored.seed, 'base64'));
    const publicKey = publicKeyOf(key);
    if (publicKey.toString('base64') !== stored.publicKey || keyIdOf(publicKey) !== stored.keyId)
      throw new Error(`receipt key ${stored.keyId} is not its seed's`);
    return { listed: listedKey(stored), publicKey, key };
  });
  const listed = keys.map((key) => key.listed);
  adoptReceiptKeys(asServerId(file.serverId), [], listed);
  return keys;
}

/** The key as agents see it (SPEC 7). */
function listedKey({ keyId, publicKey, endorsedBy, endorsement }: RingFile['receipt'][number]): ReceiptKey {
  const hexOf = (text: string) => toHex(Buffer.from(text, 'base64'));
  return {
    keyId: asKeyId(keyId),
    publicKey: hexOf(publicKey),
    endorsedBy: endorsedBy === null ? null : asKeyId(endorsedBy),
    endorsement: endorsement === null ? null : hexOf(endorsement),
  };
}
