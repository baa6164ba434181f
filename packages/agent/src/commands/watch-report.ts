import { whereText } from '../open-modules/open-modules.ts';
import { explain } from '../render/output.ts';
import { brief, counted, durationText, momentText, sizeText, visible } from '../render/text.ts';
import type { WatchEvent } from '../watch/events.ts';
import { madePointJson } from './automatic-point.ts';
import type { Context } from './context.ts';

/** Told also with `--quiet`: what was done, and what could not be. */
const ALWAYS: ReadonlySet<WatchEvent['event']> = new Set(['point', 'failed']);

/** One event: a line of JSON with `--json`, else a line for people. */
export function tellEvent(context: Context, event: WatchEvent): void {
  const { output, now } = context;
  if (output.options.quiet && !output.options.json && !ALWAYS.has(event.event)) return;
  const at = now();
  output.result({
    json: { event: event.event, at, ...factsOf(context, event) },
    lines: [`${momentText(at)}  ${lineOf(context, event)}`],
  });
}

function factsOf({ texts }: Context, told: WatchEvent): Record<string, unknown> {
  if (told.event === 'failed') {
    const { error, mandate, retryMs } = told;
    return { mandate, error: { code: error.kind, ...explain(error, texts), details: error.details }, retryMs };
  }
  const { event: _, ...facts } = told;
  if (!('made' in facts)) return facts;
  const { made, ...others } = facts;
  return { ...others, point: madePointJson(made) };
}

function lineOf({ texts }: Context, told: WatchEvent): string {
  if (told.event === 'started')
    return texts('watch.started', { names: told.mandates.map(visible).join(', ') || texts('watch.nothing') });
  if (told.event === 'resumed') return texts('watch.resumed');
  const name = visible(told.mandate);
  switch (told.event) {
    case 'changed':
      return texts('watch.changed', { name, file: visible(told.file || '.') });
    case 'open':
      return texts('watch.open', { name, list: brief(told.modules.map(whereText).join(' · '), 300) });
    case 'unchanged':
      return texts('watch.unchanged', { name });
    case 'waiting':
      return texts('watch.waiting', { name, pid: told.pid });
    case 'failed': {
      const delay = durationText(told.retryMs, texts.language);
      return texts('watch.failed', { name, message: explain(told.error, texts).message, delay });
    }
    case 'away':
    case 'back':
      return texts(`watch.${told.event}`, { name, path: visible(told.path) });
    case 'point': {
      const { files, bytes, newBytes } = told.made;
      const size = (value: number): string => sizeText(value, texts.language);
      const facts = { files: counted(texts, 'files', files), bytes: size(bytes), newBytes: size(newBytes) };
      return texts('watch.point', { name, ...facts });
    }
  }
}
