import { startServer } from '../serve.ts';
import { isRingConfirmed, type System } from '../system.ts';
import { print, type Terminal } from './terminal.ts';

/** `serve`: runs until SIGTERM or SIGINT, then drains; a second signal ends at once. */
export async function serve(system: System, terminal: Terminal): Promise<void> {
  const { deps, ringIsNew } = system;
  const { t } = terminal;
  const file = deps.config.keysFile;
  process.on('unhandledRejection', (err) => deps.log.error({ err }, 'unhandled rejection'));
  process.on('uncaughtException', (err) => {
    deps.log.fatal({ err }, 'uncaught exception');
    process.exit(1); // what it left half done nobody knows: a supervisor starts anew, and every state survives that
  });
  const running = await startServer(system).catch(async (error: unknown) => {
    await system.close();
    throw error;
  });
  if (ringIsNew) terminal.err(`${t('keys.created', { file })}\n`);
  if (!(await isRingConfirmed(deps))) {
    deps.log.warn({ file }, 'nobody has confirmed that a copy of the key ring is kept elsewhere');
    terminal.err(`${t('keys.keep-elsewhere', { file })}\n`);
  }
  if (!isLoopback(deps.config.host))
    deps.log.warn({ host: deps.config.host }, 'this is plain HTTP beyond this machine: put a proxy with TLS in front');
  if (deps.config.metrics !== undefined && !isLoopback(deps.config.metrics.host))
    deps.log.warn(
      { host: deps.config.metrics.host },
      'metrics beyond this machine: let only the monitoring reach them',
    );
  const { url, metricsUrl } = running;
  print(terminal, { listening: url, ...(metricsUrl && { metrics: metricsUrl }) }, () => [
    t('serve.listening', { url }),
  ]);
  await signal();
  if (!terminal.json) terminal.err(`${t('serve.stopping')}\n`);
  await running.stop();
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

async function signal(): Promise<void> {
  await new Promise<void>((resolve) => {
    const received = () => {
      process.off('SIGTERM', received).off('SIGINT', received);
      process.once('SIGTERM', () => process.exit(130)).once('SIGINT', () => process.exit(130));
      resolve();
    };
    process.on('SIGTERM', received).on('SIGINT', received);
  });
}
