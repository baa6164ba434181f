import type { Argv } from 'yargs';
import { closing, flag, type Grammar, operand, VAULT_CODES, value } from './parts.ts';

/** `copy`, `copies`: a mandate in one file. */
export function copyCommands(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv
    .command(
      'copy <name> <file>',
      texts('copies.describe'),
      (y) =>
        closing(
          y
            .positional('name', { ...operand(texts('copies.name')), demandOption: true })
            .positional('file', { ...operand(texts('copies.file')), demandOption: true })
            .option('comment', value(texts('copies.comment')))
            .option('encrypt', flag(texts('copies.encrypt')))
            .option('overwrite', flag(texts('copies.overwrite')))
            .option('point', value(texts('copies.point')))
            .option('snapshot', value(texts('copies.snapshot')))
            .conflicts('point', 'snapshot'),
          texts,
          'cresus-safe copy "Dupont SA" /media/cle --comment "avant bouclement"',
          [3, 7, 8, ...VAULT_CODES, 14],
        ),
      async (args) =>
        finish(
          await (await import('../copy.ts')).copy(context, {
            name: args.name ?? '',
            file: args.file ?? '',
            comment: args.comment,
            encrypt: args.encrypt === true,
            overwrite: args.overwrite === true,
            point: args.point,
            snapshot: args.snapshot,
          }),
        ),
    )
    .command(
      'copies <dir>',
      texts('copies.list'),
      (y) =>
        closing(
          y
            .positional('dir', { ...operand(texts('copies.dir')), demandOption: true })
            .option('verify', flag(texts('copies.verify'))),
          texts,
          'cresus-safe copies /media/cle --verify',
          [10, 14],
        ),
      async (args) =>
        finish(
          await (await import('../copies.ts')).copies(context, { dir: args.dir ?? '', verify: args.verify === true }),
        ),
    ) as Argv;
}
