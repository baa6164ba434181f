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

  /** Where the chunk lies that `find` found last. One object for all: a backup asks for every 4 KiB. */
  readonly found: { pack: number; segment: number; offset: number } = { pack: 0, segment: 0, offset: 0 };

  /** Looks for the chunk whose id lies in `ids` at word `at`; `found` then says where it lies. */
  find(ids: Uint32Array, at: number): boolean {
    const slot = this.#slotOf(ids, at);
    const first = this.#places[slot * PLACE_WORDS] as number;
    if (first === 0) return false;
    const second = this.#places[slot * PLACE_WORDS + 1] as number;
    this.found.pack = (first >>> 1) - 1;
    this.found.segment = second >>> OFFSET_LOW_BITS;
    this.found.offset = ((first & 1) << OFFSET_LOW_BITS) | (second & OFFSET_LOW_MASK);
    return true;
  }

  /** Adds a chunk, or moves it to where it lies now. */
  set(ids: Uint32Array, at: number, pack: number, segment: number, offset: number): void {
    if (this.#size >= this.#capacity * MAX_LOAD) this.#resize(this.#capacity * 2);
    const slot = this.#slotOf(ids, at);
    if (this.#places[slot * PLACE_WORDS] === 0) this.#size += 1;
    copyWords(this.#keys, slot * KEY_WORDS, ids, at, KEY_WORDS);
    this.#places[slot * PLACE_WORDS] = ((pack + 1) << 1) | (offset >>> OFFSET_LOW_BITS);
    this.#places[slot * PLACE_WORDS + 1] = (segment << OFFSET_LOW_BITS) | (offset & OFFSET_LOW_MASK);
  }

  /** The slot that holds the id, or the free one where it belongs. */
  #slotOf(ids: Uint32Array, at: number): number {
    const mask = this.#capacity - 1;
    const keys = this.#keys;
    const places = this.#places;
    const a = ids[at] as number;
    const b = ids[at + 1];
    const c = ids[at + 2];
    const d = ids[at + 3];
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      if (places[slot * PLACE_WORDS] === 0) return slot;
      const key = slot * KEY_WORDS;
      if (keys[key] === a && keys[key + 1] === b && keys[key + 2] === c && keys[key + 3] === d) return slot;
    }
  }

  /** Makes room for so many more at once. */
  reserve(more: number): void {
    let capacity = this.#capacity;
    while (capacity * MAX_LOAD < this.#size + more) capacity *= 2;
    if (capacity > this.#capacity) this.#resize(capacity);
  }

  #resize(wanted: number): void {
    const keys = this.#keys;
    const places = this.#places;
    const capacity = this.#capacity;
    this.#capacity = wanted;
    this.#keys = new Uint32Array(this.#capacity * KEY_WORDS);
    this.#places = new Uint32Array(this.#capacity * PLACE_WORDS);
    for (let slot = 0; slot < capacity; slot++) {
      if (places[slot * PLACE_WORDS] === 0) continue;
      const target = this.#slotOf(keys, slot * KEY_WORDS);
      copyWords(this.#keys, target * KEY_WORDS, keys, slot * KEY_WORDS, KEY_WORDS);
      copyWords(this.#places, target * PLACE_WORDS, places, slot * PLACE_WORDS, PLACE_WORDS);
    }
  }
}

function copyWords(to: Uint32Array, at: number, from: Uint32Array, start: number, count: number): void {
  for (let i = 0; i < count; i++) to[at + i] = from[start + i] as number;
}
