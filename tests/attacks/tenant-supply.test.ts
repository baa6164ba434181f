import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { repository, run } from '../support/process.ts';

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}

const read = <T>(...path: string[]): T => JSON.parse(readFileSync(join(repository, ...path), 'utf8')) as T;
const SHA512 = /^sha512-[A-Za-z0-9+/]{86}==$/;
const root = read<Manifest>('package.json');
const workspaces = readdirSync(join(repository, 'packages')).map((name) => `packages/${name}`);
const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

let packages: [path: string, locked: Locked][];

beforeAll(() => {
  const lock = read<{ lockfileVersion: number; packages: Record<string, Locked> }>('package-lock.json');
  expect(lock.lockfileVersion).toBe(3);
  packages = Object.entries(lock.packages).filter(([path]) => path.includes('node_modules/'));
  expect(packages.length).toBeGreaterThan(200);
});

describe('TN-56 what comes from registries', () => {
  it('TN-56 every package is locked to a SHA-512, and none to an address', () => {
    const loose = packages.filter(([, { link, integrity = '' }]) => !link && !SHA512.test(integrity));
    // scripts/complete-lockfile.mjs adds tools of other platforms without a hash where the registry has none: those, and
    // nothing that ships or runs here
    const harmless = loose.filter(
      ([path, { dev, optional, os, cpu }]) => dev && optional && (os ?? cpu) !== undefined && !isInstalled(path),
    );
    expect(loose.filter((each) => !harmless.includes(each))).toEqual([]);
    const addressed = packages.filter(([, { link, resolved }]) => !link && resolved !== undefined);
    expect(addressed).toEqual([]);
    const linked = packages.filter(([, { link }]) => link).map(([, { resolved }]) => resolved);
    expect(linked.toSorted()).toEqual(workspaces.toSorted());
  });

  it('TN-56 no name of ours can be taken over in a registry: all of them are workspaces, in the lockfile too', () => {
    const ours = packages.filter(([path]) => nameOf(path).startsWith('@cresus-safe/'));
    expect(ours.length).toBe(workspaces.length);
    expect(ours.every(([, { link }]) => link === true)).toBe(true);
    const names = new Set(workspaces.map((path) => read<Manifest>(path, 'package.json').name));
    for (const path of ['.', ...workspaces])
      for (const list of ['dependencies', 'devDependencies', 'optionalDependencies'] as const)
        for (const [name, range] of Object.entries(read<Manifest>(path, 'package.json')[list] ?? {})) {
          if (name.startsWith('@cresus-safe/')) expect([name, names.has(name)]).toEqual([name, true]);
          else expect([path, name, /^\d+\.\d+\.\d+(-[\w.]+)?$/.test(range)]).toEqual([path, name, true]); // exact: no drift
        }
  });

  it('TN-56 install scripts run for those who are named only, and every one that has some is judged by name', () => {
    expect(readFileSync(join(repository, '.npmrc'), 'utf8')).toMatch(/^strict-allow-scripts=true$/m);
    const allowed = root.allowScripts ?? {};
    const scripted = new Set(
      packages.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => nameOf(path)),
    );
    expect(Object.keys(allowed).toSorted()).toEqual([...scripted].toSorted());
    const running = Object.keys(allowed).filter((name) => allowed[name]);
    expect(running.toSorted()).toEqual(['argon2', 'sqlite3']); // whoever adds one says why in docs/dependencies.md
    for (const name of running) expect(readFileSync(join(repository, 'docs/dependencies.md'), 'utf8')).toContain(name);
  });

  it('TN-56 what is installed with a script is what the lockfile says has one', () => {
    for (const [path, locked] of packages) {
      if (locked.link || !isInstalled(path)) continue;
      const { scripts = {}, version } = read<Manifest>(path, 'package.json');
      expect([path, version]).toEqual([path, locked.version]);
      if (['preinstall', 'install', 'postinstall'].some((name) => name in scripts))
        expect([path, locked.hasInstallScript]).toEqual([path, true]);
    }
  });

  it('TN-56 npm finds the tree whole, and a bill of materials names every package that ships', async () => {
    const npm = (...args: string[]) =>
      run(['npm', ...args], { timeoutMs: 100_000, env: { npm_config_offline: 'true' } });
    const listed = await npm('ls', '--all', '--package-lock-only', '--json');
    const { problems } = JSON.parse(listed.stdout) as { problems?: string[] };
    expect([listed.code, problems]).toEqual([0, undefined]);
    const sbom = await npm('sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--package-lock-only');
    expect(sbom.code).toBe(0);
    const { components } = JSON.parse(sbom.stdout) as { components: { name: string; hashes?: { alg: string }[] }[] };
    const named = new Set(components.map(({ name }) => name));
    for (const path of workspaces)
      for (const name of Object.keys(read<Manifest>(path, 'package.json').dependencies ?? {}))
        if (!name.startsWith('@cresus-safe/')) expect(named).toContain(name);
  }, 240_000);
});

function isInstalled(path: string): boolean {
  try {
    return readFileSync(join(repository, path, 'package.json')).length > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return false; // for another platform
  }
}
