import type { OpenProbe } from './probe.ts';

/** The probe of this platform; only its own file is loaded. */
export async function platformProbe(platform: NodeJS.Platform = process.platform): Promise<OpenProbe> {
  if (platform === 'linux') return new (await import('./linux-probe.ts')).LinuxProbe();
  if (platform === 'win32') return new (await import('./windows-probe.ts')).WindowsProbe();
  return new (await import('./lsof-probe.ts')).LsofProbe();
}
