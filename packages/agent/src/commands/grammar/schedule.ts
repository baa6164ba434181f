import type { Argv } from 'yargs';
import { closing, flag, type Grammar, operand, VAULT_CODES, value } from './parts.ts';

const SEND_CODES = [3, 5, 6, 7, ...VAULT_CODES, 14] as const;

/** `schedule …`, `run-scheduled`, `diff`, `doctor`, `drill`: what goes on by itself, and insight into it. */
export function scheduleCommands(argv: Argv, grammar: Grammar): Argv {
  return insight(runScheduled(schedule(argv, grammar), grammar), grammar);
}

function schedule(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command('schedule', texts('schedule.describe'), (y) => {
    const group = y
      .command(
        'set [names..]',
        texts('schedule.set'),
        (s) =>
          closing(
            s
              .positional('names', { type: 'string', array: true, describe: texts('schedule.names') })
              .option('all', flag(texts('schedule.all')))
              .option('daily', flag(texts('schedule.daily')))
              .option('weekdays', flag(texts('schedule.weekdays')))
              .option('cron', value(texts('schedule.cron')))
              .option('at', value(texts('schedule.at')))
              .option('window', value(texts('schedule.window')))
              .option('limit', value(texts('schedule.limit')))
              .option('limit-hours', value(texts('schedule.limit-hours-flag')))
              .option('install', flag(texts('schedule.install'))),
            texts,
            'cresus-safe schedule set --weekdays --at 18:00 --limit 500 --limit-hours 08:00-18:00',
            [14],
          ),
        async (args) =>
          finish(
            await (await import('../schedule.ts')).scheduleSet(context, {
              names: args.names ?? [],
              all: args.all === true,
              daily: args.daily === true,
              weekdays: args.weekdays === true,
              cron: args.cron,
              at: args.at,
              window: args.window,
              limit: args.limit,
              limitHours: args['limit-hours'],
              install: args.install === true,
            }),
          ),
      )
      .command(
        'show',
        texts('schedule.show'),
        (s) => closing(s, texts, 'cresus-safe schedule show'),
        async () => finish(await (await import('../schedule.ts')).scheduleShow(context)),
      )
      .command(
        'off',
        texts('schedule.off'),
        (s) => closing(s, texts, 'cresus-safe schedule off'),
        async () => finish(await (await import('../schedule.ts')).scheduleOff(context)),
      );
    return closing(group.demandCommand(1), texts, 'cresus-safe schedule show', [14]);
  }) as Argv;
}

function runScheduled(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command(
    'run-scheduled',
    texts('schedule.run'),
    (y) =>
      closing(
        y.option('now', flag(texts('schedule.now'))).option('wait', value(texts('schedule.wait'))),
        texts,
        'cresus-safe run-scheduled --now',
        SEND_CODES,
      ),
    async (args) =>
      finish(
        await (await import('../run-scheduled.ts')).runScheduled(context, { now: args.now === true, wait: args.wait }),
      ),
  ) as Argv;
}

function insight(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv
    .command(
      'diff <first> [second]',
      texts('diff.describe'),
      (y) =>
        closing(
          y
            .positional('first', { ...operand(texts('diff.first')), demandOption: true })
            .positional('second', operand(texts('diff.second'))),
          texts,
          'cresus-safe diff 3f9a2c10 8b01d2e4',
          [...VAULT_CODES, 14],
        ),
      async (args) => finish(await (await import('../diff.ts')).diff(context, args.first ?? '', args.second)),
    )
    .command(
      'doctor',
      texts('doctor.describe'),
      (y) => closing(y, texts, 'cresus-safe doctor', [5, ...VAULT_CODES, 14]),
      async () => finish(await (await import('../doctor.ts')).doctor(context)),
    )
    .command(
      'drill [name]',
      texts('drill.describe'),
      (y) =>
        closing(
          y
            .positional('name', operand(texts('drill.name')))
            .option('point', value(texts('drill.point')))
            .option('copy', value(texts('drill.copy')))
            .option('report', value(texts('drill.report')))
            .option('overwrite', flag(texts('drill.overwrite')))
            .conflicts('point', 'copy'),
          texts,
          'cresus-safe drill "Dupont SA" --report essai.txt',
          [3, ...VAULT_CODES, 14],
        ),
      async (args) =>
        finish(
          await (await import('../drill.ts')).drill(context, {
            name: args.name,
            point: args.point,
            copy: args.copy,
            report: args.report,
            overwrite: args.overwrite === true,
          }),
        ),
    ) as Argv;
}
