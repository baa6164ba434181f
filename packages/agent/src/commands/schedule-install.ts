import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { onDisk, removeDurable, writeDurable } from '../local/files.ts';
import { visible } from '../render/text.ts';
import type { Context } from './context.ts';

const NAME = 'cresus-safe-scheduled';

/**
 * Writes the systemd user units that start `run-scheduled` every few minutes, and asks systemd to take them up.
 * @returns the files written
 * @throws AgentError `usage` where there is no systemd, `permission`, `disk-full`
 */
export async function install(context: Context): Promise<string[]> {
  if (process.platform !== 'linux')
    throw new AgentError('usage', 'no systemd here', { key: 'error.schedule-install', hint: 'hint.schedule-install' });
  const folder = unitFolder(context);
  onDisk(folder, () => mkdirSync(folder, { recursive: true }));
  const files = Object.entries(units(context)).map(([extension, text]) => {
    const path = join(folder, `${NAME}.${extension}`);
    writeDurable(path, text, 0o644);
    return path;
  });
  if (!tellSystemd(context, 'enable', '--now', `${NAME}.timer`)) context.output.say(context.texts('schedule.enable'));
  return files;
}

/** Takes away what `install` wrote. @returns the files removed */
export async function uninstall(context: Context): Promise<string[]> {
  const folder = unitFolder(context);
  const files = ['service', 'timer'].map((extension) => join(folder, `${NAME}.${extension}`)).filter(existsSync);
  if (files.length === 0) return [];
  tellSystemd(context, 'disable', '--now', `${NAME}.timer`);
  for (const file of files) removeDurable(file);
  return files;
}

/** How to have the system start `run-scheduled`, on this kind of computer. */
export function howToStart({ texts }: Context): string[] {
  if (process.platform === 'win32')
    return [texts('schedule.start-windows'), `  schtasks /Create /XML ${NAME}.xml /TN "Cresus Safe scheduled"`];
  if (process.platform === 'darwin')
    return [texts('schedule.start-mac'), `  launchctl bootstrap gui/$UID ~/Library/LaunchAgents/${NAME}.plist`];
  return [texts('schedule.start-linux'), '  cresus-safe schedule set … --install'];
}

function unitFolder({ env }: Context): string {
  const config = env['XDG_CONFIG_HOME'];
  return join(config?.startsWith('/') ? config : join(env['HOME'] ?? homedir(), '.config'), 'systemd', 'user');
}

/** The units in infra/agent, with the paths of this installation. */
function units({ home, texts }: Context): Record<'service' | 'timer', string> {
  const program = [
    process.execPath,
    resolve(process.argv[1] ?? 'cresus-safe'),
    '--home',
    home.dir,
    '--lang',
    texts.language,
  ];
  return {
    service: `[Unit]
Description=Cresus Safe: scheduled backup
After=network-online.target

[Service]
Type=oneshot
ExecStart=${program.map(quoted).join(' ')} --quiet --no-progress run-scheduled
Nice=10
IOSchedulingClass=idle
UMask=0077
NoNewPrivileges=yes
`,
    timer: `[Unit]
Description=Cresus Safe: looks every five minutes whether a backup is due

[Timer]
OnStartupSec=2min
OnCalendar=*:0/5
RandomizedDelaySec=60
Persistent=true

[Install]
WantedBy=timers.target
`,
  };
}

/** As systemd.syntax(7) wants it: quotes and backslashes escaped, `%` and `$` doubled. */
function quoted(text: string): string {
  if (/[\n\r]/.test(text))
    throw new AgentError('usage', 'a path with a line break', { params: { reason: visible(text) } });
  return `"${text.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`;
}

/** Through the environment of the run, which says where the user's systemd listens. */
function tellSystemd({ env }: Context, ...args: string[]): boolean {
  const options = { stdio: 'ignore', timeout: 20_000, env } as const;
  if (spawnSync('systemctl', ['--user', 'daemon-reload'], options).status !== 0) return false;
  return spawnSync('systemctl', ['--user', ...args], options).status === 0;
}
