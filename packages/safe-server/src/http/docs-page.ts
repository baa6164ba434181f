/** The page's whole style; its hash is in the policy. */
const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h2 { font-size: 1.1rem; font-weight: 600; }
h2 code { background: var(--soft); padding: .15rem .4rem; border-radius: .25rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td { border-top: 1px solid var(--line); padding: .3rem .6rem .3rem 0; vertical-align: top; }
td:first-child { width: 9rem; font-family: ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; font-size: .85rem; border-radius: .25rem; }
`;

interface Operation {
  readonly summary?: string;
  readonly security?: readonly unknown[];
  readonly requestBody?: { readonly description?: string; readonly content?: Readonly<Record<string, unknown>> };
  readonly responses?: Readonly<Record<string, { readonly description?: string }>>;
}

interface Document {
  readonly info?: { readonly title?: string; readonly description?: string };
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> };
}

/** Renders an OpenAPI document as one page without scripts, and its style apart so that a policy can name its hash. */
export function renderDocs(document: object): { html: string; style: string } {
  const { info, paths = {}, components } = document as Document;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => renderOperation(method, path, operation)),
  );
  const schemas = Object.entries(components?.schemas ?? {}).map(
    ([name, schema]) => `<section id="${text(name)}"><h2>${text(name)}</h2>${json(schema)}</section>`,
  );
  const title = text(info?.title ?? '');
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width"><style>${STYLE}</style></head><body>
<h1>${title}</h1><p>${text(info?.description ?? '')}</p><p><a href="/v1/openapi.json">openapi.json</a></p>
${operations.join('\n')}\n<h1>Messages</h1>\n${schemas.join('\n')}</body></html>\n`;
  return { html, style: STYLE };
}

function renderOperation(method: string, path: string, operation: Operation): string {
  const body = Object.entries(operation.requestBody?.content ?? {}).map(
    ([type, content]) =>
      `<p>Body: ${text(type)} ${text(operation.requestBody?.description ?? '')}</p>${shape(content)}`,
  );
  const rows = Object.entries(operation.responses ?? {}).map(
    ([status, { description }]) => `<tr><td>${text(status)}</td><td>${text(description ?? '')}</td></tr>`,
  );
  const open = operation.security?.length === 0 ? '<p>No token needed.</p>' : '';
  return `<section><h2><code>${text(method.toUpperCase())} ${text(path)}</code> ${text(operation.summary ?? '')}</h2>
${open}${body.join('')}<table>${rows.join('')}</table></section>`;
}

function shape(content: unknown): string {
  const schema = (content as { schema?: { $ref?: string } }).schema;
  if (schema === undefined) return '';
  const name = schema.$ref?.split('/').at(-1);
  return name === undefined ? json(schema) : `<p><a href="#${text(name)}">${text(name)}</a></p>`;
}

function json(value: unknown): string {
  return `<pre>${text(JSON.stringify(value, null, 2))}</pre>`;
}

function text(value: string): string {
  return value.replace(/[&<>"]/g, (character) => `&#${character.codePointAt(0)};`);
}
