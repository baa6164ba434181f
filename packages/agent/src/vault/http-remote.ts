import { randomBytes } from 'node:crypto';
import type { DeviceId, MandateRef, PackId, SnapshotId } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import type { AccountClient } from './http-account.ts';
import {
  accountOf,
  appendedOf,
  damagePageOf,
  deviceOf,
  enrolmentOf,
  framesOf,
  packIdOf,
  reading,
  refusedAppend,
  toBase64,
  vaultOf,
} from './http-answers.ts';
import { type Answer, type ClientOptions, type Exchange, HttpClient } from './http-client.ts';
import { downloadPack } from './http-download.ts';
import { binaryOf, failureOf, problemOf } from './http-errors.ts';
import type { Pace } from './pacer.ts';
import type { Account, Damage, Device, Enrolment, RawFrame, Remote, RemoteVault } from './remote.ts';
import { PATIENCE, type Patience, retrying } from './retry.ts';

const JSON_LIMIT = 1024 * 1024;
const PAGE_LIMIT = 32 * 1024 * 1024;
const RECORD_LIMIT = 4 * 1024 * 1024 + 1024;
const PAGE = 500;
const KEEP_AT_ONCE = 1000;
const HEAL_BYTES = 8 * 1024 * 1024;

export interface HttpRemoteOptions extends Partial<ClientOptions> {
  readonly url: string;
  readonly patience?: Partial<Patience>;
  /** How fast packs may go out. */
  readonly pace?: Pace | undefined;
}

/**
 * The Remote seam over HTTP (SPEC 16). Binary bodies, JSON and errors are capped and parsed strictly. What a send needs
 * goes through HttpClient, the calls about the account through AccountClient.
 */
export class HttpRemote implements Remote {
  readonly #client: HttpClient;
  readonly #patience: Patience;
  readonly #pace: Pace | undefined;
  #account: Promise<AccountClient> | undefined;

  /** @throws AgentError `plain-http` */
  constructor(options: HttpRemoteOptions) {
    const { url, patience, pace, runId = randomBytes(8).toString('hex'), ...client } = options;
    this.#client = new HttpClient(url, { runId, ...client });
    this.#patience = { ...PATIENCE, ...patience };
    this.#pace = pace;
  }

  close(): void {
    this.#client.close();
  }

  /**
   * Enrols this computer with a single-use code; the one call without a token.
   * @throws AgentError `code-refused`
   */
  async enrol(code: string, name: string): Promise<Enrolment> {
    // tried once only: a code is spent by its first use, so a lost answer must not turn into "code refused" unexplained
    const client = await this.#accountClient();
    return reading(await client.call(json('POST', '/v1/devices', { code, name }), { once: true }), enrolmentOf);
  }

  async account(): Promise<Account> {
    const client = await this.#accountClient();
    return reading(await client.call(ACCOUNT), accountOf);
  }

  /** The account by the lean client: what every send asks first. */
  async leanAccount(): Promise<Account> {
    return reading(await this.#call(ACCOUNT), accountOf);
  }

  async seen(refs: readonly MandateRef[]): Promise<void> {
    await this.#call(json('POST', '/v1/seen', { mandateRefs: refs }));
  }

  async vault(): Promise<RemoteVault | undefined> {
    const answer = await this.#try({ method: 'GET', path: '/v1/vault', limit: JSON_LIMIT }, (refused) =>
      problemOf(refused).code === 'vault-none' ? 'accept' : undefined,
    );
    if (answer.status === 404) return undefined;
    return reading(answer, vaultOf);
  }

  async prove(signature: Uint8Array): Promise<void> {
    const client = await this.#accountClient();
    await client.call(json('POST', '/v1/devices/self/proof', { signature: toBase64(signature) }));
  }

  async putPack(id: PackId, body: Uint8Array, signal?: AbortSignal): Promise<'stored' | 'existed'> {
    const answer = await this.#call({
      method: 'PUT',
      path: `/v1/packs/${id}`,
      headers: BINARY,
      body,
      limit: JSON_LIMIT,
      signal,
      sent: () => crashPoint('pack-sent'),
      pace: this.#pace,
    });
    return answer.status === 201 ? 'stored' : 'existed';
  }

  getPack(id: PackId, into: (length: number) => Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    return downloadPack(this.#client, this.#patience, id, into, signal);
  }

  async hasPack(id: PackId): Promise<boolean> {
    const answer = await this.#try({ method: 'HEAD', path: `/v1/packs/${id}`, limit: JSON_LIMIT }, (refused) =>
      refused.status === 404 ? 'accept' : undefined,
    );
    return answer.status !== 404;
  }

  async keepPacks(ids: readonly PackId[]): Promise<PackId[]> {
    const missing: PackId[] = [];
    for (let at = 0; at < ids.length; at += KEEP_AT_ONCE) {
      const packIds = ids.slice(at, at + KEEP_AT_ONCE);
      const answer = await this.#call(json('POST', '/v1/packs/keep', { packIds }));
      missing.push(...reading(answer, (fields) => fields.list('missing', packIdOf)));
    }
    return missing;
  }

  async damage(): Promise<Damage> {
    const packs = new Set<PackId>();
    for (let last: PackId | undefined; ; ) {
      const path = `/v1/packs/damaged${last === undefined ? '' : `?after=${last}`}`;
      const page = reading(await this.#call({ method: 'GET', path, limit: JSON_LIMIT }), damagePageOf);
      const next = page.packs.at(-1);
      // a server that does not move on must not keep us here
      if (next === undefined || (last !== undefined && next <= last)) return { packs, lostRecords: page.lostRecords };
      for (const packId of page.packs) packs.add(packId);
      last = next;
    }
  }

  async append(request: Uint8Array): Promise<{ seq: number; receipt: Uint8Array }> {
    const exchange = { ...binary('POST', '/v1/journal', request), limit: JSON_LIMIT };
    const answer = await this.#try(exchange, refusedAppend);
    crashPoint('commit-sent');
    return reading(answer, appendedOf);
  }

  async *journal(after: number): AsyncIterable<RawFrame> {
    for (let from = after; ; ) {
      const path = `/v1/journal?after=${from}&limit=${PAGE}`;
      const answer = await this.#call({ method: 'GET', path, limit: PAGE_LIMIT });
      const frames = framesOf(binaryOf(answer));
      yield* frames;
      from += frames.length;
      const head = Number(answer.header('safe-head'));
      // the header only saves a last empty page: what counts is what the frames say
      if (frames.length === 0 || (Number.isSafeInteger(head) && from >= head)) return;
    }
  }

  async record(id: SnapshotId): Promise<Uint8Array> {
    return binaryOf(await this.#call({ method: 'GET', path: `/v1/records/${id}`, limit: RECORD_LIMIT }));
  }

  async heal(frames: Uint8Array): Promise<void> {
    if (frames.length > HEAL_BYTES) throw new AgentError('unexpected', 'too many heal frames at once');
    await this.#call({ ...binary('POST', '/v1/journal/heal', frames), limit: JSON_LIMIT });
  }

  async devices(): Promise<Device[]> {
    const client = await this.#accountClient();
    const answer = await client.call({ method: 'GET', path: '/v1/devices', limit: JSON_LIMIT });
    return reading(answer, (fields) => fields.list('devices', deviceOf));
  }

  /** Has a code mailed to the subscriber, which `elevate` takes. */
  async mailElevation(): Promise<void> {
    const client = await this.#accountClient();
    await client.call(json('POST', '/v1/elevations', {}), { once: true });
  }

  /**
   * Gives this computer the right to forget for some minutes.
   * @throws AgentError `code-refused`
   */
  async elevate(code: string): Promise<void> {
    const client = await this.#accountClient();
    try {
      // once: the code is spent by its first use
      await client.call(json('POST', '/v1/elevations', { code }), { once: true });
    } catch (error) {
      if (!(error instanceof AgentError) || error.kind !== 'code-refused') throw error;
      throw new AgentError('code-refused', error.message, { key: 'error.elevation-refused', details: error.details });
    }
  }

  /** Shuts a device out. @throws AgentError `elevation-required`, `not-found` */
  async revoke(deviceId: DeviceId): Promise<void> {
    const client = await this.#accountClient();
    await client.call({ method: 'DELETE', path: `/v1/devices/${deviceId}`, limit: JSON_LIMIT });
  }

  #accountClient(): Promise<AccountClient> {
    this.#account ??= import('./http-account.ts').then(
      (module) => new module.AccountClient(this.#client.target, this.#client.agent, this.#patience),
    );
    return this.#account;
  }

  #call(exchange: Exchange): Promise<Answer> {
    return this.#try(exchange, () => undefined);
  }

  /** Exchanges with patience; `refused` may accept a refusal as an answer or name its own error. */
  #try(exchange: Exchange, refused: (answer: Answer) => Error | 'accept' | undefined): Promise<Answer> {
    const { pace, body, signal } = exchange;
    const { totalMs } = this.#patience;
    // time that our own limit takes is no time in which the server failed us
    const patience =
      pace && body ? { ...this.#patience, totalMs: totalMs + pace.expectedMs(body.length) } : this.#patience;
    return retrying(() => this.#once(exchange, refused), patience, signal);
  }

  async #once(exchange: Exchange, refused: (answer: Answer) => Error | 'accept' | undefined): Promise<Answer> {
    const answer = await this.#client.exchange(exchange);
    if (answer.status >= 200 && answer.status < 300) return answer;
    const verdict = refused(answer);
    if (verdict === 'accept') return answer;
    throw verdict ?? failureOf(answer);
  }
}

const ACCOUNT: Exchange = { method: 'GET', path: '/v1/account', limit: JSON_LIMIT };
const BINARY = { 'content-type': 'application/octet-stream' };

function json(method: 'POST', path: string, value: unknown): Exchange {
  const body = Buffer.from(JSON.stringify(value), 'utf8');
  return { method, path, headers: { 'content-type': 'application/json' }, body, limit: JSON_LIMIT };
}

function binary(method: 'POST', path: string, body: Uint8Array): Exchange {
  return { method, path, headers: BINARY, body, limit: JSON_LIMIT };
}
