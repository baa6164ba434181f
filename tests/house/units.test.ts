import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { repository } from '../support/process.ts';

const folder = join(repository, 'infra/agent');

/** What a unit, a task or a property list runs: the arguments after `cresus-safe`; undefined when it runs nothing itself. */
function commandOf(name: string): string[] | undefined {
  const text = readFileSync(join(folder, name), 'utf8').replace(/<!--[\s\S]*?-->|^\s*#.*$/gm, '');
  const list = /<array>([\s\S]*?)<\/array>/.exec(text)?.[1];
  if (list !== undefined) {
    const words = [...list.matchAll(/<string>(.*?)<\/string>/g)].map(([, word = '']) => word);
    return words.slice(words.indexOf('cresus-safe') + 1);
  }
  return /(?:ExecStart=|<Arguments>).*?\bcresus-safe (.*?)(?:<|$)/m.exec(text)?.[1]?.trim().split(' ');
}

describe('what starts the agent by itself', () => {
  const files = readdirSync(folder).filter((name) => /\.(service|xml|plist)$/.test(name));

  it.each(['watch', 'scheduled'])('%s: for three systems, the same command, which the agent knows', async (job) => {
    const own = files.filter((name) => name.includes(job));
    expect(own.map((name) => name.split('.').at(-1)).sort()).toEqual(['plist', 'service', 'xml']);
    const commands = own.map(commandOf);
    expect(new Set(commands.map((command) => command?.join(' '))).size).toBe(1);
    const agent = new Agent(join(tmpdir(), 'cresus-safe-no-home'));
    const { code, stdout } = await agent.run([...(commands[0] ?? ['nothing']), '--help']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('--help') });
  });

  it('and a page that explains each', () => {
    const page = readFileSync(join(folder, 'README.md'), 'utf8');
    for (const name of files) expect(page).toContain(name.split('.').slice(0, -1).join('.'));
  });
});
