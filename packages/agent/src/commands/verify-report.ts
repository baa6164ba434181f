import type { Texts } from '../render/i18n.ts';
import type { VerifyProblem } from '../verify/verify.ts';

/** One defect in words. */
export function problemLine(texts: Texts, { code, snapshots, pack }: VerifyProblem): string {
  const ids = snapshots.map((id) => id.slice(0, 8)).join(', ');
  return texts(`verify.${code}`, { snapshots: ids, pack: pack?.slice(0, 12) ?? '' });
}
