import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Mandate } from '../mandate/mandates.ts';
import { FakeProbe } from './fake-probe.ts';
import { endProgram, OpenFixture } from './open-fixture.ts';
import { findOpenModules } from './open-modules.ts';
import { ProbeError } from './probe.ts';

let fixture: OpenFixture;
let mandate: Mandate;
beforeEach(() => {
  fixture = new OpenFixture();
  ({ mandate } = fixture);
});
afterEach(() => fixture[Symbol.asyncDispose]());

const book = (file: string): string => fixture.book(file);
const program = (script: string): ReturnType<OpenFixture['program']> => fixture.program(script);

describe('lock files', () => {
  const LIBRE = ',anne,bureau,24.11.2026 10:00,file:///home/anne/.config/libreoffice/4;';
  const living = (probe: FakeProbe): unknown => probe.alive.set(4711, { program: 'cresus', startedAt: 1000 });
  const rebooted = (probe: FakeProbe): void => {
    living(probe);
    probe.bootedAt = Date.now() + 60_000;
  };
  const running =
    (programs: string[] | undefined) =>
    (probe: FakeProbe): void => {
      probe.programs = programs;
    };

  it.each<[name: string, content: string, prepare: (probe: FakeProbe) => unknown, expected: object]>([
    ['a.cre.lock', '4711\n', living, { program: 'cresus', pid: 4711 }],
    ['a.cre.lock', '{"pid":4711,"host":"bureau.local"}', living, { pid: 4711, host: 'bureau.local' }],
    ['a.cre.lock', 'pid=4711', living, { pid: 4711 }],
    ['a.cre.lock', '4711', () => undefined, { stale: 'process-gone' }],
    ['a.cre.lock', '4711', (p) => p.alive.set(4711, { startedAt: Date.now() + 60_000 }), { stale: 'pid-reused' }],
    ['a.cre.lock', '4711', rebooted, { stale: 'before-boot' }],
    // of another computer nothing can be known
    ['a.cre.lock', 'pid: 4711\nhostname: PC-2\n', () => undefined, { pid: 4711, host: 'PC-2' }],
    ['a.cre.lock', '', () => undefined, { lockFile: 'a.cre.lock' }],
    ['a.cre.lock', '', rebooted, { stale: 'before-boot' }],
    ['~$a.cre', `\x09Anne Roch${'\0'.repeat(45)}`, () => undefined, { user: 'Anne Roch' }],
    ['~$a.cre', '\x09Anne Roch', rebooted, { stale: 'before-boot' }],
    ['.~lock.a.cre#', LIBRE, running(['soffice']), { user: 'anne', host: 'bureau', program: 'soffice' }],
    ['.~lock.a.cre#', LIBRE, () => undefined, { stale: 'program-gone' }],
    ['.~lock.a.cre#', LIBRE, running(undefined), { user: 'anne' }],
    ['.~lock.a.cre#', 'Roch\\, Anne,anne,PC\\;2,x,y;', () => undefined, { user: 'Roch, Anne', host: 'PC;2' }],
  ])('%s holding %j', async (name, content, prepare, expected) => {
    const probe = new FakeProbe();
    prepare(probe);
    writeFileSync(book(name), content, 'latin1');
    const { open, stale } = await findOpenModules(mandate, probe);
    if ('stale' in expected)
      expect({ open, stale }).toEqual({ open: [], stale: [{ file: name, reason: expected.stale }] });
    else {
      expect(open).toMatchObject([
        { kind: 'accounting', file: 'a.cre', how: 'lock-file', lockFile: name, ...expected },
      ]);
      expect(stale).toEqual([]);
    }
  });

  it('a real lock file: of a living process, then of the same one when it is gone', async () => {
    const child = await program('echo $$ > a.cre.lock');
    const { open } = await findOpenModules(mandate);
    expect(open).toMatchObject([{ file: 'a.cre', how: 'lock-file', pid: child.pid, program: 'sh' }]);
    await endProgram(child);
    const gone = await findOpenModules(mandate);
    expect(gone).toMatchObject({ open: [], stale: [{ file: 'a.cre.lock', reason: 'process-gone' }] });
  });

  it('of no file but a module’s, and neither a folder nor a pipe', async () => {
    writeFileSync(book('letter.odt.lock'), '1');
    mkdirSync(book('a.cre.lock'));
    for (const name of ['b.salx.lock', 'a.cre-wal']) execFileSync('mkfifo', [book(name)]);
    expect(await findOpenModules(mandate, new FakeProbe())).toMatchObject({ open: [], stale: [], unclean: [] });
  });

  it('still count when the processes cannot be looked at, which is told', async () => {
    writeFileSync(book('a.cre.lock'), '4711');
    const probe = new FakeProbe();
    living(probe);
    probe.answers = [new ProbeError('lsof: no answer')];
    expect(await findOpenModules(mandate, probe)).toMatchObject({ open: [{ pid: 4711 }], unknown: 'lsof: no answer' });
  });
});
