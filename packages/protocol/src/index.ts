export * from './crypto/argon2.ts';
export * from './formats/catalog.ts';
export * from './formats/catalog-node.ts';
export * from './formats/chunk.ts';
export * from './formats/pack.ts';
export * from './formats/record.ts';
export * from './formats/record-plain.ts';
export * from './formats/segment.ts';
export * from './formats/summary.ts';
// the schemas of http/ stay out: their library is slow to load, and the agent checks answers without it
export * from './http/routes.ts';
export * from './keys/kdf.ts';
export * from './keys/kit.ts';
export * from './keys/secret.ts';
export * from './keys/slot.ts';
export * from './keys/unlock.ts';
export * from './keys/vault-keys.ts';
export * from './public/index.ts';
