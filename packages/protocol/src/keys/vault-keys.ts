import { equal } from '../bytes/bytes.ts';
import { open, seal } from '../crypto/aead.ts';
import { type Random, systemRandom } from '../crypto/random.ts';
import { publicKeyOf, type SignatureName, sign } from '../crypto/sign.ts';
import { ProtocolError } from '../errors.ts';
import { asVaultId, type MandateId, type MandateRef, type VaultId } from '../ids.ts';
import type { EarlierRoot, Header } from '../public/header.ts';
import {
  cacheKey,
  earlierKey,
  gearTable,
  mandateKey,
  mandateRefOf,
  namesKey,
  ofMandate,
  signSeed,
} from './derivation.ts';

export const ROOT_BYTES = 32;

/** What packs, records and chunks of one mandate need. */
export interface MandateKeys {
  readonly vaultId: VaultId;
  readonly mandateId: MandateId;
  readonly ref: MandateRef;
  readonly chunkIdKey: Uint8Array;
  readonly gear: Uint32Array;
  /** Throws `integrity` for a generation that the header does not open. */
  packKey(generation: number): Uint8Array;
  recordKey(generation: number): Uint8Array;
}

/** The roots of all generations of a vault, and what comes from them (SPEC 4.3). Lives in memory only. */
export class VaultKeys {
  readonly vaultId: VaultId;
  readonly publicKey: Uint8Array;
  readonly #roots: readonly Uint8Array[];
  #wiped = false;

  private constructor(vaultId: VaultId, roots: readonly Uint8Array[], publicKey: Uint8Array) {
    this.vaultId = vaultId;
    this.#roots = roots;
    this.publicKey = publicKey;
  }

  /** Keys of a new vault: vaultId and first root are drawn. */
  static create(random: Random = systemRandom): VaultKeys {
    const vaultId = asVaultId(random(16));
    const root = random(ROOT_BYTES);
    return new VaultKeys(vaultId, [root], publicKeyOf(signSeed(root, vaultId)));
  }

  /**
   * Keys from a root, by the header whose slot gave it or which it was remembered for.
   * The attack: a server wraps a root of its own. Its public key is then not the header's.
   *
   * @throws ProtocolError `mismatch` when the root is not the header's, `integrity` when an earlier root is damaged
   */
  static fromRoot(
    header: Header,
    root: Uint8Array,
    mismatch: 'wrong-secret' | 'integrity' = 'wrong-secret',
  ): VaultKeys {
    if (root.length !== ROOT_BYTES) throw new ProtocolError('format', `root has ${root.length} bytes, not 32`);
    const publicKey = publicKeyOf(signSeed(root, header.vaultId));
    if (!equal(publicKey, header.publicKey))
      throw new ProtocolError(mismatch, 'root: its public key is not that of the header');
    const earlier = header.earlier.map((sealed) => openEarlier(root, header.vaultId, sealed));
    return new VaultKeys(header.vaultId, [...earlier, Uint8Array.from(root)], publicKey);
  }

  /** Generation of the current root. */
  get generation(): number {
    return this.#roots.length - 1;
  }

  /** The current root, a copy: to remember it. */
  get root(): Uint8Array {
    return this.#rootOf(this.generation).slice();
  }

  /** Whether a root is that of an earlier generation: one that somebody remembered before a rotation. */
  isEarlier(root: Uint8Array): boolean {
    return this.#roots.slice(0, -1).some((earlier) => equal(earlier, root));
  }

  /** Whether a header says that a root was its vault's before a rotation (which only its own slots can prove). */
  static wasRotated(header: Header, root: Uint8Array): boolean {
    if (root.length !== ROOT_BYTES) return false;
    const publicKey = publicKeyOf(signSeed(root, header.vaultId));
    return header.earlier.some((earlier) => equal(earlier.publicKey, publicKey));
  }

  /** `Sign(vault key, name, message)` with the key of a generation, by default the current one. */
  sign(name: SignatureName, message: Uint8Array, generation: number = this.generation): Uint8Array {
    return sign(signSeed(this.#rootOf(generation), this.vaultId), name, message);
  }

  /** Key of the summaries of a generation. */
  names(generation: number): Uint8Array {
    return namesKey(this.#rootOf(generation), this.vaultId);
  }

  /** Keys of this computer's own files, the current generation's first: what was sealed before a rotation still opens. */
  cacheKeys(): readonly Uint8Array[] {
    return this.#roots.map((_, generation) => cacheKey(this.#rootOf(generation), this.vaultId)).toReversed();
  }

  /** The public name of a mandate, without the keys. */
  mandateRef(mandateId: MandateId): MandateRef {
    return mandateRefOf(this.#rootOf(0), this.vaultId, mandateId);
  }

  mandate(mandateId: MandateId): MandateKeys {
    const keyOf = (generation: number): Uint8Array => mandateKey(this.#rootOf(generation), this.vaultId, mandateId);
    const first = keyOf(0);
    return {
      vaultId: this.vaultId,
      mandateId,
      ref: this.mandateRef(mandateId),
      chunkIdKey: ofMandate(first, 'chunk-id'),
      gear: gearTable(first),
      packKey: (generation) => ofMandate(keyOf(generation), 'pack-key'),
      recordKey: (generation) => ofMandate(keyOf(generation), 'record-key'),
    };
  }

  /** The earlier roots as a header of the current generation carries them. */
  sealEarlier(): EarlierRoot[] {
    const root = this.#rootOf(this.generation);
    return this.#roots.slice(0, -1).map((earlier, generation) => ({
      generation,
      publicKey: publicKeyOf(signSeed(earlier, this.vaultId)),
      sealed: seal(earlierKey(root, this.vaultId, generation), 0, earlier),
    }));
  }

  /** Keys after a rotation: a new root is drawn, the ones so far become earlier ones. */
  rotate(random: Random = systemRandom): VaultKeys {
    const root = random(ROOT_BYTES);
    const roots = this.#roots.map((_, generation) => this.#rootOf(generation).slice());
    return new VaultKeys(this.vaultId, [...roots, root], publicKeyOf(signSeed(root, this.vaultId)));
  }

  /** Overwrites the roots; every later use throws. */
  wipe(): void {
    this.#wiped = true;
    for (const root of this.#roots) root.fill(0);
  }

  #rootOf(generation: number): Uint8Array {
    // a wiped root is all zeros: deriving from it would give keys that anyone can compute
    if (this.#wiped) throw new Error('vault keys were wiped');
    const root = this.#roots[generation];
    if (!root) throw new ProtocolError('integrity', `generation ${generation} is not opened by the header`);
    return root;
  }
}

function openEarlier(root: Uint8Array, vaultId: VaultId, { generation, publicKey, sealed }: EarlierRoot): Uint8Array {
  const what = `earlier root ${generation}`;
  const earlier = open(earlierKey(root, vaultId, generation), 0, sealed, what);
  if (!equal(publicKeyOf(signSeed(earlier, vaultId)), publicKey))
    throw new ProtocolError('integrity', `${what}: its public key is not the one listed`);
  return earlier;
}
