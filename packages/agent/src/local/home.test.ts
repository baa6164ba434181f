import { expect, test } from '@jest/globals';
import { chooseHome, homeAt } from './home.ts';

const user = '/users/anna';

test.each<[string, string | undefined, NodeJS.ProcessEnv, NodeJS.Platform, string]>([
  ['the flag', '/flag', { CRESUS_SAFE_HOME: '/env' }, 'linux', '/flag'],
  ['the environment', undefined, { CRESUS_SAFE_HOME: '/env' }, 'linux', '/env'],
  ['XDG', undefined, { XDG_DATA_HOME: '/xdg' }, 'linux', '/xdg/cresus-safe'],
  ['no relative XDG', undefined, { XDG_DATA_HOME: 'xdg' }, 'linux', '/users/anna/.local/share/cresus-safe'],
  ['Linux', undefined, {}, 'linux', '/users/anna/.local/share/cresus-safe'],
  ['macOS', undefined, {}, 'darwin', '/users/anna/Library/Application Support/cresus-safe'],
  [
    'Windows',
    undefined,
    { LOCALAPPDATA: '/users/anna/AppData/Local' },
    'win32',
    '/users/anna/AppData/Local/cresus-safe',
  ],
])('the home folder follows %s', (_, flag, env, platform, dir) => {
  expect(chooseHome(flag, env, platform, user).dir).toBe(dir);
});

test('a relative home is taken from the current folder', () => {
  expect(homeAt('x').config).toBe(`${process.cwd()}/x/config.json`);
});
