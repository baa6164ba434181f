/** How the restoring target's file system tells names apart. */
export interface NameRules {
  /** Two names with the same key are the same file there. */
  readonly key: (name: string) => string;
  /** Windows rules: reserved device names, forbidden characters, trailing dots and spaces. */
  readonly windows: boolean;
}

const RESERVED = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: Windows refuses exactly these
const FORBIDDEN = /[<>:"/\\|?*\u0000-\u001f]/g;

/**
 * Maps the paths of a catalog to names that are free and possible at the target. Where the target cannot hold two names
 * apart (case, NFC/NFD: MS-35) the second becomes `name (2)`; names that Windows reserves (MS-36) get an underscore. A
 * pure function of the catalog's order, so that a second run of an interrupted restore maps alike.
 */
export class NameMap {
  readonly #rules: NameRules;
  readonly #folders = new Map<string, string>();
  readonly #taken = new Map<string, Set<string>>();
  /** Every path that lies elsewhere than the catalog says. */
  readonly renamed: { from: string; to: string }[] = [];

  constructor(rules: NameRules) {
    this.#rules = rules;
  }

  /** The relative path at the target, `/` between parts. Parents come before what is in them. */
  place(path: string, isFolder: boolean): string {
    const cut = path.lastIndexOf('/');
    const parent = cut < 0 ? '' : (this.#folders.get(path.slice(0, cut)) ?? path.slice(0, cut));
    const name = this.#free(parent, this.#possible(path.slice(cut + 1)));
    const placed = parent === '' ? name : `${parent}/${name}`;
    if (isFolder && placed !== path) this.#folders.set(path, placed);
    if (name !== path.slice(cut + 1)) this.renamed.push({ from: path, to: placed });
    return placed;
  }

  #possible(name: string): string {
    if (!this.#rules.windows) return name;
    const clean = name.replace(FORBIDDEN, '_').replace(/[. ]+$/, (end) => '_'.repeat(end.length));
    // in front: Windows reads `nul.txt_` as the device still
    return RESERVED.test(clean) || /~\d/.test(clean) ? `_${clean}` : clean;
  }

  #free(parent: string, name: string): string {
    const keyed = this.#taken.get(parent) ?? new Set<string>();
    this.#taken.set(parent, keyed);
    for (let n = 1; ; n += 1) {
      const candidate = n === 1 ? name : numbered(name, n);
      const key = this.#rules.key(candidate);
      if (keyed.has(key)) continue;
      keyed.add(key);
      return candidate;
    }
  }
}

function numbered(name: string, n: number): string {
  const dot = name.lastIndexOf('.');
  return dot <= 0 ? `${name} (${n})` : `${name.slice(0, dot)} (${n})${name.slice(dot)}`;
}

/** Case folding wide enough for every file system that folds: upper case joins ß/ss and the long s too. */
export function foldedKey(name: string): string {
  return name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFC');
}

/**
 * Whether a link may be recreated: its target is relative and stays within the restored folder (MS-33, MS-34). `..` is
 * accepted only in front, where it climbs real folders: after a name it could climb out of what another link points to.
 * @param at path of the link, relative to the restored folder
 */
export function linkStaysInside(at: string, target: string): boolean {
  if (target === '' || target.includes('\0') || target.includes('\\')) return false;
  if (target.startsWith('/') || /^[A-Za-z]:/.test(target)) return false;
  let climbable = at.split('/').length - 1;
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') climbable = 0;
    else if (climbable === 0) return false;
    else climbable -= 1;
  }
  return true;
}
