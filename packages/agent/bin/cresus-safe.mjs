#!/usr/bin/env node
import { statSync } from 'node:fs';
import { launch } from '@cresus-safe/launcher';

const at = (path) => new URL(`../${path}`, import.meta.url);

/** When the file was written, 0 when it is not there. */
function writtenAt(path) {
  try {
    return statSync(at(path)).mtimeMs;
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    return 0;
  }
}

// `npm run build` makes both; after a compilation alone the bundle is out of date. Installed from a package, there are no
// build notes, and the bundle is all there is.
const bundle = 'dist/bundle/lib/node/main.js';
const compiled = Math.max(writtenAt('tsconfig.tsbuildinfo'), writtenAt('../protocol/tsconfig.tsbuildinfo'));
const isFresh = writtenAt(bundle) > compiled;

launch('cresus-safe', at(isFresh ? bundle : 'dist/main.js'));
