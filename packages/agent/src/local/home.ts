import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { ensureFolder } from './files.ts';

/** Where everything of this agent lies (the `--home` folder). Paths are absolute; nothing is read or made by having them. */
export interface Home {
  readonly dir: string;
  readonly config: string;
  readonly token: string;
  readonly rootKey: string;
  readonly mandates: string;
  readonly state: string;
  readonly lock: string;
  readonly vault: string;
  /** The store of the automatic points. */
  readonly points: string;
}

/** The paths of a home folder. */
export function homeAt(dir: string): Home {
  const root = resolve(dir);
  return {
    dir: root,
    config: join(root, 'config.json'),
    token: join(root, 'token'),
    rootKey: join(root, 'root.key'),
    mandates: join(root, 'mandates.json'),
    state: join(root, 'state.json'),
    lock: join(root, 'lock'),
    vault: join(root, 'vault'),
    points: join(root, 'points'),
  };
}

/** The home folder asked for: `--home`, then `CRESUS_SAFE_HOME`, then the data folder of the platform. */
export function chooseHome(
  flag: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  user: string = homedir(),
): Home {
  return homeAt(flag || env['CRESUS_SAFE_HOME'] || join(dataFolder(env, platform, user), 'cresus-safe'));
}

function dataFolder(env: NodeJS.ProcessEnv, platform: NodeJS.Platform, user: string): string {
  if (platform === 'win32') return env['LOCALAPPDATA'] || join(user, 'AppData', 'Local');
  if (platform === 'darwin') return join(user, 'Library', 'Application Support');
  const xdg = env['XDG_DATA_HOME'];
  // the XDG specification says that a relative path is invalid and must be ignored
  return xdg?.startsWith('/') ? xdg : join(user, '.local', 'share');
}

/** Makes the folders of a home. */
export function prepareHome(home: Home): void {
  ensureFolder(home.dir);
  ensureFolder(home.vault);
}
