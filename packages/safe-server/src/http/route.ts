import type { ProblemCode } from '@cresus-safe/protocol/http';
import type { Request, Response } from 'express';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { ServerError } from '../errors.ts';

/** Rights of a device token. `forget` is only ever granted for minutes, by an elevation. */
export type Right = 'read' | 'append' | 'forget';

/** Who makes an authenticated request; from the database, looked up for every request, so revoking works at once. */
export interface Device {
  readonly deviceId: string;
  readonly subscriberNumber: string;
  /** The subscriber's vault, null until one exists. */
  readonly vaultId: string | null;
  readonly state: 'pending' | 'active';
  readonly rights: ReadonlySet<Right>;
}

/** `public`: no token. `device`: any known device, a pending one too. A right: an active device that has it. */
export type Access = 'public' | 'device' | Right;

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';

/** A body that the handler reads piece by piece; the pieces stop with `too-large` or `timeout` thrown. */
export interface UploadBody {
  /** Content-Length, already checked against the route's `maxBytes`; undefined for a chunked body. */
  readonly length: number | undefined;
  readonly chunks: AsyncIterable<Buffer>;
}

/** What a route accepts as body: checked JSON, bytes gathered up to a limit, or a stream. Made by the functions below. */
export type BodySpec<B> =
  | { readonly kind: 'json'; readonly schema: z.ZodType<B>; readonly maxBytes?: number }
  | { readonly kind: 'binary' | 'stream'; readonly maxBytes: number; readonly description: string; readonly gives?: B };

/** A small binary body, handed over whole. */
export function binaryBody(maxBytes: number, description: string): BodySpec<Buffer> {
  return { kind: 'binary', maxBytes, description };
}

/** A large binary body, handed over piece by piece. */
export function streamBody(maxBytes: number, description: string): BodySpec<UploadBody> {
  return { kind: 'stream', maxBytes, description };
}

/** One possible answer, for OpenAPI. */
export interface AnswerSpec {
  readonly description: string;
  readonly json?: z.ZodType;
  readonly binary?: boolean;
  readonly html?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a handler returns. A stream has `length` bytes in all; it is cut short when the client stops reading. */
export type Reply = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
} & (
  | { readonly json: unknown }
  | { readonly bytes: Uint8Array; readonly type?: string }
  | { readonly stream: AsyncIterable<Uint8Array>; readonly length: number }
  | { readonly empty: true }
);

/** Everything a handler may need from its request, already validated. */
export interface Call<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly device: Device;
  readonly requestId: string;
  /** The agent's `x-safe-run`: one id for everything a single command does. */
  readonly run: string | undefined;
  /** The client's address as `trust proxy` says. */
  readonly ip: string;
  readonly log: Logger;
  readonly req: Request;
  readonly res: Response;
}

export type PublicCall<P, Q, B> = Omit<Call<P, Q, B>, 'device'>;

interface RouteFacts<P, Q, B> {
  readonly method: Method;
  /** Express syntax: `/v1/packs/:id`. Every parameter has a schema in `params`. */
  readonly path: string;
  /** Unique; the operationId of OpenAPI. */
  readonly id: string;
  readonly summary: string;
  readonly params?: z.ZodType<P>;
  readonly query?: z.ZodType<Q>;
  readonly body?: BodySpec<B>;
  readonly answers: Readonly<Record<number, AnswerSpec>>;
  /** Codes this route adds to those that every route can answer. */
  readonly errors?: readonly ProblemCode[];
  /** Counts against the caps of concurrent transfers per device and per process. */
  readonly transfer?: boolean;
  /** Data access that the audit log names so: one row per device, operation and run. */
  readonly audit?: string;
}

/** A route as the application mounts it: a plain value, so that OpenAPI and the tests can walk all of them. */
export interface Route extends RouteFacts<unknown, unknown, unknown> {
  readonly access: Access;
  handle(call: PublicCall<unknown, unknown, unknown> & { readonly device: Device | undefined }): Promise<Reply>;
}

/** A route that needs a device token. */
export function deviceRoute<P = undefined, Q = undefined, B = undefined>(
  spec: RouteFacts<P, Q, B> & {
    readonly access: Exclude<Access, 'public'>;
    handle(call: Call<P, Q, B>): Promise<Reply>;
  },
): Route {
  return {
    ...spec,
    handle: (call) => {
      if (call.device === undefined) throw new ServerError('unauthorized');
      // sound: http/dispatch.ts parsed params, query and body with the schemas that P, Q and B come from
      return spec.handle({ ...(call as PublicCall<P, Q, B>), device: call.device });
    },
  };
}

/** A route that anybody may call. */
export function publicRoute<P = undefined, Q = undefined, B = undefined>(
  spec: RouteFacts<P, Q, B> & { handle(call: PublicCall<P, Q, B>): Promise<Reply> },
): Route {
  return { ...spec, access: 'public', handle: (call) => spec.handle(call as PublicCall<P, Q, B>) };
}
