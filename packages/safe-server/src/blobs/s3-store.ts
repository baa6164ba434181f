import { createHash, randomBytes } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { OperatorError, ServerError } from '../errors.ts';
import { checkObject } from './check.ts';
import { Intake } from './intake.ts';
import { type RetryTerms, withRetries } from './retry.ts';
import type { S3Place } from './s3-place.ts';
import { asServerError, isMissing, isTransient, statusOf, Turns, WrongAnswer } from './s3-wire.ts';
import { type BlobFacts, type BlobRead, type BlobStore, type ByteRange, checkKey, checkPrefix } from './store.ts';

/** What `get` fetches at once: small objects take one request, and large ones tell their length with it. */
const FIRST = 256 * 1024;

const IDLE_MS = 4000;

/** Who asks; undefined: as the SDK finds out (environment, profile, role). */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Limits, with defaults that fit a store near by. */
export interface S3Options {
  readonly credentials?: S3Credentials | undefined;
  /** How long the store may take to connect, ms. */
  readonly connectMs?: number;
  /** How long it may take for each step: to take a piece, to send one, to answer, ms. */
  readonly stepMs?: number;
  readonly retry?: RetryTerms;
  /** Whether creating only what does not exist is left to the store; undefined: it is asked by trying. */
  readonly conditional?: boolean;
  /** Keys in one page of a list. */
  readonly pageSize?: number;
}

const RETRY: RetryTerms = { attempts: 6, deadlineMs: 20_000, baseMs: 100, maxMs: 3000 };

/** The SDK would write to standard error; what fails is told by errors. */
const SILENT = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };

type Sdk = typeof import('@aws-sdk/client-s3');

/**
 * The bucket in an S3 store. Each object is one PUT with our SHA-256 in its signature, which the store checks; the
 * largest is a pack of 17 MiB, so multipart uploads are never needed. Creating only what does not exist is the store's
 * `If-None-Match: *` where it honours that; elsewhere two writers of one key may both write, and only the database's
 * unique rows see to it that they write the same.
 */
export class S3Store implements BlobStore {
  readonly #sdk: Sdk;
  readonly #client: S3Client;
  readonly #place: S3Place;
  readonly #stepMs: number;
  readonly #retry: RetryTerms;
  readonly #pageSize: number;
  #conditional: Promise<boolean> | undefined;

  private constructor(sdk: Sdk, client: S3Client, place: S3Place, options: S3Options) {
    this.#sdk = sdk;
    this.#client = client;
    this.#place = place;
    this.#stepMs = options.stepMs ?? 30_000;
    this.#retry = options.retry ?? RETRY;
    this.#pageSize = options.pageSize ?? 1000;
    if (options.conditional !== undefined) this.#conditional = Promise.resolve(options.conditional);
  }

  /** Loads the SDK, which only servers on S3 pay for, and looks whether the bucket answers. @throws OperatorError `store.unreachable` */
  static async open(place: S3Place, options: S3Options = {}): Promise<S3Store> {
    const sdk = await import('@aws-sdk/client-s3');
    const { NodeHttpHandler } = await import('@smithy/node-http-handler');
    // an idle connection is closed before the store does it: a stream sent on a dead one could not be sent again
    const agent = { keepAlive: true, maxSockets: 512, timeout: IDLE_MS };
    const client = new sdk.S3Client({
      region: place.region,
      ...(place.endpoint !== undefined && { endpoint: place.endpoint, forcePathStyle: true }),
      ...(options.credentials && { credentials: { ...options.credentials } }), // a copy: the SDK writes into it
      logger: SILENT,
      maxAttempts: 1, // ours are the retries: they know which bodies can be sent again
      // checksums of the SDK's own choice make it send streams in a form that not every store takes
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: new NodeHttpHandler({
        connectionTimeout: options.connectMs ?? 5000,
        httpAgent: new HttpAgent(agent),
        httpsAgent: new HttpsAgent(agent),
      }),
    });
    const store = new S3Store(sdk, client, place, options);
    try {
      await store.#page('probe/', undefined);
    } catch (cause) {
      store.close();
      const reason = (cause instanceof Error && cause.cause instanceof Error ? cause.cause : (cause as Error)).message;
      throw new OperatorError('store.unreachable', { bucket: place.bucket, reason }, 1, { cause });
    }
    return store;
  }

  /** Ends every connection. */
  close(): void {
    this.#client.destroy();
  }

  /** Whether the store refuses to overwrite when asked to (`If-None-Match: *`); found out by trying, once. */
  isConditional(): Promise<boolean> {
    this.#conditional ??= this.#probe().catch((error: unknown) => {
      this.#conditional = undefined;
      throw error;
    });
    return this.#conditional;
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    facts: BlobFacts,
  ): Promise<'created' | 'exists'> {
    checkKey(key);
    const conditional = await this.isConditional();
    if (body instanceof Uint8Array) return await this.#putBytes(key, body, facts, conditional);
    const intake = new Intake(body, facts);
    try {
      return await this.#putStream(key, intake, facts, conditional);
    } finally {
      await intake.close();
    }
  }

  async get(key: string, range?: ByteRange): Promise<BlobRead | undefined> {
    checkKey(key);
    const start = range?.start ?? 0;
    const wanted = range?.end ?? Number.POSITIVE_INFINITY;
    const first = await this.#try(() => this.#fetchFirst(key, start, Math.min(wanted, start + FIRST - 1)));
    if (first === undefined) return undefined;
    const end = Math.min(wanted, first.total - 1);
    return { length: first.total, body: this.#read(key, first, { start, end }) };
  }

  async stat(key: string): Promise<{ readonly length: number } | undefined> {
    checkKey(key);
    return await this.#try(async () => {
      const command = new this.#sdk.HeadObjectCommand(this.#of(key));
      const found = await this.#send(command).catch(ignoreMissing);
      if (found === undefined) return undefined;
      if (found.ContentLength === undefined) throw new WrongAnswer('no length');
      return { length: found.ContentLength };
    });
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    await this.#try(() => this.#send(new this.#sdk.DeleteObjectCommand(this.#of(key))).catch(ignoreMissing));
  }

  async *list(prefix: string): AsyncIterable<string> {
    checkPrefix(prefix);
    let token: string | undefined;
    do {
      const page = await this.#page(prefix, token);
      yield* page.keys;
      token = page.next;
    } while (token !== undefined);
  }

  async #page(prefix: string, token: string | undefined): Promise<{ keys: string[]; next: string | undefined }> {
    const from = this.#keyOf(prefix);
    const page = await this.#try(async () => {
      const command = new this.#sdk.ListObjectsV2Command({
        Bucket: this.#place.bucket,
        Prefix: from,
        MaxKeys: this.#pageSize,
        ContinuationToken: token,
      });
      const answer = await this.#send(command);
      if (answer.KeyCount === undefined && answer.Name === undefined) throw new WrongAnswer('this is no list');
      return answer;
    });
    const keys = (page.Contents ?? []).flatMap(({ Key }) =>
      Key?.startsWith(from) ? [prefix + Key.slice(from.length)] : [],
    );
    return { keys, next: page.IsTruncated ? page.NextContinuationToken : undefined };
  }

  #putBytes(key: string, bytes: Uint8Array, facts: BlobFacts, conditional: boolean): Promise<'created' | 'exists'> {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    if (bytes.length !== facts.length || sha256 !== facts.sha256) throw new ServerError('hash-mismatch');
    return this.#try(async (attempt) => {
      if (!conditional && (await this.stat(key)) !== undefined) return this.#found(key, facts, attempt > 1);
      const turns = new Turns(this.#stepMs);
      turns.theirs();
      try {
        await this.#sendPut(key, Buffer.from(bytes), { facts, conditional, signal: turns.signal });
        turns.ours();
        return 'created';
      } catch (error) {
        turns.end();
        if (statusOf(error) === 412) return await this.#found(key, facts, attempt > 1);
        throw error;
      }
    });
  }

  /** An object is there. Was it an earlier attempt of ours, whose answer was lost, then it was created (F-29). */
  async #found(key: string, facts: BlobFacts, mayBeOurs: boolean): Promise<'created' | 'exists'> {
    return mayBeOurs && (await this.#isThere(key, facts)) ? 'created' : 'exists';
  }

  /**
   * A stream can be sent once, so a failure after its first byte is the sender's to repeat; only when all of it was
   * sent and no answer came is it looked up whether it arrived (F-29).
   */
  async #putStream(key: string, intake: Intake, facts: BlobFacts, conditional: boolean): Promise<'created' | 'exists'> {
    const isWorth = (error: unknown) => !intake.isTouched && isTransient(error);
    const send = async () => {
      if (!conditional && (await this.stat(key)) !== undefined) return await drained(intake);
      try {
        await this.#sendIntake(key, intake, facts, conditional);
        return 'created';
      } catch (error) {
        if (intake.failure !== undefined) throw intake.failure;
        if (statusOf(error) === 412) return await drained(intake);
        if (intake.isDone && isTransient(error) && (await this.#isThere(key, facts))) return 'created';
        throw error;
      }
    };
    try {
      return await withRetries(send, isWorth, this.#retry);
    } catch (error) {
      throw error === intake.failure ? error : asServerError(error);
    }
  }

  async #sendIntake(key: string, intake: Intake, facts: BlobFacts, conditional: boolean): Promise<void> {
    const turns = new Turns(this.#stepMs);
    const body = Readable.from(intake.pieces(turns), { objectMode: false, highWaterMark: 64 * 1024 });
    body.on('error', () => turns.end()); // the request must not wait for bytes that never come
    turns.theirs();
    try {
      await this.#sendPut(key, body, { facts, conditional, signal: turns.signal });
      turns.ours();
    } catch (error) {
      turns.end();
      throw error;
    } finally {
      body.destroy();
    }
  }

  async #sendPut(
    key: string,
    body: Buffer | Readable,
    { facts, conditional, signal }: { facts: BlobFacts; conditional: boolean; signal: AbortSignal },
  ): Promise<void> {
    const command = new this.#sdk.PutObjectCommand({
      ...this.#of(key),
      Body: body,
      ContentLength: facts.length,
      ContentType: 'application/octet-stream',
      ChecksumSHA256: Buffer.from(facts.sha256, 'hex').toString('base64'), // kept by stores that keep checksums
      ...(conditional && { IfNoneMatch: '*' }),
    });
    // signing takes this hash over what it would make of a stream (UNSIGNED-PAYLOAD), and the store checks it
    command.middlewareStack.add(
      (next) => (args) => {
        (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = facts.sha256;
        return next(args);
      },
      { step: 'build', name: 'ourSha256' },
    );
    command.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const { statusCode, headers } = result.response as { statusCode: number; headers: Record<string, string> };
        // an error in a body behind a 200
        if (statusCode === 200 && Number(headers['content-length'] ?? 0) > 0) throw new WrongAnswer('200 with a body');
        return result;
      },
      { step: 'deserialize', priority: 'low', name: 'noBody' },
    );
    const { ETag } = await this.#client.send(command, { abortSignal: signal });
    if (ETag === undefined) throw new WrongAnswer('no ETag');
  }

  /** Whether the object is there and is what it must be: read back and hashed, since lengths and ETags prove nothing. */
  async #isThere(key: string, facts: BlobFacts): Promise<boolean> {
    return (await checkObject(this, key, facts)) === 'whole';
  }

  async #fetchFirst(key: string, start: number, end: number): Promise<{ total: number; bytes: Buffer } | undefined> {
    try {
      const pieces: Uint8Array[] = [];
      const { total, body } = await this.#open(key, { start, end });
      for await (const piece of body) pieces.push(piece);
      const bytes = Buffer.concat(pieces);
      if (bytes.length !== Math.min(end, total - 1) - start + 1) throw new WrongAnswer('cut short');
      return { total, bytes };
    } catch (error) {
      if (isMissing(error)) return undefined;
      // an empty object has no range
      if (statusOf(error) === 416 && (await this.stat(key))?.length === 0) return { total: 0, bytes: Buffer.alloc(0) };
      throw error;
    }
  }

  /** What `get` promised. A connection that breaks is taken up again where it broke, so a restore need not notice. */
  async *#read(
    key: string,
    { total, bytes }: { total: number; bytes: Buffer },
    { start, end }: ByteRange,
  ): AsyncGenerator<Uint8Array> {
    if (bytes.length > 0) yield bytes;
    let at = start + bytes.length;
    for (let failures = 0; at <= end; ) {
      try {
        const rest = await this.#open(key, { start: at, end });
        if (rest.total !== total) throw new ServerError('stored-damaged', { detail: 'A stored object has changed' });
        for await (const piece of rest.body) {
          at += piece.length;
          if (at > end + 1) throw new WrongAnswer('more than was asked for');
          failures = 0;
          yield piece;
        }
        if (at <= end) throw new WrongAnswer('cut short');
      } catch (error) {
        failures += 1;
        if (isMissing(error)) throw new ServerError('stored-damaged', { detail: 'A stored object is gone' });
        if (failures >= this.#retry.attempts || !isTransient(error)) throw asServerError(error);
        await sleep(Math.random() * Math.min(this.#retry.maxMs, this.#retry.baseMs * 2 ** failures));
      }
    }
  }

  /** One ranged GET; its pieces come while the store keeps its turns. */
  async #open(key: string, { start, end }: ByteRange): Promise<{ total: number; body: AsyncGenerator<Uint8Array> }> {
    const turns = new Turns(this.#stepMs);
    turns.theirs();
    try {
      const command = new this.#sdk.GetObjectCommand({ ...this.#of(key), Range: `bytes=${start}-${end}` });
      const { Body, ContentRange } = await this.#client.send(command, { abortSignal: turns.signal });
      const [, from, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(ContentRange ?? '') ?? [];
      if (Number(from) !== start) throw new WrongAnswer('another range');
      return { total: Number(total), body: paced(Body as Readable, turns) };
    } catch (error) {
      turns.end();
      throw error;
    }
  }

  async #probe(): Promise<boolean> {
    const key = `probe/${randomBytes(8).toString('hex')}`;
    const [first, second] = [randomBytes(32), randomBytes(32)].map((bytes) => ({
      bytes,
      facts: { length: 32, sha256: createHash('sha256').update(bytes).digest('hex') },
    })) as [{ bytes: Buffer; facts: BlobFacts }, { bytes: Buffer; facts: BlobFacts }];
    try {
      await this.#putBytes(key, first.bytes, first.facts, true);
      const again = await this.#putBytes(key, second.bytes, second.facts, true);
      return again === 'exists' && (await this.#isThere(key, first.facts));
    } catch (error) {
      if (error instanceof ServerError && error.code === 'store-unavailable' && /\b501\b/.test(String(error.cause)))
        return false; // a store that says it does not know the header
      throw error;
    } finally {
      await this.delete(key);
    }
  }

  async #try<T>(work: (attempt: number) => Promise<T>): Promise<T> {
    try {
      return await withRetries(work, isTransient, this.#retry);
    } catch (error) {
      throw asServerError(error);
    }
  }

  /** Sends a command without a body, within one step. */
  readonly #send = (async (command: never) => {
    const turns = new Turns(this.#stepMs);
    turns.theirs();
    try {
      return await this.#client.send(command, { abortSignal: turns.signal });
    } finally {
      turns.ours();
    }
  }) as unknown as S3Client['send'];

  #of(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#place.bucket, Key: this.#keyOf(key) };
  }

  #keyOf(key: string): string {
    return this.#place.prefix === '' ? key : `${this.#place.prefix}/${key}`;
  }
}

async function drained(intake: Intake): Promise<'exists'> {
  await intake.drain();
  return 'exists';
}

/** The pieces of an answer; a store that stops sending is cut, a reader that stops closes the connection. */
async function* paced(body: Readable, turns: Turns): AsyncGenerator<Uint8Array> {
  turns.signal.addEventListener('abort', () => body.destroy(new WrongAnswer('the store is too slow')));
  body.on('error', () => undefined); // told by the loop; after it nobody listens
  let isWhole = false;
  try {
    for await (const piece of body) {
      turns.ours();
      yield piece as Buffer;
      turns.theirs();
    }
    isWhole = true;
  } finally {
    if (isWhole) turns.ours();
    else turns.end();
  }
}

function ignore(): void {}

function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}
