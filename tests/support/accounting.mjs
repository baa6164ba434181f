// A stand-in for the accounting program: opens a module file, keeps it open, edits it in place, closes it.
//   node accounting.mjs FILE [--edit TEXT] [--hold MS | --until-line] [--exit CODE] [--launch] [--on-term CODE]
// `--launch` starts another one that does the work, and ends at once. It says "open" once the file is open.
import { spawn } from 'node:child_process';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const [file, ...flags] = process.argv.slice(2);
const has = (flag) => flags.includes(flag);
const value = (flag, otherwise) => (has(flag) ? flags[flags.indexOf(flag) + 1] : otherwise);

if (has('--launch')) {
  const args = [import.meta.filename, file, ...flags.filter((flag) => flag !== '--launch')];
  spawn(process.execPath, args, { detached: true, stdio: 'ignore' }).unref();
} else await work();

async function work() {
  if (has('--on-term')) process.on('SIGTERM', () => process.exit(Number(value('--on-term'))));
  const book = openSync(file, 'r+');
  console.log('open');
  if (has('--until-line')) await lineTyped();
  else await pause(Number(value('--hold', 0)));
  if (has('--edit')) {
    writeSync(book, value('--edit'), 64);
    fsyncSync(book);
  }
  closeSync(book);
  process.exit(Number(value('--exit', 0)));
}

function lineTyped() {
  return new Promise((resolve) => createInterface(process.stdin).once('line', resolve));
}
