import type { CatalogNode } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';

/**
 * The nodes that `--path` means, with the folders above them: each pattern names files or folders (with all that is in them) by
 * their path in the backup, `*`, `**`, `?`, `[…]` and `{…}` as in a shell; a path that is written out means exactly that.
 * @throws AgentError `not-found` naming a pattern that means nothing
 */
export function selectNodes(nodes: readonly CatalogNode[], patterns: readonly string[]): CatalogNode[] {
  const globs = patterns.map(meaningOf);
  const met = new Set<number>();
  const chosen = new Set<string>();
  const above = new Set<string>();
  for (const { path } of nodes) {
    const hits = globs.flatMap((glob, index) => (isMeant(path, glob) ? [index] : []));
    const isInside = chosen.has(parentOf(path));
    if (hits.length === 0 && !isInside) continue;
    for (const index of hits) met.add(index);
    chosen.add(path);
    for (let parent = parentOf(path); parent !== '' && !above.has(parent); parent = parentOf(parent)) above.add(parent);
  }
  const lost = patterns.find((_, index) => !met.has(index));
  if (lost !== undefined)
    throw new AgentError('not-found', `nothing in the backup is named ${lost}`, {
      key: 'error.path-not-in-backup',
      hint: 'hint.path-not-in-backup',
      params: { path: lost },
      details: { path: lost },
    });
  return nodes.filter(({ path, type }) => chosen.has(path) || (type === 'folder' && above.has(path)));
}

interface Meaning {
  readonly text: string;
  readonly shape: RegExp;
}

/** Windows users write `\\` between folders. */
function meaningOf(pattern: string): Meaning {
  const slashed = process.platform === 'win32' ? pattern.replaceAll('\\', '/') : pattern;
  const text = slashed
    .normalize('NFC')
    .replace(/^(\.\/)+/, '')
    .replace(/\/+$/, '');
  return { text, shape: shapeOf(text) };
}

const PARTS = /\*\*\/|\*\*|\*|\?|\[!?[^\]/]+\]|\{[^{}]*\}|[^*?[{]+|./gsu;

/** The pattern as a regular expression over whole paths. (`path.matchesGlob` is experimental, and takes 1 s for 50,000 paths.) */
function shapeOf(glob: string): RegExp {
  const source = [...glob.matchAll(PARTS)].map(([part]) => partOf(part)).join('');
  try {
    return new RegExp(`^${source}$`, 'su');
  } catch {
    return new RegExp(`^${RegExp.escape(glob)}$`, 'su'); // `[z-a]` is no set: the characters themselves then
  }
}

function partOf(part: string): string {
  if (part === '**/') return '(?:.*/)?';
  if (part === '**') return '.*';
  if (part === '*') return '[^/]*';
  if (part === '?') return '[^/]';
  if (/^\[..*\]$/su.test(part)) return setOf(part);
  if (/^\{.*\}$/su.test(part)) return `(?:${part.slice(1, -1).split(',').map(alternative).join('|')})`;
  return RegExp.escape(part);
}

function setOf(part: string): string {
  const negated = part.startsWith('[!');
  const inside = part.slice(negated ? 2 : 1, -1).replace(/[\\^&[\]]/g, '\\$&');
  return negated ? `[^/${inside}]` : `[${inside}]`;
}

function alternative(text: string): string {
  return [...text.matchAll(PARTS)].map(([part]) => partOf(part)).join('');
}

function isMeant(path: string, { text, shape }: Meaning): boolean {
  const named = path.normalize('NFC');
  return named === text || shape.test(named);
}

function parentOf(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut < 0 ? '' : path.slice(0, cut);
}
