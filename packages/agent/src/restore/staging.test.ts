import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { diskError } from '../local/files.ts';
import { closeStaging, discardStaging, inUserWords, openStaging, sweepStaging } from './staging.ts';

const ID = 'ab'.repeat(32);

let folder: string;
let outside: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safe-staging-'));
  outside = join(folder, 'ailleurs');
  mkdirSync(outside);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const onLinux = process.platform === 'linux' ? test : test.skip;

describe('a staging folder', () => {
  onLinux('MS-38: whoever makes its name a link, ten thousand times, gets nothing written or removed elsewhere', () => {
    writeFileSync(join(outside, 'precieux'), 'reste');
    const staging = openStaging(join(folder, 'cible'), ID);
    const away = join(folder, 'emmené');
    for (let n = 0; n < 10_000; n += 1) {
      renameSync(staging.dir, away);
      symlinkSync(outside, staging.dir);
      writeFileSync(join(staging.tree, `f${n % 100}`), 'à nous');
      unlinkSync(staging.dir);
      renameSync(away, staging.dir);
    }
    expect(readdirSync(outside)).toEqual(['precieux']);
    renameSync(staging.dir, away);
    symlinkSync(outside, staging.dir);
    discardStaging(staging);
    closeStaging(staging);
    expect(readdirSync(outside)).toEqual(['precieux']);
    expect(readdirSync(away)).toEqual([]);
  });

  onLinux('MS-38: the folder above may become a link too', () => {
    const parent = join(folder, 'mandats');
    mkdirSync(parent);
    const staging = openStaging(join(parent, 'cible'), ID);
    renameSync(parent, join(folder, 'emmenés'));
    symlinkSync(outside, parent);
    writeFileSync(join(staging.tree, 'f'), 'à nous');
    renameSync(staging.tree, staging.parent.at('cible'));
    discardStaging(staging);
    closeStaging(staging);
    expect(readdirSync(outside)).toEqual([]);
    expect(readFileSync(join(folder, 'emmenés', 'cible', 'f'), 'utf8')).toBe('à nous');
    expect(readdirSync(join(folder, 'emmenés'))).toEqual(['cible']);
  });

  test('MS-38: a link at its name is replaced, never followed', () => {
    const first = openStaging(join(folder, 'cible'), ID);
    closeStaging(first);
    rmSync(first.dir, { recursive: true });
    symlinkSync(outside, first.dir);
    const staging = openStaging(join(folder, 'cible'), ID);
    writeFileSync(join(staging.tree, 'f'), 'à nous');
    closeStaging(staging);
    expect(readdirSync(outside)).toEqual([]);
  });

  test('after a crash, what is no folder of ours with our name is not swept', () => {
    mkdirSync(join(outside, 'tree'));
    sweepStaging(join(outside, 'tree'));
    const open = join(folder, '.cresus-safe-ouvert');
    mkdirSync(join(open, 'tree'), { recursive: true });
    chmodSync(open, 0o755); // ours is 0700
    sweepStaging(join(open, 'tree'));
    symlinkSync(outside, join(folder, '.cresus-safe-lien'));
    sweepStaging(join(folder, '.cresus-safe-lien', 'tree'));
    expect([existsSync(join(outside, 'tree')), existsSync(join(open, 'tree'))]).toEqual([true, true]);
    chmodSync(open, 0o700);
    sweepStaging(join(open, 'tree'));
    expect(existsSync(open)).toBe(false);
  });

  test('goes also when folders in it forbid to be written in', () => {
    const staging = openStaging(join(folder, 'cible'), ID);
    mkdirSync(join(staging.tree, 'lecture', 'seule'), { recursive: true });
    chmodSync(join(staging.tree, 'lecture'), 0o500);
    discardStaging(staging);
    closeStaging(staging);
    expect(readdirSync(folder)).toEqual(['ailleurs']);
  });

  test('messages name the paths that the user knows', () => {
    const staging = openStaging(join(folder, 'cible'), ID);
    const failed = Object.assign(new Error(`ENOSPC: ${staging.tree}/f`), { code: 'ENOSPC' });
    const { message, params, kind } = inUserWords(staging, diskError(failed, join(staging.tree, 'f')));
    closeStaging(staging);
    const shown = join(folder, basename(staging.dir), 'tree', 'f');
    expect([kind, message, params['path']]).toEqual(['disk-full', `disk-full: ${shown}`, shown]);
  });
});
