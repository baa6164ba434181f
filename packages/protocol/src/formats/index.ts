// The entry of the compute workers: what seals and opens, without zod, Argon2 and the HTTP schemas, which cost 0.1 s a thread.
export * from '../bytes/temporary.ts';
export { ProtocolError, type ProtocolErrorKind } from '../errors.ts';
export type { MandateRef, PackId, PackRef } from '../ids.ts';
export { MAX_PACK_BYTES } from '../public/limits.ts';
export * from './chunk.ts';
export * from './pack.ts';
export * from './segment.ts';
