import { readFileSync } from 'node:fs';

/** The code of a recovery kit as its page shows it, groups apart. Throws when there is none. */
export function kitOnPage(page: string): string {
  const list = /<ol class="groups">(.*?)<\/ol>/s.exec(readFileSync(page, 'utf8'))?.[1] ?? '';
  const code = list.replaceAll(/<[^>]*>/g, ' ').trim();
  if (!/^CSKIT1[0-9A-Z]{38,}$/.test(code.replaceAll(/\s/g, ''))) throw new Error(`no kit on ${page}: ${code}`);
  return code;
}
