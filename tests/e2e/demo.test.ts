import { describe, expect, it } from '@jest/globals';
import { repository, run } from '../support/process.ts';

const demo = `${repository}/scripts/demo.mjs`;

describe('the demonstration', () => {
  it.each([
    ['fr', 'Tout est en ordre', 'Remarqué (code de sortie 10)'],
    ['en', 'Everything is in order', 'Noticed (exit code 10)'],
  ])('runs to its end in %s, within 100 columns', async (lang, end, caught) => {
    const finished = await run([process.execPath, demo, '--lang', lang, '--scale', '0.02']);
    // what it printed says which step was off
    expect({ ...finished, stdout: finished.code === 0 ? '' : finished.stdout }).toMatchObject({
      code: 0,
      stderr: '',
      stdout: '',
    });
    expect(finished.stdout).toContain(end);
    expect(finished.stdout).toContain(caught);
    expect(finished.stdout).not.toContain('undefined');
    const longest = Math.max(...finished.stdout.split('\n').map((line) => line.length));
    expect(longest).toBeLessThanOrEqual(100);
  });

  it('says how it is called when it does not understand', async () => {
    expect(await run([process.execPath, demo, '--lang', 'xx'])).toMatchObject({ code: 2, stdout: '' });
  });
});
