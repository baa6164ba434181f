import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { ModuleFile } from '../mandate/modules.ts';
import { NEVER_WAITING } from './journals.ts';

/** Who wrote a lock file, as far as it says so. */
export interface LockOwner {
  readonly pid?: number | undefined;
  readonly user?: string | undefined;
  readonly host?: string | undefined;
  /** The name that the program's process has, where its convention tells. */
  readonly program?: string | undefined;
}

/** A file beside a module that says that the module is open. */
export interface LockFile {
  readonly module: ModuleFile;
  /** Its name in the mandate's folder. */
  readonly name: string;
  /** ms since 1970 */
  readonly writtenAt: number;
  readonly owner: LockOwner;
}

interface Convention {
  readonly name: (file: string) => string;
  readonly owner: (content: Buffer) => LockOwner;
}

/** Lock files are small; of a big file with such a name only this much is looked at. */
const MOST_BYTES = 4096;
const LONGEST_NAME = 100;

const CONVENTIONS: readonly Convention[] = [
  { name: (file) => `~$${file}`, owner: officeOwner },
  { name: (file) => `.~lock.${file}#`, owner: libreOfficeOwner },
  { name: (file) => `${file}.lock`, owner: plainOwner },
];

/** The lock files that lie beside these modules in `folder`. A folder that cannot be listed has none to show. */
export function readLockFiles(folder: string, modules: readonly ModuleFile[]): LockFile[] {
  const there = new Set(namesIn(folder));
  return modules.flatMap((module) =>
    CONVENTIONS.flatMap(({ name: nameOf, owner }) => {
      const name = nameOf(module.file);
      const read = there.has(name) ? readStart(join(folder, name)) : undefined;
      return read ? [{ module, name, writtenAt: read.writtenAt, owner: owner(read.content) }] : [];
    }),
  );
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // what needs the folder itself tells why it cannot be read
  }
}

function readStart(path: string): { content: Buffer; writtenAt: number } | undefined {
  try {
    const file = openSync(path, NEVER_WAITING);
    try {
      const stat = fstatSync(file);
      if (!stat.isFile()) return undefined;
      const content = Buffer.alloc(MOST_BYTES);
      const length = readSync(file, content, 0, MOST_BYTES, 0);
      return { content: content.subarray(0, length), writtenAt: stat.mtimeMs };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    // who keeps it open without sharing it (Windows) works in the module; what vanished just now locks nothing
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? undefined : { content: Buffer.alloc(0), writtenAt: Date.now() };
  }
}

/** Microsoft Office: the length of the user's name, then the name; no process, no computer. */
function officeOwner(content: Buffer): LockOwner {
  const length = content[0] ?? 0;
  const user = tidy(content.subarray(1, 1 + Math.min(length, 54)).toString('latin1'));
  return { user };
}

/** LibreOffice: `name,login,computer,time,profile;` with `\` before a comma, a semicolon or a backslash of a field. */
function libreOfficeOwner(content: Buffer): LockOwner {
  const fields: string[] = [];
  let field = '';
  const text = content.toString('utf8');
  for (let at = 0; at < text.length && text[at] !== ';'; at++) {
    if (text[at] === ',') {
      fields.push(field);
      field = '';
    } else field += text[at] === '\\' ? (text[++at] ?? '') : text[at];
  }
  const [name = '', login = '', host = ''] = fields;
  return { user: tidy(name) ?? tidy(login), host: tidy(host), program: 'soffice' };
}

/** Everybody else: a process id alone, or named in JSON or in `key=value` lines, perhaps with the computer. */
function plainOwner(content: Buffer): LockOwner {
  const text = content.toString('utf8');
  const pid =
    /^\s*(\d{1,10})\s*(?:$|[\s,;@])/.exec(text)?.[1] ?? /"?\bpid\b"?\s*[:=]\s*"?(\d{1,10})\b/i.exec(text)?.[1];
  const host = /"?\bhost(?:name)?\b"?\s*[:=]\s*"?([\w.-]+)/i.exec(text)?.[1];
  const number = Number(pid ?? 0);
  return { pid: number > 0 && number < 2 ** 31 ? number : undefined, host };
}

function tidy(text: string): string | undefined {
  const clean = text.replaceAll('\0', '').trim().slice(0, LONGEST_NAME);
  return clean === '' ? undefined : clean;
}
