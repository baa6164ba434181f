// Compiles the agent's WebAssembly. The bytes are committed, so that building needs no compiler; a test compares them.
import { readFile, writeFile } from 'node:fs/promises';
import wabt from 'wabt';

const folder = new URL('../packages/agent/src/compute/', import.meta.url);

/** The module's bytes, compiled from its text. */
export async function compileCdc() {
  const text = await readFile(new URL('cdc.wat', folder), 'utf8');
  const { parseWat } = await wabt();
  const parsed = parseWat('cdc.wat', text, { threads: true });
  const { buffer } = parsed.toBinary({ log: false });
  parsed.destroy();
  return buffer;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const base64 = Buffer.from(await compileCdc()).toString('base64');
  const lines = base64.match(/.{1,112}/g).map((line) => `  '${line}',`);
  const code = `// Compiled from cdc.wat by \`npm run wasm\`; never edited by hand.\nexport const CDC_WASM = [\n${lines.join('\n')}\n].join('');\n`;
  await writeFile(new URL('cdc-bytes.ts', folder), code);
}
