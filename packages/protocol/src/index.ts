export * from './crypto/argon2.ts';
export * from './http/index.ts';
export * from './public/index.ts';
