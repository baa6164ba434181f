import { ask } from './protocol-client.ts';

/** One operation of the server's own OpenAPI document, which is made from the list of routes that it serves. */
export interface Operation {
  /** Upper case. */
  readonly method: string;
  /** With `{name}` for what varies. */
  readonly path: string;
  readonly id: string;
  readonly pathParameters: readonly string[];
  readonly needsToken: boolean;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { operationId: string; security: unknown[] }>>>>;
}

/** Every operation that the server says it has. */
export async function operationsOf(url: string): Promise<Operation[]> {
  const { paths } = (await ask(`${url}/v1/openapi.json`)).json as unknown as Document;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, security }]) => ({
      method: method.toUpperCase(),
      path,
      id: operationId,
      pathParameters: Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => String(name)),
      needsToken: security.length > 0,
    })),
  );
}

/** A path with its parameters filled in. */
export function fill(path: string, value: string | ((parameter: string) => string)): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => (typeof value === 'string' ? value : value(name)));
}
