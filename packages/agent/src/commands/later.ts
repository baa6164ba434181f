import { AgentError } from '../errors.ts';

/** Commands of the published contract that this version does not have yet (`group verb` for a verb of a group). */
const COMMANDS: ReadonlySet<string> = new Set(['audit', 'ui']);

/** Flags of the published contract that this version does not have yet, by command. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  connect: ['number'],
};

/** Refuses what belongs to a later version, by name: better than an unknown word. @throws AgentError `usage` */
export function refuseLater(words: readonly string[], flags: readonly string[]): void {
  const [first = '', second = ''] = words;
  const command = [first, `${first} ${second}`].find((name) => COMMANDS.has(name));
  const flag = flags.find((name) => FLAGS[first]?.includes(name));
  const what = command ?? (flag && `${first} --${flag}`);
  if (what === undefined) return;
  throw new AgentError('usage', `${what} is not in this version`, {
    key: 'error.not-yet',
    hint: 'hint.not-yet',
    params: { what },
  });
}

const VALUES: ReadonlySet<string> = new Set(['--home', '--lang', '--secret-file']);

/** The command words and the names of the flags of a command line, up to `--`. */
export function splitWords(argv: readonly string[]): { words: string[]; flags: string[] } {
  const words: string[] = [];
  const flags: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (word === '--') break;
    if (!word.startsWith('-')) words.push(word);
    else flags.push(word.replace(/^-+/, '').replace(/=.*$/s, ''));
    if (VALUES.has(word)) at++;
  }
  return { words, flags };
}

/** The value of a global flag, read before the command line is parsed: errors of parsing need language and form. */
export function earlyValue(argv: readonly string[], flag: string): string | undefined {
  const at = argv.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`));
  const word = argv[at];
  if (word === undefined) return undefined;
  return word.length > flag.length ? word.slice(flag.length + 1) : argv[at + 1];
}
