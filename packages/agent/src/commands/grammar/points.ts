import type { Argv } from 'yargs';
import { closing, flag, type Grammar, operand, value } from './parts.ts';

/** `point`, `points`: the automatic points of this computer. */
export function pointCommands(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv
    .command(
      'point <name>',
      texts('points.make'),
      (y) =>
        closing(
          y
            .positional('name', { ...operand(texts('points.name')), demandOption: true })
            .option('comment', value(texts('points.comment'))),
          texts,
          'cresus-safe point "Dupont SA"',
          [3, 7, 10, 14],
        ),
      async (args) =>
        finish(await (await import('../point.ts')).point(context, { name: args.name ?? '', comment: args.comment })),
    )
    .command(
      'points [name]',
      texts('points.list'),
      (y) =>
        closing(
          y
            .positional('name', operand(texts('points.list-name')))
            .option('plan', flag(texts('points.plan')))
            .option('keep-all', value(texts('points.keep-all')))
            .option('keep-daily', value(texts('points.keep-daily')))
            .option('keep-weekly', value(texts('points.keep-weekly')))
            .option('max-size', value(texts('points.max-size'))),
          texts,
          'cresus-safe points "Dupont SA" --plan',
          [10, 14],
        ),
      async (args) =>
        finish(
          await (await import('../points.ts')).points(context, {
            name: args.name,
            plan: args.plan === true,
            keepAll: args['keep-all'],
            keepDaily: args['keep-daily'],
            keepWeekly: args['keep-weekly'],
            maxSize: args['max-size'],
          }),
        ),
    ) as Argv;
}
