import { MemoryStore } from './memory-store.ts';
import { describeBlobStore } from './store.contract.ts';

describeBlobStore('memory', async () => new MemoryStore());
