import { spawnSync } from 'node:child_process';
import { run } from './process.ts';

/** What somebody at a terminal does: waits for a text to be shown, then types a line. */
export type Dialog = readonly (readonly [shown: string, typed: string])[];

export interface Spoken {
  readonly code: number | null;
  /** Everything that was on the terminal, stdout and stderr together. */
  readonly screen: string;
}

/** Python's pty: no package of Node's can make a terminal without native code. */
const SCRIPT = `
import json, os, pty, select, sys, time
dialog, argv = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
screen, seen, end = b'', 0, time.time() + 110
while time.time() < end:
    ready, _, _ = select.select([terminal], [], [], 0.5)
    if not ready:
        continue
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    screen += piece
    while dialog and dialog[0][0].encode() in screen[seen:]:
        shown, typed = dialog.pop(0)
        seen += screen[seen:].index(shown.encode()) + len(shown.encode())
        os.write(terminal, typed.encode() + b'\\r')
else:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
print(json.dumps({'code': os.waitstatus_to_exitcode(status), 'screen': screen.decode('utf8', 'replace'), 'left': dialog}))
`;

/** Why no terminal can be had here, or `undefined`. */
export function lacksTerminal(): string | undefined {
  return spawnSync('python3', ['-c', 'import pty']).status === 0 ? undefined : 'python3 with pty is not installed';
}

/** Runs a program on a terminal of its own; throws when it ended before the dialog did. */
export async function speak(
  argv: readonly string[],
  dialog: Dialog,
  env: Readonly<Record<string, string>>,
): Promise<Spoken> {
  const finished = await run(['python3', '-c', SCRIPT, JSON.stringify(dialog), ...argv], { env });
  const { code, screen, left } = JSON.parse(finished.stdout) as Spoken & { left: Dialog };
  if (left.length > 0) throw new Error(`not shown: ${left[0]?.[0]}\n${screen}`);
  return { code, screen };
}
