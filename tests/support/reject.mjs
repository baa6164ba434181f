// Preloaded into a program under test: something goes wrong outside of every promise that anybody waits for, TEST_REJECT
// (`rejection` or `exception`), as soon as the file TEST_REJECT_WHEN is there.
import { existsSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const timer = setInterval(() => {
    if (!existsSync(process.env.TEST_REJECT_WHEN)) return;
    clearInterval(timer);
    if (process.env.TEST_REJECT === 'exception') throw new Error('injected');
    void Promise.reject(new Error('injected'));
  }, 1);
  timer.unref();
}
