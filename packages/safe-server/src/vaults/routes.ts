import {
  type AppendBody,
  appendResponse,
  type DamagedBody,
  damagedQuery,
  damagedResponse,
  HEAD_HEADER,
  healResponse,
  journalQuery,
  keepRequest,
  keepResponse,
  MAX_JOURNAL_PAGE,
  MAX_JSON_BYTES,
  packParams,
  ROUTES,
  recordParams,
  seenRequest,
  type VaultBody,
  vaultResponse,
} from '@cresus-safe/protocol/http';
import { MAX_PACK_BYTES, MAX_REQUEST_BYTES } from '@cresus-safe/protocol/public';
import type { z } from 'zod';
import { deviceRoute, type Route, type UploadBody } from '../http/route.ts';
import { Admission } from './admission.ts';
import { damagedPage, lostRecords } from './damage.ts';
import { requireRestore, type VaultDeps, vaultOf } from './deps.ts';
import { heal } from './heal.ts';
import { historyPage, noteSeen, openPack, readRecord, showVault } from './history.ts';
import { type Appends, append, createAppends } from './journal.ts';
import { keepPacks, receivePack } from './packs.ts';

const MAX_HEAL_BYTES = 8 * 1024 * 1024;
type PackParams = z.output<typeof packParams>;

/** The routes that carry a vault's data. */
export function createVaultRoutes(deps: VaultDeps): Route[] {
  const appends = createAppends();
  return [
    vaultRoute(deps),
    keep(deps), // before the packs, whose pattern its path fits
    damaged(deps),
    putPack(deps),
    getPack(deps),
    postJournal(deps, appends),
    getJournal(deps),
    healJournal(deps, appends),
    getRecord(deps),
    seen(deps),
  ];
}

/** The room of a store that is not a disk of ours. */
const boundless = () => Promise.resolve(undefined);

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

function vaultRoute(deps: VaultDeps): Route {
  return deviceRoute({
    method: 'GET',
    path: ROUTES.vault,
    id: 'getVault',
    summary: 'Header and share of the vault, and a challenge for the proof',
    access: 'device',
    answers: { 200: { description: 'The vault', json: vaultResponse } },
    errors: ['vault-none', 'closed'],
    audit: 'vault.read',
    handle: async ({ device }) => {
      const { vaultId, header, share, challenge, head } = await showVault(deps, device);
      const json: VaultBody = {
        vaultId,
        header: base64(header),
        share: base64(share),
        challenge: base64(challenge),
        head,
      };
      return { status: 200, json };
    },
  });
}

function putPack(vaults: VaultDeps): Route {
  const deps = { ...vaults, admission: new Admission(vaults.room ?? boundless, vaults.limits.reserveBytes) };
  return deviceRoute<PackParams, undefined, UploadBody>({
    method: 'PUT',
    path: ROUTES.pack,
    id: 'putPack',
    summary: 'Stores a pack under its SHA-256',
    access: 'append',
    params: packParams,
    body: { kind: 'stream', maxBytes: MAX_PACK_BYTES, description: 'The pack, a multiple of 256 KiB' },
    transfer: true,
    answers: { 201: { description: 'Stored' }, 200: { description: 'It was there already' } },
    errors: [
      'length-required',
      'hash-mismatch',
      'pack-differs',
      'pack-gone',
      'quota',
      'storage-full',
      'subscription-expired',
      'suspended',
      'vault-none',
      'closed',
    ],
    audit: 'pack.write',
    handle: async ({ device, params, body }) => {
      const outcome = await receivePack(deps, device, params.packId, body);
      return { status: outcome === 'stored' ? 201 : 200, empty: true };
    },
  });
}

function getPack(deps: VaultDeps): Route {
  return deviceRoute({
    method: 'GET',
    path: ROUTES.pack,
    id: 'getPack',
    summary: 'A pack, or one range of it',
    access: 'read',
    params: packParams,
    transfer: true,
    answers: {
      200: { description: 'The pack', binary: true },
      206: { description: 'The range', binary: true, headers: { 'content-range': 'The bytes sent, and the length' } },
    },
    errors: ['not-found', 'range-not-satisfiable', 'stored-damaged', 'vault-none', 'closed'],
    audit: 'pack.read',
    handle: async ({ device, params, req }) => {
      const { body, length, range } = await openPack(deps, device, params.packId, req.headers.range);
      const headers = { 'accept-ranges': 'bytes' };
      if (range === undefined) return { status: 200, headers, stream: body, length };
      const { start, end } = range;
      const partial = { ...headers, 'content-range': `bytes ${start}-${end}/${length}` };
      return { status: 206, headers: partial, stream: body, length: end - start + 1 };
    },
  });
}

function keep(deps: VaultDeps): Route {
  return deviceRoute({
    method: 'POST',
    path: ROUTES.keepPacks,
    id: 'keepPacks',
    summary: 'Renews the grace of packs that are not yet part of a snapshot',
    access: 'append',
    body: { kind: 'json', schema: keepRequest, maxBytes: MAX_JSON_BYTES },
    answers: { 200: { description: 'Those that are not stored', json: keepResponse } },
    errors: ['subscription-expired', 'suspended', 'vault-none', 'closed'],
    audit: 'pack.keep',
    handle: async ({ device, body }) => ({
      status: 200,
      json: { missing: await keepPacks(deps, device, body.packIds) },
    }),
  });
}

function damaged(deps: VaultDeps): Route {
  return deviceRoute({
    method: 'GET',
    path: ROUTES.damagedPacks,
    id: 'listDamagedPacks',
    summary: 'Packs that the server lost or found rotten, to be sealed anew from what is still on a disk',
    access: 'read',
    query: damagedQuery,
    answers: { 200: { description: 'One page, ascending by id', json: damagedResponse } },
    errors: ['vault-none', 'closed'],
    audit: 'pack.damaged',
    handle: async ({ device, query }) => {
      const vaultId = vaultOf(device);
      await requireRestore(deps, device);
      const packs = await deps.db.read((manager) => damagedPage(manager, vaultId, query.after ?? ''));
      const lost = await deps.db.read((manager) => lostRecords(manager, vaultId));
      const json: DamagedBody = { packs, lostRecords: lost };
      return { status: 200, json };
    },
  });
}

function postJournal(deps: VaultDeps, appends: Appends): Route {
  return deviceRoute<undefined, undefined, Buffer>({
    method: 'POST',
    path: ROUTES.journal,
    id: 'append',
    summary: 'Appends one entry to the journal',
    access: 'device', // a pending device may create the vault; everything else is checked with the entry
    body: { kind: 'binary', maxBytes: MAX_REQUEST_BYTES, description: 'A journal request' },
    answers: {
      201: { description: 'Appended', json: appendResponse },
      200: { description: 'It was in the journal already', json: appendResponse },
    },
    errors: [
      'bad-entry',
      'bad-signature',
      'stale-head',
      'missing-packs',
      'vault-exists',
      'vault-none',
      'pending',
      'forbidden',
      'elevation-required',
      'conflict',
      'hold-too-far',
      'not-found',
      'read-only',
      'subscription-expired',
      'suspended',
      'closed',
    ],
    audit: 'journal.append',
    handle: async ({ device, body }) => {
      const { created, seq, receipt } = await append(deps, appends, device, body);
      const json: AppendBody = { seq, receipt: base64(receipt) };
      return { status: created ? 201 : 200, json };
    },
  });
}

function getJournal(deps: VaultDeps): Route {
  return deviceRoute({
    method: 'GET',
    path: ROUTES.journal,
    id: 'getJournal',
    summary: 'The history after an entry, page by page',
    access: 'read',
    query: journalQuery,
    answers: {
      200: { description: 'History frames', binary: true, headers: { [HEAD_HEADER]: 'seq of the newest entry' } },
    },
    errors: ['vault-none', 'closed'],
    audit: 'journal.read',
    handle: async ({ device, query }) => {
      const page = await historyPage(deps, device, query.after ?? 0, query.limit ?? MAX_JOURNAL_PAGE);
      return { status: 200, headers: { [HEAD_HEADER]: String(page.head) }, bytes: page.bytes };
    },
  });
}

function healJournal(deps: VaultDeps, appends: Appends): Route {
  return deviceRoute<undefined, undefined, Buffer>({
    method: 'POST',
    path: ROUTES.heal,
    id: 'heal',
    summary: 'Gives back entries that this server acknowledged and lost',
    access: 'device',
    body: { kind: 'binary', maxBytes: MAX_HEAL_BYTES, description: 'Heal frames' },
    answers: { 200: { description: 'The head afterwards', json: healResponse } },
    errors: [
      'bad-entry',
      'bad-signature',
      'stale-head',
      'seq-taken',
      'missing-packs',
      'pending',
      'forbidden',
      'read-only',
      'closed',
    ],
    audit: 'journal.heal',
    handle: async ({ device, body }) => ({
      status: 200,
      json: { head: await heal(deps, appends, device, body) },
    }),
  });
}

function getRecord(deps: VaultDeps): Route {
  return deviceRoute({
    method: 'GET',
    path: ROUTES.record,
    id: 'getRecord',
    summary: 'The sealed record of a snapshot',
    access: 'read',
    params: recordParams,
    answers: { 200: { description: 'The sealed record', binary: true } },
    errors: ['not-found', 'stored-damaged', 'vault-none', 'closed'],
    audit: 'record.read',
    handle: async ({ device, params }) => ({ status: 200, bytes: await readRecord(deps, device, params.snapshotId) }),
  });
}

function seen(deps: VaultDeps): Route {
  return deviceRoute({
    method: 'POST',
    path: ROUTES.seen,
    id: 'seen',
    summary: 'Tells that nothing changed in some mandates',
    access: 'append',
    body: { kind: 'json', schema: seenRequest },
    answers: { 204: { description: 'Noted' } },
    errors: ['vault-none', 'closed'],
    audit: 'mandate.seen',
    handle: async ({ device, body }) => {
      await noteSeen(deps, device, body.mandateRefs);
      return { status: 204, empty: true };
    },
  });
}
