import { AgentError } from '../errors.ts';
import { LEAST_LIMIT } from './schedule.ts';

const KB = 1000;
const MOST = 1_000_000;

/** Bytes a second from KB/s as typed (`500`, `500 KB/s`). @throws AgentError `usage` */
export function parseLimit(text: string): number {
  const match = /^(\d{1,7})(?:\s*k[bo](?:\/s)?)?$/i.exec(text.trim());
  const value = Number(match?.[1]);
  if (value * KB >= LEAST_LIMIT && value <= MOST) return value * KB;
  throw new AgentError('usage', `no limit: ${text}`, {
    key: 'error.send-limit',
    params: { limit: text, least: LEAST_LIMIT / KB, most: MOST },
  });
}
