import { expect, it } from '@jest/globals';
import { splitProgram } from './work.ts';

it.each([
  ['session Dupont -- cresus.exe --json -- x', 'session Dupont', 'cresus.exe --json -- x'],
  ['--home /tmp/x --json session Dupont -- true', '--home /tmp/x --json session Dupont', 'true'],
  ['session Dupont', 'session Dupont', ''],
  ['session Dupont --', 'session Dupont', ''],
  // of any other command nothing is taken away
  ['send session -- --rotate', 'send session -- --rotate', ''],
  ['--home session send -- x', '--home session send -- x', ''],
])('%s', (line, own, program) => {
  const split = splitProgram(line.split(' '));
  expect([split.own.join(' '), split.program.join(' ')]).toEqual([own, program]);
});
