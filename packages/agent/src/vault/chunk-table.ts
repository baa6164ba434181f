/** Where a chunk lies: a number of the index's pack table, a segment of that pack, an offset in its plain bytes. */
export interface Location {
  readonly pack: number;
  readonly segment: number;
  readonly offset: number;
}

const KEY_WORDS = 4;
const PLACE_WORDS = 2;
const MAX_LOAD = 0.7;
// first word: (pack number + 1) << 1 | highest bit of the offset, so 0 is a free slot; second: segment << 20 | offset
const OFFSET_LOW_BITS = 20;
const OFFSET_LOW_MASK = 0xfffff;

/**
 * Chunk ids to locations by open addressing over typed arrays, 24 bytes a slot: a Map with strings takes 117 bytes an
 * entry and a tenth of the speed. Ids are outputs of HMAC, so their first bytes are the hash.
 */
export class ChunkTable {
  #capacity: number;
  #keys: Uint32Array;
  #places: Uint32Array;
  #size = 0;

  constructor(expected = 0) {
    this.#capacity = 1024;
    while (this.#capacity * MAX_LOAD < expected) this.#capacity *= 2;
    this.#keys = new Uint32Array(this.#capacity * KEY_WORDS);
    this.#places = new Uint32Array(this.#capacity * PLACE_WORDS);
  }

  get size(): number {
    return this.#size;
  }

  /** The location of the chunk whose id lies in `ids` at word `at`. */
  find(ids: Uint32Array, at: number): Location | undefined {
    const slot = this.#slotOf(ids, at);
    const first = this.#places[slot * PLACE_WORDS] as number;
    if (first === 0) return undefined;
    const second = this.#places[slot * PLACE_WORDS + 1] as number;
    return {
      pack: (first >>> 1) - 1,
      segment: second >>> OFFSET_LOW_BITS,
      offset: ((first & 1) << OFFSET_LOW_BITS) | (second & OFFSET_LOW_MASK),
    };
  }

  /** Adds a chunk, or moves it to where it lies now. */
  set(ids: Uint32Array, at: number, { pack, segment, offset }: Location): void {
    if (this.#size >= this.#capacity * MAX_LOAD) this.#grow();
    const slot = this.#slotOf(ids, at);
    if (this.#places[slot * PLACE_WORDS] === 0) this.#size += 1;
    for (let i = 0; i < KEY_WORDS; i++) this.#keys[slot * KEY_WORDS + i] = ids[at + i] as number;
    this.#places[slot * PLACE_WORDS] = ((pack + 1) << 1) | (offset >>> OFFSET_LOW_BITS);
    this.#places[slot * PLACE_WORDS + 1] = (segment << OFFSET_LOW_BITS) | (offset & OFFSET_LOW_MASK);
  }

  /** The slot that holds the id, or the free one where it belongs. */
  #slotOf(ids: Uint32Array, at: number): number {
    const mask = this.#capacity - 1;
    const [a, b, c, d] = [ids[at], ids[at + 1], ids[at + 2], ids[at + 3]];
    for (let slot = (a as number) & mask; ; slot = (slot + 1) & mask) {
      if (this.#places[slot * PLACE_WORDS] === 0) return slot;
      const key = slot * KEY_WORDS;
      const keys = this.#keys;
      if (keys[key] === a && keys[key + 1] === b && keys[key + 2] === c && keys[key + 3] === d) return slot;
    }
  }

  #grow(): void {
    const [keys, places, capacity] = [this.#keys, this.#places, this.#capacity];
    this.#capacity *= 2;
    this.#keys = new Uint32Array(this.#capacity * KEY_WORDS);
    this.#places = new Uint32Array(this.#capacity * PLACE_WORDS);
    for (let slot = 0; slot < capacity; slot++) {
      if (places[slot * PLACE_WORDS] === 0) continue;
      const target = this.#slotOf(keys, slot * KEY_WORDS);
      this.#keys.set(keys.subarray(slot * KEY_WORDS, (slot + 1) * KEY_WORDS), target * KEY_WORDS);
      this.#places.set(places.subarray(slot * PLACE_WORDS, (slot + 1) * PLACE_WORDS), target * PLACE_WORDS);
    }
  }
}
