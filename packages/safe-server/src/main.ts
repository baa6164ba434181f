import { randomBytes } from 'node:crypto';
import { userInfo } from 'node:os';
import { runProgram } from './operator/program.ts';

/** Who an operator is in the audit log: the user of the operating system. */
function operatorName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`; // a container may run as a user without an entry in passwd
  }
}

process.exitCode = await runProgram(process.argv.slice(2), {
  env: process.env,
  operator: operatorName(),
  random: (n) => new Uint8Array(randomBytes(n)),
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
});
