import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { LinuxProbe } from './linux-probe.ts';
import { LsofProbe } from './lsof-probe.ts';
import { platformProbe } from './platform-probe.ts';
import { ProbeError, type RunTool } from './probe.ts';
import { WindowsProbe } from './windows-probe.ts';

let root: string;
let file: string;

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'safe-probes-')));
  file = join(root, 'compta.cre');
  writeFileSync(file, 'books');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('every platform has a probe', async () => {
  expect(await platformProbe('linux')).toBeInstanceOf(LinuxProbe);
  expect(await platformProbe('win32')).toBeInstanceOf(WindowsProbe);
  expect(await platformProbe('darwin')).toBeInstanceOf(LsofProbe);
});

describe('Linux, on a recorded /proc', () => {
  /** A process as /proc shows it. */
  function record(pid: number, { cmdline = '', comm = '', fds = [] as string[] }): void {
    const dir = join(root, 'proc', String(pid));
    mkdirSync(join(dir, 'fd'), { recursive: true });
    writeFileSync(join(dir, 'cmdline'), cmdline);
    writeFileSync(join(dir, 'comm'), `${comm}\n`);
    for (const [at, target] of fds.entries()) symlinkSync(target, join(dir, 'fd', String(at + 3)));
  }

  function recordLocks(lines: (id: string) => string[]): void {
    const { dev, ino } = statSync(file);
    const hex = (value: number): string => value.toString(16).padStart(2, '0');
    const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
    mkdirSync(join(root, 'proc'), { recursive: true });
    writeFileSync(join(root, 'proc', 'locks'), `${lines(`${hex(major)}:${hex(minor)}:${ino}`).join('\n')}\n`);
  }

  const probe = (): LinuxProbe => new LinuxProbe(join(root, 'proc'), 42);

  it('names programs as they were called: under Wine the Windows program', async () => {
    const wine = 'C:\\Program Files\\Cresus\\Cresus.exe\0Dupont.cre\0';
    record(10, { cmdline: wine, comm: 'Cresus.exe', fds: ['/dev/null', 'socket:[1]', file] });
    record(11, { comm: 'kworker', fds: [`${file} (deleted)`] });
    record(42, { cmdline: 'node\0', fds: [file] });
    record(12, { cmdline: 'vi\0', fds: [join(root, 'else')] });
    expect(await probe().holders([file])).toEqual([
      { path: file, how: 'process', pid: 10, program: 'Cresus.exe' },
      { path: file, how: 'process', pid: 11, program: 'kworker' },
    ]);
  });

  it('reads the locks of processes whose files it may not see, and of none that it can name', async () => {
    record(77, { cmdline: '/opt/cresus/cresus\0' });
    recordLocks((id) => [
      `1: POSIX  ADVISORY  WRITE 77 ${id} 0 EOF`,
      `2: FLOCK  ADVISORY  READ 42 ${id} 0 EOF`,
      `3: POSIX  ADVISORY  READ 78 ${id}9 128 128`,
      `4: OFDLCK ADVISORY  WRITE -1 ${id} 0 EOF`,
      `4: -> POSIX  ADVISORY  WRITE 79 ${id} 0 EOF`,
      'something that no kernel writes',
    ]);
    // of 79, which is gone, as of -1: somebody has it
    expect(await probe().holders([file])).toEqual([
      { path: file, how: 'lock', pid: 77, program: 'cresus' },
      { path: file, how: 'lock' },
      { path: file, how: 'lock' },
    ]);
  });

  it('tells when this very process began', async () => {
    const now = await new LinuxProbe().process(process.pid);
    const began = Date.now() - process.uptime() * 1000;
    expect(Math.abs((now?.startedAt ?? 0) - began)).toBeLessThan(5000);
    expect(await new LinuxProbe().process(2 ** 22 + 1)).toBeUndefined();
  });
});

const answers =
  (stdout: string, code = 0): RunTool =>
  () =>
    Promise.resolve({ code, stdout });

describe('macOS, on recorded output of lsof and ps', () => {
  const RECORDED = [
    'p501',
    'cCrésus Gestion',
    'fcwd',
    'a ',
    'l ',
    'D0x1000004',
    'i2',
    'n/',
    'f12',
    'au',
    'lR',
    'D0x1000004',
    'i8591234',
    'n/Users/anne/Mandats/Dupont/compta.cre',
    'f13',
    'au',
    'l ',
    'D0x1000004',
    'i8591234',
    'n/Users/anne/Mandats/Dupont/compta.cre',
    'p733',
    'cmds_stores',
    'f7',
    'ar',
    'l ',
    'D0x1000004',
    'i8591299',
    'n/Users/anne/Mandats/Dupont/paie.salx',
    'p42',
    'cnode',
    'f20',
    'ar',
    'l ',
    'D0x1000004',
    'i8591234',
    'n/Users/anne/Mandats/Dupont/compta.cre',
    '',
  ].join('\n');
  const compta = '/Users/anne/Mandats/Dupont/compta.cre';

  it('names who has the file open, once, and not ourselves', async () => {
    const probe = new LsofProbe(answers(RECORDED, 1), 42);
    expect(await probe.holders([compta])).toEqual([
      { path: compta, how: 'process', pid: 501, program: 'Crésus Gestion' },
    ]);
  });

  it('knows a file by device and inode when lsof shows another path of it', async () => {
    const { dev, ino } = statSync(file);
    const output = `p9\nccresus\nf3\nau\nlW\nD0x${dev.toString(16)}\ni${ino}\nn/private/elsewhere\n`;
    const probe = new LsofProbe(answers(output), 42);
    expect(await probe.holders([file])).toEqual([{ path: file, how: 'lock', pid: 9, program: 'cresus' }]);
  });

  it('no output is nobody; an lsof that fails is not taken for nobody', async () => {
    expect(await new LsofProbe(answers('', 1)).holders([file])).toEqual([]);
    await expect(new LsofProbe(answers('', 2)).holders([file])).rejects.toThrow(ProbeError);
  });

  it('reads program and start of a process from ps', async () => {
    const line = 'Tue Nov 24 09:12:33 2026     /Applications/Crésus.app/Contents/MacOS/Crésus\n';
    const found = await new LsofProbe(answers(line)).process(501);
    expect(found).toEqual({ program: 'Crésus', startedAt: Date.parse('2026-11-24T09:12:33') });
    expect(await new LsofProbe(answers('', 1)).process(501)).toBeUndefined();
  });
});

describe('Windows, on recorded answers', () => {
  it('a file that cannot be opened without sharing it is open; one that is gone or forbidden is not', async () => {
    const codes: Record<string, string> = { 'a.cre': 'EBUSY', 'b.fac': 'ENOENT', 'c.salx': 'EPERM' };
    const probe = new WindowsProbe((path) => codes[path], answers(''));
    expect(await probe.holders(['a.cre', 'b.fac', 'c.salx', 'd.sal'])).toEqual([{ path: 'a.cre', how: 'process' }]);
  });

  it.each([
    ['"Cresus.exe","4711","Console","1","45 332 Ko"\r\n', 'Cresus.exe'],
    ['"A.exe","1","Services","0","8 K"\r\n"Cresus.exe","4711","Console","1","9.032 K"\r\n', 'Cresus.exe'],
    ['Information : aucune tâche en service ne correspond aux critères spécifiés.\r\n', undefined],
  ])('tasklist said %j', async (stdout, program) => {
    const probe = new WindowsProbe(
      () => undefined,
      (tool, args) => {
        expect([tool, ...args]).toEqual(['tasklist.exe', '/FI', `PID eq ${process.pid}`, '/FO', 'CSV', '/NH']);
        return Promise.resolve({ code: 0, stdout: stdout.replace('4711', String(process.pid)) });
      },
    );
    expect(await probe.process(process.pid)).toEqual({ program });
  });
});
