import type { Argv } from 'yargs';
import { closing, type Grammar, VAULT_CODES, value } from './parts.ts';

/** `forget`, `unforget`, `plan`: how long snapshots live. */
export function lifeCommands(argv: Argv, grammar: Grammar): Argv {
  return plan(forget(argv, grammar), grammar);
}

function forget(argv: Argv, { texts, context, finish }: Grammar): Argv {
  const ids = { type: 'string', array: true, demandOption: true, describe: texts('forget.ids') } as const;
  return argv
    .command(
      'forget <ids..>',
      texts('forget.describe'),
      (y) =>
        closing(
          y.positional('ids', ids).option('elevation', value(texts('elevation.code'))),
          texts,
          'cresus-safe forget 3f9a2c10 --elevation K7QD-M2XW-9F4T-HHCA',
          [...VAULT_CODES, 8, 14],
        ),
      async (args) =>
        finish(
          await (await import('../forget.ts')).forget(context, { ids: args.ids ?? [], elevation: args.elevation }),
        ),
    )
    .command(
      'unforget <ids..>',
      texts('unforget.describe'),
      (y) => closing(y.positional('ids', ids), texts, 'cresus-safe unforget 3f9a2c10', [...VAULT_CODES, 8, 14]),
      async (args) => finish(await (await import('../forget.ts')).unforget(context, args.ids ?? [])),
    ) as Argv;
}

function plan(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command(
    'plan',
    texts('plan.describe'),
    (y) =>
      closing(
        y.command(
          'set',
          texts('plan.set'),
          (s) =>
            closing(
              s
                .option('all-days', value(texts('plan.all-days')))
                .option('weekly', value(texts('plan.weekly-days')))
                .option('monthly', value(texts('plan.monthly-days')))
                .option('elevation', value(texts('elevation.code'))),
              texts,
              'cresus-safe plan set --all-days 60 --weekly 730 --monthly 3650',
              [5, ...VAULT_CODES, 8],
            ),
          async (args) =>
            finish(
              await (await import('../plan.ts')).planSet(context, {
                allDays: args['all-days'],
                weekly: args.weekly,
                monthly: args.monthly,
                elevation: args.elevation,
              }),
            ),
        ),
        texts,
        'cresus-safe plan',
        VAULT_CODES,
      ),
    async () => finish(await (await import('../plan.ts')).plan(context)),
  ) as Argv;
}
