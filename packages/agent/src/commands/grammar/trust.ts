import type { Argv } from 'yargs';
import { closing, flag, type Grammar, operand, VAULT_CODES, value } from './parts.ts';

/** `verify`, `status`, `devices`, `receipts`, `anchor`: knowing that data can be got back. */
export function trustCommands(argv: Argv, grammar: Grammar): Argv {
  return anchor(receipts(overview(argv, grammar), grammar), grammar);
}

function overview(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv
    .command(
      'verify [name]',
      texts('verify.describe'),
      (y) =>
        closing(
          y
            .positional('name', operand(texts('verify.name')))
            .option('sample', value(texts('verify.sample')))
            .option('full', flag(texts('verify.full')))
            .option('points', flag(texts('points.verify')))
            .conflicts('sample', ['full', 'points'])
            .conflicts('full', 'points'),
          texts,
          'cresus-safe verify --full',
          [...VAULT_CODES, 14],
        ),
      async (args) =>
        finish(
          await (await import('../verify.ts')).verify(context, {
            name: args.name,
            sample: args.sample,
            full: args.full === true,
            points: args.points === true,
          }),
        ),
    )
    .command(
      'status',
      texts('status.describe'),
      (y) => closing(y, texts, 'cresus-safe status'),
      async () => finish(await (await import('../status.ts')).status(context)),
    )
    .command(
      'devices',
      texts('devices.describe'),
      (y) =>
        closing(
          y.command(
            'revoke <id>',
            texts('devices.revoke'),
            (s) =>
              closing(
                s
                  .positional('id', { ...operand(texts('devices.id')), demandOption: true })
                  .option('elevation', value(texts('elevation.code'))),
                texts,
                'cresus-safe devices revoke 3f9a2c10',
                [8, 9, 14],
              ),
            async (args) =>
              finish(
                await (await import('../devices-revoke.ts')).devicesRevoke(context, args.id ?? '', args.elevation),
              ),
          ),
          texts,
          'cresus-safe devices',
          [9],
        ),
      async () => finish(await (await import('../devices.ts')).devices(context)),
    ) as Argv;
}

function receipts(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command(
    'receipts',
    texts('receipts.describe'),
    (y) =>
      closing(
        y
          .command(
            'verify <file>',
            texts('receipts.verify'),
            (s) =>
              closing(
                s.positional('file', { ...operand(texts('receipts.file')), demandOption: true }),
                texts,
                'cresus-safe receipts verify recus.json',
                [10, 14],
              ),
            async (args) => finish(await (await import('../receipts.ts')).receiptsVerify(context, args.file ?? '')),
          )
          .option('export', value(texts('receipts.export'))),
        texts,
        'cresus-safe receipts --export recus.json',
        VAULT_CODES,
      ),
    async (args) => finish(await (await import('../receipts.ts')).receipts(context, args.export)),
  ) as Argv;
}

function anchor(argv: Argv, { texts, context, finish }: Grammar): Argv {
  return argv.command(
    'anchor [code]',
    texts('anchor.describe'),
    (y) =>
      closing(
        y
          .positional('code', operand(texts('anchor.code')))
          .option('accept-history', flag(texts('anchor.accept-history')))
          .option('without-anchor', flag(texts('anchor.without-anchor')))
          .conflicts('accept-history', 'without-anchor'),
        texts,
        'cresus-safe anchor 42-ABCD-EFGH-IJKL-MNOP',
        VAULT_CODES,
      ),
    async (args) =>
      finish(
        await (await import('../anchor.ts')).anchor(context, {
          code: args.code,
          acceptHistory: args['accept-history'] === true,
          withoutAnchor: args['without-anchor'] === true,
        }),
      ),
  ) as Argv;
}
