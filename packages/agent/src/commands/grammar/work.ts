import type { Argv } from 'yargs';
import { splitWords } from '../later.ts';
import { closing, type Grammar, operand, value } from './parts.ts';

/**
 * Splits the command line of `session` at `--`: what follows belongs to the program, unread, whatever it looks like.
 * Other commands keep theirs whole.
 */
export function splitProgram(argv: readonly string[]): { own: readonly string[]; program: readonly string[] } {
  const at = argv.indexOf('--');
  if (at === -1 || splitWords(argv).words[0] !== 'session') return { own: argv, program: [] };
  return { own: argv.slice(0, at), program: argv.slice(at + 1) };
}

/** `session`, `watch`: points when work has ended. */
export function workCommands(argv: Argv, { texts, context, finish, program }: Grammar): Argv {
  return argv
    .command(
      'session <name>',
      texts('session.describe'),
      (y) =>
        closing(
          y
            .usage(
              `$0 session <name> [--wait MINUTES] -- COMMAND…\n\n${texts('session.describe')}\n${texts('session.codes')}`,
            )
            .positional('name', { ...operand(texts('session.name')), demandOption: true })
            .option('wait', value(texts('session.wait'))),
          texts,
          'cresus-safe session "Dupont SA" -- "C:\\Program Files\\Cresus\\cresus.exe" Dupont.cre',
          [3, 7, 10, 14],
        ),
      async (args) => {
        const { session } = await import('../session.ts');
        finish(await session(context, { name: args.name ?? '', wait: args.wait, command: program }));
      },
    )
    .command(
      'watch [names..]',
      texts('watch.describe'),
      (y) =>
        closing(
          y
            .usage(`$0 watch [names..]\n\n${texts('watch.describe')}\n${texts('watch.codes')}`)
            .positional('names', { type: 'string', array: true, describe: texts('watch.names') })
            .option('delay', value(texts('watch.delay'))),
          texts,
          'cresus-safe watch --delay 30',
          [14],
        ),
      async (args) => {
        const { watch } = await import('../watch.ts');
        finish(await watch(context, { names: args.names ?? [], delay: args.delay }));
      },
    ) as Argv;
}
