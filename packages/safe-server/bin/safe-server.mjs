#!/usr/bin/env node
import { launch } from '@cresus-safe/launcher';

// SQLite (which waits for its locks there), files and hashing share libuv's threads; four of them make uploads wait for
// each other. libuv reads this when the first thread is needed, so it is early enough here.
if (process.env.UV_THREADPOOL_SIZE === undefined) process.env.UV_THREADPOOL_SIZE = '8';

launch('safe-server', new URL('../dist/main.js', import.meta.url));
