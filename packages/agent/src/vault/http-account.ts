import type { Agent } from 'node:http';
import type { Agent as SecureAgent } from 'node:https';
import got, { type Got, HTTPError, RequestError, type Response } from 'got';
import type { Answer, Exchange } from './http-client.ts';
import { failureOf } from './http-errors.ts';
import { classified, headOf, tooLong } from './http-failure.ts';
import type { LaneTarget } from './http-lane.ts';
import { delayAfter, type Patience, settled } from './retry.ts';

const HEADER_BYTES = 16 * 1024;
/** More tries than patience ever lasts for: the deadline ends them, not a count. */
const MOST_TRIES = 100;

/**
 * The calls about the account (enrolment, account, computers, proof): small JSON, seldom made, none on the way of a
 * send. They go through got, which is loaded with the first of them: loading it would make a send with nothing
 * changed a quarter dearer (decision 0005). As HttpClient it follows no redirect, keeps no cookie, decompresses nothing and caps
 * heads and bodies while they come.
 */
export class AccountClient {
  readonly #got: Got;
  readonly #base: string;
  readonly #patience: Patience;

  /** @param agent the connections of this run; whoever made it closes it */
  constructor({ origin, headers, ca, stallMs }: LaneTarget, agent: Agent, patience: Patience) {
    this.#base = origin.origin + origin.pathname.replace(/\/$/, '');
    this.#patience = patience;
    this.#got = got.extend({
      headers,
      agent: origin.protocol === 'https:' ? { https: agent as SecureAgent } : { http: agent },
      ...(ca === undefined ? {} : { https: { certificateAuthority: ca } }),
      followRedirect: false,
      decompress: false,
      maxHeaderSize: HEADER_BYTES,
      responseType: 'buffer',
      // answers here are a few KiB, so a total limit is fair; it also ends a drip that keeps the socket busy (MS-28)
      timeout: { connect: stallMs, secureConnect: stallMs, socket: stallMs, request: 2 * stallMs },
    });
  }

  /**
   * One call, tried again with patience unless `once`.
   * @throws AgentError by the table of http-errors.ts, `tls`, `integrity` beyond the caps, `unreachable`
   */
  async call(exchange: Exchange, { once = false } = {}): Promise<Answer> {
    const { method, path, headers = {}, body, limit } = exchange;
    const started = this.#patience.now();
    const overflow = new AbortController();
    const request = this.#got(this.#base + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      signal: overflow.signal,
      retry: {
        limit: once ? 0 : MOST_TRIES,
        methods: [method],
        // got's table of codes knows neither our deadline nor which 503 is final: one policy judges for both clients
        enforceRetryRules: false,
        calculateDelay: ({ attemptCount, error, retryOptions }) => {
          if (overflow.signal.aborted || attemptCount > retryOptions.limit) return 0;
          return delayAfter(meaning(error), attemptCount, this.#patience.now() - started, this.#patience) ?? 0;
        },
      },
    });
    // told of the declared length first, then of every piece: what is too long is never gathered (MS-31)
    void request.on('downloadProgress', ({ transferred, total = 0 }) => {
      if (Math.max(transferred, total) > limit) overflow.abort();
    });
    const answer = await request.then(answerOf, (error: unknown) => {
      throw overflow.signal.aborted ? tooLong(limit) : settled(meaning(error));
    });
    // a redirect that is not followed is no error to got
    if (answer.status < 200 || answer.status >= 300) throw failureOf(answer);
    return answer;
  }
}

/** got's errors as those of the lean client; nothing of theirs is kept, for they carry the request with its token. */
function meaning(error: unknown): unknown {
  if (error instanceof HTTPError) return failureOf(answerOf(error.response));
  if (!(error instanceof RequestError)) return error;
  const { code, message, timings } = error;
  return classified({ code, message }, timings?.connect !== undefined);
}

function answerOf({ statusCode, headers, rawBody }: Pick<Response, 'statusCode' | 'headers' | 'rawBody'>): Answer {
  return { ...headOf(statusCode, headers), body: Buffer.from(rawBody.buffer, rawBody.byteOffset, rawBody.length) };
}
