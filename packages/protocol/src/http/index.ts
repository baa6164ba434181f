export * from './fields.ts';
export * from './problems.ts';
export * from './requests.ts';
export * from './responses.ts';
export * from './routes.ts';
