import { OperatorError } from '../errors.ts';
import { scrub as run, type ScrubReport } from '../jobs/scrub.ts';
import type { Operation } from './subscribers.ts';
import { print, type Terminal } from './terminal.ts';

/**
 * `scrub [--sample PERCENT]`: reads and hashes what is stored, those packs first that were not read for longest.
 *
 * @throws OperatorError `scrub.sample`; `scrub.damaged` (exit 1, after the report) when something is lost
 */
export async function scrub({ deps, operator, terminal }: Operation, sample: string | undefined): Promise<void> {
  const percent = sample === undefined ? 100 : Number(sample);
  if (!(percent > 0 && percent <= 100)) throw new OperatorError('scrub.sample', { value: sample ?? '' });
  const report = await run(deps, { percent });
  const { packs, frames, damaged, lostRecords } = report;
  const facts = { packs, frames, damaged: damaged.length, lostRecords: lostRecords.length };
  await deps.db.write((manager) =>
    deps.audit.record(manager, { actor: `operator:${operator}`, operation: 'scrub', facts }),
  );
  print(terminal, report, () => lines(report, terminal));
  const count = damaged.length + lostRecords.length;
  if (count > 0) throw new ScrubFound(count);
}

/** Damage was found: the report said which, so only the exit code is left to tell. */
export class ScrubFound extends OperatorError {
  constructor(count: number) {
    super('scrub.found', { count: String(count) }, 1);
  }
}

function lines(
  { packs, bytes, frames, framesWritten, recovered, damaged, lostRecords }: ScrubReport,
  { t }: Terminal,
): string[] {
  return [
    t('scrub.done', { packs: String(packs), mib: String(Math.round(bytes / 1024 ** 2)), frames: String(frames) }),
    ...(framesWritten > 0 ? [t('scrub.written', { count: String(framesWritten) })] : []),
    ...(recovered > 0 ? [t('scrub.recovered', { count: String(recovered) })] : []),
    ...damaged.map(({ number, packId, kind, snapshots }) =>
      t(`scrub.${kind}`, { number, pack: packId, snapshots: snapshots.join(', ') || '–' }),
    ),
    ...lostRecords.map(({ number, seq }) => t('scrub.record', { number, seq: String(seq) })),
  ];
}
