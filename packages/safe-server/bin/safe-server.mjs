#!/usr/bin/env node
import { launch } from '@cresus-safe/launcher';

launch('safe-server', new URL('../dist/main.js', import.meta.url));
