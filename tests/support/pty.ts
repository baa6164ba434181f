import { once } from 'node:events';
import type { Agent } from './agent.ts';
import { collect, until } from './process.ts';

/**
 * Runs a program on a new terminal of its own, copies what is typed and shown through pipes, and tells at the end on
 * stderr how the program left the terminal.
 */
const RELAY = `
import fcntl, json, os, select, struct, subprocess, sys, termios
master, slave = os.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
def own():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
child = subprocess.Popen(sys.argv[1:], stdin=slave, stdout=slave, stderr=slave, preexec_fn=own)
inputs = [master, 0]
while True:
    ended = child.poll() is not None
    ready = select.select(inputs, [], [], 0 if ended else 0.02)[0]
    if 0 in ready:
        typed = os.read(0, 4096)
        if typed: os.write(master, typed)
        else: inputs.remove(0)
    if master in ready: os.write(1, os.read(master, 65536))
    elif ended: break
modes = termios.tcgetattr(slave)[3]
left = {'echo': bool(modes & termios.ECHO), 'canonical': bool(modes & termios.ICANON), 'signals': bool(modes & termios.ISIG)}
sys.stderr.write(json.dumps(left))
sys.exit(child.returncode if child.returncode >= 0 else 128 - child.returncode)
`;

export const CTRL_C = '\u0003';
const LEFT_AS_FOUND = { echo: true, canonical: true, signals: true };

/** A command of an agent on a real terminal, with somebody who types. */
export class Terminal {
  readonly #child: ReturnType<Agent['start']>;
  readonly #output: ReturnType<typeof collect>;
  readonly #ended: Promise<unknown[]>;
  #read = 0;

  constructor(agent: Agent, args: readonly string[]) {
    this.#child = agent.start(args, { wrap: ['python3', '-c', RELAY], env: { TERM: 'xterm' } });
    this.#output = collect(this.#child);
    this.#ended = once(this.#child, 'close');
  }

  /** Everything that was written to the terminal, as it was written. */
  get written(): string {
    return this.#output.stdout();
  }

  /** What a person sees: lines, after returns, backspaces and erasures. */
  get lines(): string[] {
    return this.written.split('\n').map((line) => {
      let shown = '';
      let at = 0;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the control characters of a terminal
      for (const [token] of line.matchAll(/\u001b\[K|[\s\S]/gu)) {
        if (token === '\r') at = 0;
        else if (token === '\b') at = Math.max(0, at - 1);
        else if (token === '\u001b[K') shown = shown.slice(0, at);
        else {
          shown = shown.slice(0, at) + token + shown.slice(at + token.length);
          at += token.length;
        }
      }
      return shown;
    });
  }

  /** Waits for a text behind those that were waited for before, then types. */
  async answer(question: string, keys: string): Promise<void> {
    await until(
      () => (this.written.includes(question, this.#read) ? true : undefined),
      () => `no "${question}" in ${JSON.stringify(this.written.slice(this.#read))} ${this.#output.stderr()}`,
    );
    this.#read = this.written.indexOf(question, this.#read) + question.length;
    this.#child.stdin?.write(keys);
  }

  /** The exit code, once the command ended by itself; throws unless the terminal was left as it was found. */
  async ends(): Promise<number | null> {
    const [code] = (await this.#ended) as [number | null];
    const left = this.#output.stderr();
    if (left !== JSON.stringify(LEFT_AS_FOUND).replaceAll(/([:,])/g, '$1 '))
      throw new Error(`the terminal was left as ${left}: ${this.written}`);
    return code;
  }
}
