import { readFileSync } from 'node:fs';
import type { Context } from './commands/context.ts';
import { earlyValue, refuseLater, splitWords } from './commands/later.ts';
import { AgentError, toAgentError } from './errors.ts';
import { findConfig } from './local/config.ts';
import { chooseHome, type Home } from './local/home.ts';
import { chooseLanguage, loadTexts } from './render/i18n.ts';
import { Output } from './render/output.ts';
import { Prompt } from './render/prompt.ts';

/** How long a run may tidy up after Ctrl-C. Everything on disk is durable at every moment, so more is never needed. */
const STOP_WITHIN_MS = 900;

/** Takes the signals that would end the run, while a program works under it that must get them instead. */
let diverted: ((signal: NodeJS.Signals) => void) | undefined;

await main(process.argv.slice(2));

async function main(argv: string[]): Promise<void> {
  const own = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : argv.length);
  const home = chooseHome(earlyValue(own, '--home'));
  const texts = await loadTexts(chooseLanguage(earlyValue(own, '--lang'), configuredLanguage(home)));
  const output = new Output({
    json: own.includes('--json'),
    quiet: own.includes('--quiet'),
    progress: !own.includes('--no-progress'),
  });
  const stop = stopOnSignals(() => output.failure(interrupted(), texts));
  const context: Context = {
    home,
    texts,
    output,
    prompt: new Prompt(),
    env: process.env,
    secretFile: earlyValue(own, '--secret-file'),
    yes: own.includes('--yes'),
    version: version(),
    now: Date.now,
    signal: stop.signal,
    divertSignals,
  };
  leave(await run(argv, context, stop));
}

/** The language that was chosen once. A disk that does not give it must not keep the command from saying so (F-26). */
function configuredLanguage(home: Home): string | undefined {
  try {
    return findConfig(home)?.lang;
  } catch {
    // the command reads the file again, and tells what is wrong with it in the language of the system
    return undefined;
  }
}

/** Runs the command line and gives the exit code; everything that is thrown becomes one message. */
async function run(argv: string[], context: Context, stop: AbortController): Promise<number> {
  const { output, texts } = context;
  try {
    const { words, flags } = splitWords(argv);
    refuseLater(words, flags);
    const { runCommandLine } = await import('./commands/table.ts');
    const outcome = await runCommandLine(argv, context);
    if (outcome) output.result(outcome);
    return outcome?.exitCode ?? 0;
  } catch (error) {
    const typed = stop.signal.aborted ? interrupted() : toAgentError(error);
    if (typed.kind === 'unexpected' && context.env['CRESUS_SAFE_DEBUG']) console.error(error);
    output.failure(typed, texts);
    return typed.exitCode;
  }
}

function interrupted(): AgentError {
  return new AgentError('interrupted', 'interrupted');
}

/** First Ctrl-C or SIGTERM: abort, and leave within a second whatever happens. Second one: leave at once. */
function stopOnSignals(lastWord: () => void): AbortController {
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (diverted) {
      diverted(signal);
      return;
    }
    if (stop.signal.aborted) leave(130);
    stop.abort(interrupted());
    setTimeout(() => {
      lastWord();
      leave(130);
    }, STOP_WITHIN_MS).unref();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return stop;
}

function divertSignals(handler: (signal: NodeJS.Signals) => void): () => void {
  diverted = handler;
  return () => {
    diverted = undefined;
  };
}

/** Ends the process once what was written is out: sockets kept alive and idle workers must not hold it. */
function leave(code: number): void {
  process.exitCode = code;
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
