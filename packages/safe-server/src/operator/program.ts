import yargs, { type Argv, type Options } from 'yargs';
import { type Config, loadConfig, showConfig } from '../config.ts';
import { OperatorError, ServerError } from '../errors.ts';
import { LANGUAGES, languageOf, type Texts, textOf, textsOf } from '../lang/texts.ts';
import { createLog } from '../log.ts';
import { openSystem, type System } from '../system.ts';
import * as devices from './devices.ts';
import * as keys from './keys.ts';
import { migrate } from './migrate.ts';
import { rebuild } from './rebuild.ts';
import { ScrubFound, scrub } from './scrub.ts';
import { serve } from './serve.ts';
import * as subscribers from './subscribers.ts';
import { print, type Terminal } from './terminal.ts';
import { StoreUnfit, verifyStore } from './verify-store.ts';

/** The world outside the program. */
export interface Outside {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly operator: string;
  readonly random: (n: number) => Uint8Array;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const STATES = ['active', 'grace', 'suspended', 'read-only', 'closing', 'archive', 'closed'];
/** Commands that take a number and nothing else. */
const PLAIN = [
  ['show', subscribers.show],
  ['suspend', (operation: subscribers.Operation, number: string) => subscribers.suspend(operation, number, true)],
  ['resume', (operation: subscribers.Operation, number: string) => subscribers.suspend(operation, number, false)],
] as const;
type Flags = Readonly<Record<string, unknown>>;

/** Runs `safe-server` with these arguments. @returns the exit code: 0, 1, 2 (usage) or 14 (not found) */
export async function runProgram(args: readonly string[], outside: Outside): Promise<number> {
  const ofSubscriber = args[0] === 'subscriber' && (args[1] === 'add' || args[1] === 'set'); // there it is theirs
  const own = ofSubscriber ? undefined : flagOf(args, '--lang');
  const language = languageOf(own, outside.env);
  const terminal: Terminal = { ...outside, json: args.includes('--json'), language, t: textsOf(language) };
  try {
    await program(args, outside, terminal).parseAsync();
    return 0;
  } catch (error) {
    return report(error, terminal);
  }
}

function flagOf(args: readonly string[], name: string): string | undefined {
  const at = args.findIndex((arg) => arg === name || arg.startsWith(`${name}=`));
  return args[at]?.includes('=') ? args[at].slice(name.length + 1) : args[at + 1 || args.length];
}

/** One place where an error becomes a text, a document and an exit code. */
function report(error: unknown, terminal: Terminal): number {
  const known = asOperatorError(error);
  const isReported = known instanceof ScrubFound || known instanceof StoreUnfit;
  if (isReported && terminal.json) return known.exitCode; // the document is the report
  const message = textOf(terminal.t, known.key, known.params);
  if (terminal.json)
    terminal.out(`${JSON.stringify({ error: { code: known.key, message, details: known.params } })}\n`);
  else terminal.err(`${message}\n`);
  return known.exitCode;
}

function asOperatorError(error: unknown): OperatorError {
  if (error instanceof OperatorError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new OperatorError('error.unexpected', { message }, 1, {
    cause: error instanceof ServerError ? error : undefined,
  });
}

function program(args: readonly string[], outside: Outside, terminal: Terminal): Argv {
  const { t, language } = terminal;
  const cli = yargs([...args])
    .scriptName('safe-server')
    .locale(language)
    .exitProcess(false)
    .strict()
    .demandCommand(1)
    .recommendCommands()
    .wrap(100)
    .epilogue(t('help.exit'))
    .option('data-dir', { type: 'string', describe: t('option.data-dir') })
    .option('keys', { type: 'string', describe: t('option.keys') })
    .option('database', { type: 'string', describe: t('option.database') })
    .option('blobs', { type: 'string', describe: t('option.blobs') })
    .option('config', { type: 'string', describe: t('option.config') })
    .option('json', { type: 'boolean', describe: t('option.json') })
    .option('lang', { choices: LANGUAGES, describe: t('option.lang') })
    .fail((message, error) => {
      throw error ?? new OperatorError('usage', { message });
    });
  const context = { outside, terminal };
  return withConfig(
    withKeys(
      withScrub(
        withDevices(
          withSubscribers(
            withRebuild(withMigrate(withVerifyStore(withServe(cli, context), context), context), context),
            context,
          ),
          context,
        ),
        context,
      ),
      context,
    ),
    context,
  );
}

interface Context {
  readonly outside: Outside;
  readonly terminal: Terminal;
}

/** Opens the system of these flags, runs one command on it and closes it, whatever happens. */
async function on(
  { outside, terminal }: Context,
  flags: Flags,
  run: (operation: subscribers.Operation) => Promise<void>,
  open: { rebuild?: boolean } = {},
): Promise<void> {
  const config = await loadConfig(flags, outside.env);
  const system = await openSystem(config, {
    log: createLog({ level: 'warn', file: config.logFile }),
    create: false,
    ...open,
  });
  try {
    await run({ deps: system.deps, operator: outside.operator, terminal });
  } finally {
    await system.close();
  }
}

const text = (describe: string): Options => ({ type: 'string', requiresArg: true, describe });
const needed = (describe: string): Options => ({ ...text(describe), demandOption: true });

function withServe(cli: Argv, { outside, terminal }: Context): Argv {
  const { t } = terminal;
  return cli.command(
    'serve',
    t('help.serve'),
    (y) =>
      y
        .option('listen', text(t('option.listen')))
        .option('metrics-listen', text(t('option.metrics-listen')))
        .option('log-file', text(t('option.log-file')))
        .option('log-level', text(t('option.log-level')))
        .option('trust-proxy', text(t('option.trust-proxy')))
        .option('drain-seconds', text('')),
    async (argv) => {
      const config = await loadConfig(argv, outside.env);
      await serve(await openToServe(config), terminal);
    },
  );
}

async function openToServe(config: Config): Promise<System> {
  return await openSystem(config, { log: createLog({ level: config.logLevel, file: config.logFile }), create: true });
}

function withSubscribers(cli: Argv, context: Context): Argv {
  const { t } = context.terminal;
  const language: Options = { choices: LANGUAGES, describe: t('option.subscriber-lang') };
  const details = (y: Argv) => y.option('lang', language).option('quota', text(t('option.quota')));
  return cli.command('subscriber', t('help.subscriber'), (sub) => {
    sub.command(
      'add',
      t('help.subscriber.add'),
      (y) =>
        details(y)
          .option('number', text(t('option.number')))
          .option('name', needed(t('option.name')))
          .option('email', needed(t('option.email')))
          .option('expires', needed(t('option.expires'))),
      (argv) => on(context, argv, (operation) => subscribers.add(operation, argv as never)),
    );
    sub.command(
      'list',
      t('help.subscriber.list'),
      (y) =>
        y
          .option('state', { choices: STATES, describe: t('option.state') })
          .option('expiring-within', text(t('option.expiring-within')))
          .option('silent-for', text(t('option.silent-for'))),
      (argv) => on(context, argv, (operation) => subscribers.list(operation, argv as never)),
    );
    sub.command(
      'set <number>',
      t('help.subscriber.set'),
      (y) =>
        numbered(details(y), t)
          .option('name', text(t('option.name')))
          .option('email', text(t('option.email')))
          .option('quota-until', text(t('option.quota-until'))),
      (argv) => on(context, argv, (operation) => subscribers.set(operation, numberOf(argv), argv as never)),
    );
    sub.command(
      'extend <number>',
      t('help.subscriber.extend'),
      (y) => numbered(y, t).option('until', needed(t('option.until'))),
      (argv) => on(context, argv, (operation) => subscribers.extend(operation, numberOf(argv), String(argv['until']))),
    );
    sub.command(
      'code <number>',
      t('help.subscriber.code'),
      (y) =>
        numbered(y, t).option('for', { choices: ['enrol', 'forget'], default: 'enrol', describe: t('option.for') }),
      (argv) =>
        on(context, argv, (operation) =>
          subscribers.code(operation, numberOf(argv), argv['for'] as 'enrol' | 'forget'),
        ),
    );
    for (const [name, run] of PLAIN)
      sub.command(
        `${name} <number>`,
        t(`help.subscriber.${name}`),
        (y) => numbered(y, t),
        (argv) => on(context, argv, (operation) => run(operation, numberOf(argv))),
      );
    return sub.demandCommand(1);
  });
}

/** The positional stays text: yargs would turn 0100 into 100. */
function numbered(y: Argv, t: Texts): Argv {
  return y.positional('number', { type: 'string', demandOption: true, describe: t('option.number') });
}

function numberOf(argv: Flags): string {
  return String(argv['number']);
}

function withDevices(cli: Argv, context: Context): Argv {
  const { t } = context.terminal;
  return cli.command('device', t('help.device'), (sub) =>
    sub
      .command(
        'list [number]',
        t('help.device.list'),
        (y) => y.positional('number', { type: 'string', describe: t('option.number') }),
        (argv) => on(context, argv, (operation) => devices.list(operation, argv.number)),
      )
      .command(
        'revoke <id>',
        t('help.device.revoke'),
        (y) => y.positional('id', { type: 'string', demandOption: true }),
        (argv) => on(context, argv, (operation) => devices.revoke(operation, argv.id)),
      )
      .demandCommand(1),
  );
}

/** Brings the tables up to date and ends: what a deployment runs once before its servers. */
function withMigrate(cli: Argv, { outside, terminal }: Context): Argv {
  return cli.command('migrate', terminal.t('help.migrate'), {}, async (argv) => {
    await migrate(await loadConfig(argv, outside.env), terminal);
  });
}

/** Needs the bucket only, so it opens no system. */
function withVerifyStore(cli: Argv, { outside, terminal }: Context): Argv {
  return cli.command('verify-store', terminal.t('help.verify-store'), {}, async (argv) => {
    await verifyStore(await loadConfig(argv, outside.env), terminal);
  });
}

function withKeys(cli: Argv, context: Context): Argv {
  const { t } = context.terminal;
  return cli.command('keys', t('help.keys'), (sub) =>
    sub
      .command('create', t('help.keys.create'), {}, async (argv) => {
        const config = await loadConfig(argv, context.outside.env);
        await keys.create(config, context.terminal, context.outside.random);
      })
      .command(
        'verify [copy]',
        t('help.keys.verify'),
        (y) => y.positional('copy', { type: 'string', describe: t('option.copy') }),
        (argv) => on(context, argv, (operation) => keys.verify(operation, argv.copy)),
      )
      .demandCommand(1),
  );
}

function withScrub(cli: Argv, context: Context): Argv {
  const { t } = context.terminal;
  return cli.command(
    'scrub',
    t('help.scrub'),
    (y) => y.option('sample', text(t('option.sample'))),
    (argv) => on(context, argv, (operation) => scrub(operation, argv['sample'] as string | undefined)),
  );
}

function withRebuild(cli: Argv, context: Context): Argv {
  const { t } = context.terminal;
  return cli.command(
    'rebuild',
    t('help.rebuild'),
    (y) => y.option('catch-up', { type: 'boolean', default: false, describe: t('option.catch-up') }),
    (argv) =>
      on(context, argv, (operation) => rebuild(operation, { catchUp: argv['catch-up'] === true }), { rebuild: true }),
  );
}

function withConfig(cli: Argv, { outside, terminal }: Context): Argv {
  return cli.command('config', terminal.t('help.config'), (sub) =>
    sub
      .command('show', terminal.t('help.config.show'), {}, async (argv) => {
        const shown = showConfig(await loadConfig(argv, outside.env));
        print(terminal, shown, () => JSON.stringify(shown, null, 2).split('\n'));
      })
      .demandCommand(1),
  );
}
