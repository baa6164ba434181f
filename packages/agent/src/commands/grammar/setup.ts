import type { Argv } from 'yargs';
import { closing, flag, type Grammar, operand, VAULT_CODES, value } from './parts.ts';

/** `connect`, `secret …`, `kit …`: what is done once on a computer. */
export function setupCommands(argv: Argv, grammar: Grammar): Argv {
  return kit(secret(connect(argv, grammar), grammar), grammar);
}

function connect(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command(
    'connect',
    texts('connect.describe'),
    (y) =>
      closing(
        y
          .option('server', { ...value(texts('connect.server')), demandOption: true })
          .option('code', { ...value(texts('connect.code')), demandOption: true })
          .option('device', value(texts('connect.device'))),
        texts,
        'cresus-safe connect --server https://safe.example.ch --code K7QF-M2XA-9RTD',
        [9, 10],
      ),
    async (args) => {
      const { connect: run } = await import('../connect.ts');
      finish(await run(context, { server: args.server ?? '', code: args.code ?? '', device: args.device }));
    },
  ) as Argv;
}

function secret(argv: Argv, grammar: Grammar): Argv {
  const { texts, context, finish } = grammar;
  return argv.command('secret', texts('secret.describe'), (y) => {
    const group = y
      .command(
        'set',
        texts('secret.set'),
        (s) => closing(s, texts, 'cresus-safe secret set', [9, 10]),
        async () => finish(await (await import('../secret-set.ts')).secretSet(context)),
      )
      .command(
        'change',
        texts('secret.change'),
        (s) =>
          closing(
            s
              .option('new-secret-file', value(texts('secret.new-file')))
              .option('rotate', flag(texts('secret.rotate')))
              .epilogue(texts('secret.rotate-help')),
            texts,
            'cresus-safe secret change',
            VAULT_CODES,
          ),
        async (args) =>
          finish(
            await (await import('../secret-change.ts')).secretChange(context, {
              newSecretFile: args['new-secret-file'],
              rotate: args.rotate === true,
            }),
          ),
      )
      .command(
        'remember',
        texts('secret.remember'),
        (s) => closing(s, texts, 'cresus-safe secret remember', VAULT_CODES),
        async () => finish(await (await import('../secret-remember.ts')).secretRemember(context)),
      )
      .command(
        'forget',
        texts('secret.forget'),
        (s) => closing(s, texts, 'cresus-safe secret forget'),
        async () => finish(await (await import('../secret-remember.ts')).secretForget(context)),
      );
    return closing(group.demandCommand(1), texts, 'cresus-safe secret set', VAULT_CODES);
  }) as Argv;
}

function kit(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command('kit', texts('kit.describe'), (y) => {
    const group = y
      .command(
        'create <file>',
        texts('kit.create'),
        (s) =>
          closing(
            s
              .positional('file', { ...operand(texts('kit.file')), demandOption: true })
              .option('typed-back', value(texts('kit.typed-back')))
              .option('overwrite', flag(texts('kit.overwrite'))),
            texts,
            'cresus-safe kit create kit.html',
            VAULT_CODES,
          ),
        async (args) =>
          finish(
            await (await import('../kit-create.ts')).kitCreate(context, {
              file: args.file ?? '',
              typedBack: args['typed-back'],
              overwrite: args.overwrite === true,
            }),
          ),
      )
      .command(
        'use',
        texts('kit.use'),
        (s) =>
          closing(
            s
              .option('kit-file', value(texts('kit.kit-file')))
              .option('store', value(texts('kit.store')))
              .option('anchor', value(texts('kit.anchor')))
              .option('without-anchor', flag(texts('anchor.without-anchor')))
              .conflicts('anchor', 'without-anchor'),
            texts,
            'cresus-safe kit use',
            [8, ...VAULT_CODES, 14],
          ),
        async (args) =>
          finish(
            await (await import('../kit-use.ts')).kitUse(context, {
              kitFile: args['kit-file'],
              store: args.store,
              anchor: args.anchor,
              withoutAnchor: args['without-anchor'] === true,
            }),
          ),
      );
    return closing(group.demandCommand(1), texts, 'cresus-safe kit create kit.html', VAULT_CODES);
  }) as Argv;
}
