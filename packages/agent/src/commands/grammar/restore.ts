import type { Argv } from 'yargs';
import { closing, flag, type Grammar, operand, VAULT_CODES, value } from './parts.ts';

/** `restore`: getting data back, from wherever it lies to wherever it is wanted. */
export function restoreCommands(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command(
    'restore [name]',
    texts('restore.describe'),
    (y) =>
      closing(
        y
          .positional('name', operand(texts('restore.name')))
          .option('snapshot', value(texts('restore.snapshot')))
          .option('copy', value(texts('restore.copy')))
          .option('point', value(texts('restore.point')))
          .option('into-current', flag(texts('restore.into-current')))
          .option('as', value(texts('restore.as')))
          .option('to', value(texts('restore.to')))
          .option('accept-replace', flag(texts('restore.accept-replace')))
          .option('path', { type: 'string', array: true, requiresArg: true, describe: texts('restore.path') })
          .option('dry-run', flag(texts('restore.dry-run')))
          .option('undo', flag(texts('restore.undo')))
          .conflicts('snapshot', ['copy', 'point'])
          .conflicts('copy', 'point')
          .conflicts('into-current', ['as', 'to'])
          .conflicts('as', 'to'),
        texts,
        'cresus-safe restore "Dupont SA" --snapshot latest --to ./Dupont',
        [3, 5, 7, 8, ...VAULT_CODES, 14],
      ),
    async (args) =>
      finish(
        await (await import('../restore.ts')).restore(context, {
          name: args.name,
          snapshot: args.snapshot,
          copy: args.copy,
          point: args.point,
          intoCurrent: args['into-current'] === true,
          as: args.as,
          to: args.to,
          acceptReplace: args['accept-replace'] === true,
          paths: args.path ?? [],
          dryRun: args['dry-run'] === true,
          undo: args.undo === true,
        }),
      ),
  ) as Argv;
}
