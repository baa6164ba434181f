import { AgentError } from '../errors.ts';
import type { Outcome } from '../render/output.ts';
import { brief, counted, momentText, sizeText, visible } from '../render/text.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import { lockIfFree } from './home-lock.ts';
import { openSafe } from './open.ts';
import { fateTexts, snapshotJson } from './snapshot-json.ts';
import { chooseSnapshot } from './snapshots.ts';

type SnapshotRecord = Awaited<ReturnType<Vault['record']>>;

/** Shows one snapshot: when, by which computer, its comment, modules and problems. @throws AgentError `not-found` */
export async function show(context: Context, id: string): Promise<Outcome> {
  using lock = await lockIfFree(context);
  const safe = await openSafe(context, lock === undefined ? 'look' : 'read');
  try {
    if (id.toLowerCase() === 'latest') throw unknown(id);
    const snapshot = chooseSnapshot(safe.vault.everySnapshot(), id, '');
    const record = await safe.vault.record(snapshot.id);
    return { json: details(safe.vault, snapshot, record), lines: lines(context, safe.vault, snapshot, record) };
  } finally {
    safe.close();
  }
}

function unknown(id: string): AgentError {
  return new AgentError('not-found', `no snapshot ${id}`, {
    key: 'error.no-snapshot',
    hint: 'hint.no-snapshot',
    params: { id },
  });
}

function details(vault: Vault, snapshot: SnapshotInfo, record: SnapshotRecord): Record<string, unknown> {
  const { mandateName, comment, deviceId, deviceName, agentVersion, folders, links, newBytes } = record;
  return {
    ...snapshotJson(vault, snapshot),
    mandate: mandateName,
    mandateId: record.mandateId,
    comment,
    deviceId,
    deviceName,
    agentVersion,
    folders,
    links,
    newBytes,
    packs: record.packs.length,
    modules: record.modules,
    problems: record.problems,
  };
}

function lines({ texts }: Context, vault: Vault, snapshot: SnapshotInfo, record: SnapshotRecord): string[] {
  const { language } = texts;
  const { comment, modules, problems } = record;
  const list = modules.map(({ kind, file }) => `${texts(`module.${kind}`)} (${visible(file)})`).join(', ');
  return [
    texts('show.title', { id: snapshot.id.slice(0, 8), name: visible(record.mandateName) }),
    texts('show.created', {
      date: momentText(record.createdAt),
      device: brief(record.deviceName, 100),
      version: brief(record.agentVersion, 20),
    }),
    texts('show.received', { date: momentText(snapshot.receivedAt), seq: snapshot.seq }),
    ...fateTexts(texts, vault, snapshot),
    ...(comment ? [texts('show.comment', { comment: brief(comment, 2000) })] : []),
    texts('show.totals', {
      files: counted(texts, 'files', record.files),
      folders: counted(texts, 'folders', record.folders),
      bytes: sizeText(record.bytes, language),
      newBytes: sizeText(record.newBytes, language),
    }),
    ...(list ? [texts('show.modules', { list })] : []),
    ...(problems.length > 0 ? [texts('show.problems', { count: problems.length })] : []),
    ...problems.slice(0, 20).map(({ path, code }) => `  ${problemText(texts, path, code)}`),
  ];
}

/** A path with what was wrong with it, in words. */
export function problemText(texts: Context['texts'], path: string, code: string): string {
  const reason = /^[a-z-]+$/.test(code) ? texts.find(`problem.${code}`) : undefined;
  return texts('warning.problem', { path: brief(path, 300), reason: reason ?? brief(code, 64) });
}
