import { readdirSync } from 'node:fs';
import { extname } from 'node:path';
import { diskError } from '../local/files.ts';

/** The three modules of the accounting program. */
export type ModuleKind = 'accounting' | 'invoicing' | 'payroll';

/** A module file lying directly in the folder of a mandate. */
export interface ModuleFile {
  readonly kind: ModuleKind;
  readonly file: string;
}

const KINDS: Readonly<Record<string, ModuleKind>> = {
  '.cre': 'accounting',
  '.fac': 'invoicing',
  '.salx': 'payroll',
  '.sal6': 'payroll',
  '.sal': 'payroll',
};

/** The module that a file name stands for, by its extension in any case; undefined when it is none. */
export function moduleKind(file: string): ModuleKind | undefined {
  const extension = extname(file).toLowerCase();
  return Object.hasOwn(KINDS, extension) ? KINDS[extension] : undefined;
}

/**
 * The modules lying directly in `folder`, by name. They are fixed when the mandate is added: a file of a module's
 * extension that turns up later (a mailed `x.cre`, attack R-10) stays a document and is never deduplicated with the books.
 */
export function detectModules(folder: string): ModuleFile[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .flatMap((entry) => asModule(entry.name))
      .sort((a, b) => (a.file < b.file ? -1 : 1));
  } catch (error) {
    throw diskError(error, folder);
  }
}

function asModule(file: string): ModuleFile[] {
  const kind = moduleKind(file);
  return kind ? [{ kind, file }] : [];
}
