export * from './crypto/argon2.ts';
export * from './formats/catalog.ts';
export * from './formats/catalog-node.ts';
export * from './formats/chunk.ts';
export * from './formats/pack.ts';
export * from './formats/segment.ts';
export * from './http/index.ts';
export * from './public/index.ts';
