import { AgentError } from '../errors.ts';
import type { Context } from './context.ts';

/** Longer input would only cost time (128 repeated characters: two seconds): what is strong at 64 stays so. */
const MEASURED = 64;
const MIN_LENGTH = 8;

/** @throws AgentError `short-secret` */
export function checkLength(secret: string): void {
  if ([...secret.normalize('NFC')].length >= MIN_LENGTH) return;
  throw new AgentError('short-secret', `the secret key has fewer than ${MIN_LENGTH} characters`);
}

/** How hard a secret key is to guess: 0 (at once) to 4. Knows words and names in French, German, Italian and English. */
export async function strengthOf(secret: string): Promise<0 | 1 | 2 | 3 | 4> {
  const [core, common, ...languages] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
    import('@zxcvbn-ts/language-fr'),
    import('@zxcvbn-ts/language-de'),
    import('@zxcvbn-ts/language-it'),
    import('@zxcvbn-ts/language-en'),
  ]);
  // some languages name their word lists alike: each gets a name of its own, or the last one would hide the others
  const lists = languages.flatMap((language, i) =>
    Object.entries(language.dictionary).map(([name, words]) => [`${name}-${i}`, words] as const),
  );
  const dictionary = { ...common.dictionary, ...Object.fromEntries(lists) };
  const meter = new core.ZxcvbnFactory({ dictionary, graphs: common.adjacencyGraphs });
  return meter.check(secret.slice(0, MEASURED)).score;
}

/** Says how strong a new secret key is, and warns of one that is easy to guess. Refuses nothing: its owner decides. */
export async function showStrength(context: Context, secret: string): Promise<number> {
  const { texts, output } = context;
  const score = await strengthOf(secret);
  output.say(texts('secret.strength', { words: texts(`secret.strength-${score}`) }));
  if (score < 2) output.warn('weak-secret', texts('warning.weak-secret'));
  return score;
}
