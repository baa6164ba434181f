import { AgentError, toAgentError } from '../errors.ts';
import { explain } from '../render/output.ts';
import type { HttpRemote } from '../vault/http-remote.ts';
import type { Context } from './context.ts';

/** Wrong codes that a person may type before the command gives up. */
const TRIES = 3;

/** What only works within minutes of a freshly mailed code: runs calls, and asks for the code when the server wants one. */
export class Elevation {
  readonly #context: Context;
  readonly #remote: HttpRemote;
  #given: string | undefined;

  /** @param given `--elevation CODE` */
  constructor(context: Context, remote: HttpRemote, given: string | undefined) {
    this.#context = context;
    this.#remote = remote;
    this.#given = given;
  }

  /**
   * Runs `act`, which the server may refuse for want of an elevation, and which then changed nothing.
   * @throws AgentError `elevation-required` when nobody can give a code, `code-refused`, and what `act` throws
   */
  async run<T>(act: () => Promise<T>): Promise<T> {
    if (this.#given !== undefined) {
      await this.#remote.elevate(this.#given);
      this.#given = undefined;
    }
    try {
      return await act();
    } catch (error) {
      if (toAgentError(error).kind !== 'elevation-required') throw error;
    }
    await this.#ask();
    return await act();
  }

  async #ask(): Promise<void> {
    const { prompt, texts, output } = this.#context;
    const mailed = await this.#mail();
    if (!prompt.interactive) throw required(mailed);
    output.say(texts(mailed ? 'elevation.mailed' : 'elevation.not-mailed'));
    for (let tries = 1; ; tries += 1) {
      const code = await prompt.line(texts('elevation.ask'));
      if (code === '') throw required(mailed);
      try {
        await this.#remote.elevate(code);
        return;
      } catch (error) {
        const typed = toAgentError(error);
        if (typed.kind !== 'code-refused' || tries === TRIES) throw error;
        output.say(explain(typed, texts).message);
      }
    }
  }

  /** Whether a code was mailed; without it the operator can still give one. */
  async #mail(): Promise<boolean> {
    try {
      await this.#remote.mailElevation();
      return true;
    } catch (error) {
      const typed = toAgentError(error);
      if (typed.kind === 'device-revoked' || typed.kind === 'unexpected') throw error;
      return false;
    }
  }
}

function required(mailed: boolean): AgentError {
  return new AgentError('elevation-required', 'this needs a freshly mailed code', {
    hint: mailed ? 'hint.elevation-mailed' : 'hint.elevation-required',
    details: { mailed },
  });
}
