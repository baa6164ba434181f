import { createSecretKey, type KeyObject } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { ProtocolError } from '@cresus-safe/protocol/formats';
import { Arena } from './arena.ts';
import { runBlock } from './block-job.ts';
import { createCut } from './cdc.ts';
import { runFinish } from './finish-job.ts';
import type { Job, JobResults } from './jobs.ts';
import type { Answer, Task } from './messages.ts';
import { runHash, runHashFile, runSeal, runUnpack } from './pack-jobs.ts';
import type { WasmMemory } from './wasm.ts';

// A worker keeps nothing between jobs but the chunk-id key of the mandate at hand.
const memory = workerData as WasmMemory;
const arena = new Arena(memory);
const cut = createCut(memory);
let chunkIdKey: KeyObject | undefined;

function run(job: Job): JobResults[Job['type']] {
  switch (job.type) {
    case 'block':
      if (!chunkIdKey) throw new Error('a block job before any key');
      runBlock(arena, cut, chunkIdKey, job);
      return undefined;
    case 'seal':
      return runSeal(arena, job);
    case 'hash':
      return runHash(arena, job);
    case 'unpack':
      return runUnpack(arena, chunkIdKey, job);
    case 'hashFile':
      return runHashFile(job);
    case 'finish':
      return runFinish(job);
  }
}

function answer({ id, job }: Extract<Task, { job: Job }>): Answer {
  try {
    return { id, result: run(job) };
  } catch (error) {
    const kind = error instanceof ProtocolError ? error.kind : undefined;
    const code = (error as NodeJS.ErrnoException).code;
    return { id, failure: { message: String((error as Error).message), kind, code } };
  }
}

parentPort?.on('message', (task: Task) => {
  if ('chunkIdKey' in task) chunkIdKey = createSecretKey(task.chunkIdKey);
  else parentPort?.postMessage(answer(task));
});
