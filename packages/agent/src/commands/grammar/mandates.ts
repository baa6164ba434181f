import type { Argv } from 'yargs';
import { closing, flag, type Grammar, operand, VAULT_CODES, value } from './parts.ts';

/** `mandate …`, `send`, `snapshots`, `show`: the mandates of this computer and their snapshots. */
export function mandateCommands(argv: Argv, grammar: Grammar): Argv {
  return snapshots(send(mandate(argv, grammar), grammar), grammar);
}

function mandate(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command('mandate', texts('mandate.describe'), (y) => {
    const group = y
      .command(
        'add <name>',
        texts('mandate.add'),
        (s) =>
          closing(
            s
              .positional('name', { ...operand(texts('mandate.name')), demandOption: true })
              .option('path', { ...value(texts('mandate.path')), demandOption: true })
              .option('same-as', value(texts('mandate.same-as')))
              .option('module', { type: 'string', array: true, requiresArg: true, describe: texts('mandate.module') }),
            texts,
            'cresus-safe mandate add "Dupont SA" --path C:\\Cresus\\Dupont',
            [...VAULT_CODES, 14],
          ),
        async (args) =>
          finish(
            await (await import('../mandate-add.ts')).mandateAdd(context, {
              name: args.name ?? '',
              path: args.path ?? '',
              sameAs: args['same-as'],
              modules: args.module ?? [],
            }),
          ),
      )
      .command(
        'list',
        texts('mandate.list'),
        (s) => closing(s, texts, 'cresus-safe mandate list'),
        async () => finish(await (await import('../mandate-list.ts')).mandateList(context)),
      )
      .command(
        'remove <name>',
        texts('mandate.remove'),
        (s) =>
          closing(
            s.positional('name', { ...operand(texts('mandate.name')), demandOption: true }),
            texts,
            'cresus-safe mandate remove "Dupont SA"',
            [14],
          ),
        async (args) => finish(await (await import('../mandate-list.ts')).mandateRemove(context, args.name ?? '')),
      )
      .command(
        'keep <name>',
        texts('mandate.keep'),
        (s) =>
          closing(
            s.positional('name', { ...operand(texts('mandate.name')), demandOption: true }),
            texts,
            'cresus-safe mandate keep "Dupont SA"',
            [14],
          ),
        async (args) => finish(await (await import('../mandate-keep.ts')).mandateKeep(context, args.name ?? '')),
      )
      .command(
        'root <dir>',
        texts('mandate.root'),
        (s) =>
          closing(
            s.positional('dir', { ...operand(texts('mandate.dir')), demandOption: true }),
            texts,
            'cresus-safe mandate root D:\\Mandats',
          ),
        async (args) => finish(await (await import('../mandate-list.ts')).mandateRoot(context, args.dir ?? '')),
      );
    return closing(group.demandCommand(1), texts, 'cresus-safe mandate list', [...VAULT_CODES, 14]);
  }) as Argv;
}

function send(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command(
    'send [names..]',
    texts('send.describe'),
    (y) =>
      closing(
        y
          .positional('names', { type: 'string', array: true, describe: texts('send.names') })
          .option('all', flag(texts('send.all')))
          .option('comment', value(texts('send.comment')))
          .option('limit', value(texts('send.limit')))
          .option('year-closed', value(texts('send.year-closed'))),
        texts,
        'cresus-safe send "Dupont SA" --comment "avant bouclement"',
        [3, 5, 6, 7, ...VAULT_CODES, 14],
      ),
    async (args) =>
      finish(
        await (await import('../send.ts')).send(context, {
          names: args.names ?? [],
          all: args.all === true,
          comment: args.comment,
          limit: args.limit,
          yearClosed: args['year-closed'],
        }),
      ),
  ) as Argv;
}

function snapshots(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv
    .command(
      'snapshots <name>',
      texts('snapshots.describe'),
      (y) =>
        closing(
          y
            .positional('name', { ...operand(texts('snapshots.name')), demandOption: true })
            .option('all', flag(texts('snapshots.all'))),
          texts,
          'cresus-safe snapshots "Dupont SA"',
          [...VAULT_CODES, 14],
        ),
      async (args) =>
        finish(await (await import('../snapshots.ts')).snapshots(context, args.name ?? '', args.all === true)),
    )
    .command(
      'show <id>',
      texts('show.describe'),
      (y) =>
        closing(
          y.positional('id', { ...operand(texts('show.id')), demandOption: true }),
          texts,
          'cresus-safe show 3f9a2c10',
          [...VAULT_CODES, 14],
        ),
      async (args) => finish(await (await import('../show.ts')).show(context, args.id ?? '')),
    ) as Argv;
}
