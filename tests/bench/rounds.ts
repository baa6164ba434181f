import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { workOneDay } from '../support/books.ts';
import { differences } from '../support/compare.ts';
import type { Challenge, Contestant, Cost } from './contestants.ts';
import { median } from './measure.ts';

export const OPERATIONS = ['initial', 'unchanged', 'day', 'restore'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Medians over all rounds. */
export interface Result {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly stored: number;
  readonly serverCpuSeconds?: number;
  readonly serverPeakBytes?: number;
  /** Wall times of each round, to see how much the machine wavered. */
  readonly rounds: readonly number[];
}

export type Results = Record<string, Partial<Record<Operation, Result>>>;

export interface RoundsOptions {
  readonly pristine: string;
  readonly work: string;
  readonly rounds: number;
  readonly operations: readonly Operation[];
  readonly scale: number;
  readonly note: (text: string) => void;
}

/**
 * Every contestant does each operation on the same mandate, one contestant after the other, in another order each
 * round, so that a slow moment of the machine meets all of them. The first round also compares what was restored.
 */
export async function playRounds(challenges: Record<string, Challenge>, options: RoundsOptions): Promise<Results> {
  const costs = new Map<string, Cost[]>();
  for (let round = 0; round < options.rounds; round++) {
    const names = rotated(Object.keys(challenges), round);
    const dir = join(options.work, `round-${round}`);
    const mandate = join(dir, 'mandate');
    mkdirSync(dir, { recursive: true });
    cpSync(options.pristine, mandate, { recursive: true, preserveTimestamps: true });
    const entrants = await enter(challenges, names, mandate, dir);
    try {
      await playRound(entrants, { ...options, mandate, dir, round }, costs);
    } finally {
      for (const { contestant } of entrants) await contestant.close();
      rmSync(dir, { recursive: true, force: true });
    }
  }
  return summed(Object.keys(challenges), options.operations, costs);
}

interface Entrant {
  readonly name: string;
  readonly contestant: Contestant;
}

async function enter(
  challenges: Record<string, Challenge>,
  names: readonly string[],
  mandate: string,
  dir: string,
): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const name of names) {
    const own = join(dir, name.replaceAll(/\W+/g, '-'));
    mkdirSync(own);
    const challenge = challenges[name];
    if (challenge) entrants.push({ name, contestant: await challenge(mandate, own) });
  }
  return entrants;
}

interface Round extends RoundsOptions {
  readonly mandate: string;
  readonly dir: string;
  readonly round: number;
}

async function playRound(entrants: readonly Entrant[], round: Round, costs: Map<string, Cost[]>): Promise<void> {
  for (const operation of round.operations) {
    if (operation === 'day') workOneDay(round.mandate, 1, { scale: round.scale });
    for (const entrant of entrants) {
      const cost = await perform(operation, entrant, round);
      const key = `${entrant.name} ${operation}`;
      costs.set(key, [...(costs.get(key) ?? []), cost]);
      round.note(`round ${round.round + 1}  ${key}  ${cost.seconds.toFixed(2)} s`);
    }
  }
}

async function perform(operation: Operation, { name, contestant }: Entrant, round: Round): Promise<Cost> {
  if (operation !== 'restore') return contestant.send();
  const target = join(round.dir, 'restored');
  const cost = await contestant.restore(target);
  if (round.round === 0) {
    const found = differences(round.mandate, contestant.restoredAt(target), { times: false });
    if (found.length > 0) throw new Error(`${name} did not restore what was sent:\n${found.slice(0, 10).join('\n')}`);
  }
  rmSync(target, { recursive: true });
  return cost;
}

function rotated(names: readonly string[], by: number): string[] {
  const at = by % names.length;
  return [...names.slice(at), ...names.slice(0, at)];
}

function summed(names: readonly string[], operations: readonly Operation[], costs: Map<string, Cost[]>): Results {
  const results: Results = {};
  for (const name of names) {
    results[name] = {};
    for (const operation of operations) {
      const all = costs.get(`${name} ${operation}`);
      if (all !== undefined) results[name][operation] = medians(all);
    }
  }
  return results;
}

function medians(costs: readonly Cost[]): Result {
  const middle = (of: (cost: Cost) => number): number => median(costs.map(of));
  const hasServer = costs[0]?.server !== undefined;
  return {
    seconds: middle((cost) => cost.seconds),
    cpuSeconds: middle((cost) => cost.cpuSeconds),
    peakBytes: middle((cost) => cost.peakBytes),
    stored: middle((cost) => cost.stored),
    ...(hasServer && {
      serverCpuSeconds: middle((cost) => cost.server?.cpuSeconds ?? 0),
      serverPeakBytes: middle((cost) => cost.server?.peakBytes ?? 0),
    }),
    rounds: costs.map(({ seconds }) => Number(seconds.toFixed(3))),
  };
}
