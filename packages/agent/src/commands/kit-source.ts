import { resolve } from 'node:path';
import { decodeKit } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { readIfThere } from '../local/files.ts';
import { readKitPage } from '../render/kit-page.ts';
import type { Context } from './context.ts';

export interface KitUseArgs {
  readonly kitFile: string | undefined;
  readonly anchor: string | undefined;
  readonly withoutAnchor: boolean;
  /** `file:DIR`: a copy of the bucket in the server's place. */
  readonly store?: string | undefined;
}

export interface Kit {
  readonly code: string;
  /** The head code that was printed with it: an anchor that comes from the same trusted paper. */
  readonly headCode: string | undefined;
  readonly vaultId?: string;
}

/** The kit from a file (its code, or the page itself), from `CRESUS_SAFE_KIT`, or typed. */
export async function givenKit({ prompt, texts, env }: Context, file: string | undefined): Promise<Kit> {
  if (file !== undefined) return kitInFile(file);
  const code = env['CRESUS_SAFE_KIT'];
  if (code) return { code, headCode: undefined };
  if (!prompt.interactive)
    throw new AgentError('usage', 'the kit is needed and there is no terminal', {
      key: 'error.no-kit',
      hint: 'hint.no-kit',
    });
  return { code: await prompt.line(texts('kit.ask')), headCode: undefined };
}

function kitInFile(file: string): Kit {
  const path = resolve(file);
  const bytes = readIfThere(path);
  if (bytes === undefined)
    throw new AgentError('path-missing', `${path} is not there`, { key: 'error.file-missing', params: { path } });
  const text = bytes.toString('utf8');
  return readKitPage(text) ?? { code: text.trim(), headCode: undefined };
}

/** The kit's secret. @throws AgentError `usage` */
export function decodedKit(code: string): Uint8Array {
  try {
    return decodeKit(code);
  } catch (cause) {
    throw new AgentError('usage', 'not the code of a kit', { key: 'error.kit-format', hint: 'hint.none', cause });
  }
}
