import yargs, { type Argv } from 'yargs';
import { AgentError } from '../errors.ts';
import { LANGUAGES, type Texts } from '../render/i18n.ts';
import type { Outcome } from '../render/output.ts';
import type { Context } from './context.ts';
import { copyCommands } from './grammar/copies.ts';
import { lifeCommands } from './grammar/life.ts';
import { mandateCommands } from './grammar/mandates.ts';
import { flag, type Grammar, value } from './grammar/parts.ts';
import { pointCommands } from './grammar/points.ts';
import { restoreCommands } from './grammar/restore.ts';
import { scheduleCommands } from './grammar/schedule.ts';
import { setupCommands } from './grammar/setup.ts';
import { trustCommands } from './grammar/trust.ts';
import { splitProgram, workCommands } from './grammar/work.ts';

/**
 * Reads a command line and runs its one command. Help and version are printed here, and give no outcome.
 * @throws AgentError `usage` for whatever the grammar does not know, and what the command throws
 */
export async function runCommandLine(argv: readonly string[], context: Context): Promise<Outcome | undefined> {
  let outcome: Outcome | undefined;
  const { own, program } = splitProgram(argv);
  const grammar: Grammar = {
    texts: context.texts,
    context,
    program,
    finish: (made) => {
      outcome = made;
    },
  };
  const groups = [
    setupCommands,
    mandateCommands,
    lifeCommands,
    restoreCommands,
    trustCommands,
    pointCommands,
    copyCommands,
    scheduleCommands,
    workCommands,
  ];
  const parser = groups.reduce((argv, add) => add(argv, grammar), base(context));
  await parser.parseAsync([...own]);
  return outcome;
}

function base({ texts, version }: Context): Argv {
  return globals(yargs(), texts)
    .scriptName('cresus-safe')
    .locale(texts.language)
    .usage(`$0 <${texts('help.command')}>\n\n${texts('help.about')}`)
    .version(version)
    .help()
    .wrap(Math.min(process.stdout.columns || 100, 110))
    .strict()
    .demandCommand(1, texts('help.which'))
    .recommendCommands()
    .exitProcess(false)
    .showHelpOnFail(false)
    .parserConfiguration({ 'parse-numbers': false, 'parse-positional-numbers': false, 'dot-notation': false })
    .fail((message: string, error: Error | undefined) => {
      throw error instanceof AgentError ? error : unreadable(message, error);
    });
}

function globals(argv: Argv, texts: Texts): Argv {
  return argv
    .option('home', { ...value(texts('global.home')), global: true })
    .option('json', flag(texts('global.json')))
    .option('quiet', flag(texts('global.quiet')))
    .option('progress', { ...flag(texts('global.progress')), default: true })
    .option('lang', { type: 'string', choices: LANGUAGES, requiresArg: true, describe: texts('global.lang') })
    .option('yes', flag(texts('global.yes')))
    .option('secret-file', value(texts('global.secret-file'))) as Argv;
}

/** An error thrown inside a command comes through here too and keeps its own shape. */
function unreadable(message: string | null, error: Error | undefined): Error {
  if (error && error.name !== 'YError') return error;
  const reason = message ?? error?.message ?? '';
  return new AgentError('usage', reason, { key: 'error.usage', params: { reason } });
}
