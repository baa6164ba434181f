import { createHash, randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { decodeKit, encodeKit } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { readIfThere, writeDurable } from '../local/files.ts';
import { groupsOf, kitPage, readKitPage } from '../render/kit-page.ts';
import type { Outcome } from '../render/output.ts';
import { visible } from '../render/text.ts';
import { withAnchor } from './anchoring.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { openSafe, type Safe } from './open.ts';

export interface KitCreateArgs {
  readonly file: string;
  readonly typedBack: string | undefined;
  readonly overwrite: boolean;
}

/** So many groups must be typed back: enough to show that the paper is readable, few enough to be done. */
const PROOF_GROUPS = 3;

/**
 * Writes the recovery kit as a printable page and activates it once some of its groups were typed back. Started again
 * with the same file, it goes on with the kit on that page.
 * @throws AgentError `usage` when the file is another one, or the proof is missing or wrong
 */
export async function kitCreate(context: Context, args: KitCreateArgs): Promise<Outcome> {
  const { texts } = context;
  const path = resolve(args.file);
  using _lock = await lockHome(context);
  const safe = await openSafe(context, 'write');
  try {
    await withAnchor(context, safe.vault);
    const code = pageOnDisk(path, safe, args.overwrite) ?? writePage(context, path, safe);
    await prove(context, path, code, args.typedBack);
    const { setKit } = await import('../vault/slots.ts');
    await setKit(safe.vault, decodeKit(code));
    return {
      json: { file: path, vaultId: safe.vault.keys.vaultId, active: true },
      lines: [texts('kit.done')],
    };
  } finally {
    safe.close();
  }
}

/** The code on a page that this command wrote before and that is still to be proved. */
function pageOnDisk(path: string, { vault }: Safe, overwrite: boolean): string | undefined {
  const bytes = readIfThere(path);
  if (bytes === undefined) return undefined;
  const page = readKitPage(bytes.toString('utf8'));
  if (page?.vaultId === vault.keys.vaultId) return page.code;
  if (overwrite) return undefined;
  throw new AgentError('usage', `${path} exists`, {
    key: 'error.file-exists',
    hint: 'hint.file-exists',
    params: { path },
  });
}

function writePage({ texts, output, now }: Context, path: string, { vault, config }: Safe): string {
  const code = encodeKit(randomBytes(20));
  const page = kitPage(
    {
      secret: code,
      vaultId: vault.keys.vaultId,
      number: config.number,
      url: config.server.url,
      headCode: vault.history.state.code,
      createdAt: now(),
    },
    texts,
  );
  writeDurable(path, page);
  output.say(texts('kit.written', { path: visible(path) }));
  return code;
}

async function prove(context: Context, path: string, code: string, given: string | undefined): Promise<void> {
  const { texts, prompt, env } = context;
  const groups = groupsOf(code);
  const asked = askedGroups(code, groups.length);
  const numbers = asked.map((at) => at + 1).join(', ');
  const typed = given ?? (env['CRESUS_SAFE_KIT_TYPED_BACK'] || undefined);
  if (typed === undefined && !prompt.interactive) throw notProved('unproved', path, numbers, asked);
  const answer = squeeze(typed ?? (await prompt.line(texts('kit.type-back', { numbers }))));
  const right = [asked.map((at) => groups[at]).join(''), groups.join('')];
  if (!right.some((text) => squeeze(text) === answer)) throw notProved('wrong', path, numbers, asked);
}

/** Which groups are asked follows from the kit, so that a second run asks the same ones. The first two say little. */
function askedGroups(code: string, count: number): number[] {
  const digest = createHash('sha256').update(`typed back ${code}`).digest();
  const left = Array.from({ length: count - 2 }, (_, at) => at + 2);
  const asked: number[] = [];
  for (let at = 0; at < PROOF_GROUPS; at++) asked.push(...left.splice((digest[at] ?? 0) % left.length, 1));
  return asked.sort((a, b) => a - b);
}

function squeeze(text: string): string {
  return text.replace(/[\s,-]+/g, '').toUpperCase();
}

function notProved(how: 'unproved' | 'wrong', path: string, numbers: string, asked: readonly number[]): AgentError {
  return new AgentError('usage', 'the kit was not proved', {
    key: how === 'wrong' ? 'error.kit-not-proved' : 'error.kit-unproved',
    hint: how === 'wrong' ? 'hint.kit-not-proved' : 'hint.typed-back',
    params: { path, numbers },
    details: { file: path, groups: asked.map((at) => at + 1) },
  });
}
