#!/usr/bin/env node
import { launch } from '@cresus-safe/launcher';

launch('cresus-safe', new URL('../dist/main.js', import.meta.url));
