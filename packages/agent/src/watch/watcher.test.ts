import { expect, it } from '@jest/globals';
import { AgentError } from '../errors.ts';
import type { Mandate } from '../mandate/mandates.ts';
import type { OpenModule } from '../open-modules/open-modules.ts';
import type { MadePoint } from '../points/make.ts';
import type { WatchEvent } from './events.ts';
import { Watcher } from './watcher.ts';

const LOOK_MS = 2000;
const QUIET_MS = 10_000;
const QUIET_LOOKS = QUIET_MS / LOOK_MS;
const DUPONT: Mandate = {
  name: 'Dupont SA',
  mandateId: '0f'.repeat(16),
  path: '/books',
  modules: [{ kind: 'accounting', file: 'a.cre' }],
};
const OPEN: OpenModule = { kind: 'accounting', file: 'a.cre', how: 'process', program: 'cresus', pid: 4711 };

/** A computer whose clock, files and programs are what a script says, look by look. */
class Stage {
  clock = Date.UTC(2026, 10, 24, 18);
  mandates: Mandate[] = [DUPONT];
  /** What stands in `a.cre`; undefined while the folder is away. */
  content: string | undefined = 'morning';
  open: OpenModule[] = [];
  /** Thrown by the next points, in this order. */
  errors: AgentError[] = [];
  points: string[] = [];
  events: WatchEvent[] = [];
  probes = 0;
  /** Called when a point is made, before it is done. */
  onPoint: () => void = () => undefined;
  #looks = 0;

  /** Runs a watch for `looks` looks; `script` acts before the look of its number (the first is 0). */
  async watch(looks: number, script: Record<number, () => void> = {}): Promise<this> {
    const end = new Error('the end of the script');
    this.#looks = 0;
    script[0]?.();
    const watcher = new Watcher({
      mandates: () => this.mandates,
      look: () =>
        Promise.resolve(
          this.content === undefined
            ? undefined
            : new Map([
                ['', 'folder'],
                ['a.cre', this.content],
              ]),
        ),
      findOpen: (asked) => {
        this.probes += 1;
        return Promise.resolve(asked.map(() => ({ open: this.open, stale: [], unclean: [] })));
      },
      makePoint: () => this.#makePoint(),
      emit: (event) => this.events.push(event),
      quietMs: QUIET_MS,
      lookMs: LOOK_MS,
      now: () => this.clock,
      pause: (ms) => {
        this.clock += ms;
        this.#looks += 1;
        if (this.#looks === looks) return Promise.reject(end);
        script[this.#looks]?.();
        return Promise.resolve();
      },
    });
    await expect(watcher.run()).rejects.toBe(end);
    return this;
  }

  #makePoint(): Promise<MadePoint> {
    const error = this.errors.shift();
    if (error) return Promise.reject(error);
    const content = this.content ?? '';
    this.onPoint();
    const unchanged = this.points.at(-1) === content;
    if (!unchanged) this.points.push(content);
    return Promise.resolve({ unchanged } as MadePoint);
  }

  get told(): string[] {
    return this.events.map(({ event }) => event);
  }
}

it('takes at the start what happened while nobody watched, and then nothing for hours', async () => {
  const stage = await new Stage().watch(5000);
  expect(stage.points).toEqual(['morning']);
  expect(stage.told).toEqual(['point']);
  expect(stage.probes).toBe(1);
});

it('makes a point once nothing changed for the whole delay', async () => {
  const at = 20;
  const stage = new Stage();
  const script: Record<number, () => void> = Object.fromEntries(
    [0, 2, 4].map((n) => [at + n, () => (stage.content = `edit ${n}`)]),
  );
  const seen: number[] = [];
  for (const look of [at + 4 + QUIET_LOOKS, at + 4 + QUIET_LOOKS + 1])
    script[look] = () => void seen.push(stage.points.length);
  await stage.watch(60, script);
  expect(stage.points).toEqual(['morning', 'edit 4']);
  expect(seen).toEqual([1, 2]);
  expect(stage.told).toEqual(['point', 'changed', 'point']);
  expect(stage.events[1]).toMatchObject({ mandate: 'Dupont SA', file: 'a.cre' });
});

it('waits as long as a module is open, tells that once, and looks at processes rarely meanwhile', async () => {
  const stage = new Stage();
  await stage.watch(2000, {
    20: () => {
      stage.content = 'first edit';
      stage.open = [OPEN];
    },
    1000: () => (stage.content = 'last edit'),
    1500: () => (stage.open = []),
  });
  expect(stage.points).toEqual(['morning', 'last edit']);
  expect(stage.told).toEqual(['point', 'changed', 'open', 'point']);
  expect(stage.probes).toBeLessThan(1480 / 2);
});

it('opening and closing without a change makes no point', async () => {
  const stage = new Stage();
  await stage.watch(100, { 20: () => (stage.open = [OPEN]), 40: () => (stage.open = []) });
  expect(stage.told).toEqual(['point']);
});

it('takes a change that fell into the making of a point with the next one', async () => {
  const stage = new Stage();
  stage.onPoint = () => {
    stage.content = 'meanwhile';
    stage.onPoint = () => undefined;
  };
  await stage.watch(60);
  expect(stage.points).toEqual(['morning', 'meanwhile']);
});

it.each([
  ['eight hours of sleep', 8 * 3_600_000],
  ['a clock set back by a day', -86_400_000],
])('%s in the middle of the delay: it begins anew, with everything looked at again', async (_, jump) => {
  const stage = new Stage();
  let afterJump = 0;
  await stage.watch(60, {
    20: () => (stage.content = 'half an edit'),
    22: () => (stage.clock += jump),
    23: () => (afterJump = stage.points.length),
    24: () => (stage.content = 'the whole edit'),
  });
  expect(afterJump).toBe(1);
  expect(stage.points).toEqual(['morning', 'the whole edit']);
  expect(stage.told).toEqual(['point', 'changed', 'resumed', 'point']);
  expect(stage.events[2]).toEqual({ event: 'resumed', gapMs: jump });
});

it('a jump with nothing changed makes no point', async () => {
  const stage = new Stage();
  await stage.watch(60, { 20: () => (stage.clock += 3_600_000) });
  expect(stage.points).toEqual(['morning']);
  expect(stage.told).toEqual(['point', 'resumed', 'unchanged']);
});

it('waits for another run to end, telling that once', async () => {
  const stage = new Stage();
  stage.errors = [1, 2, 3].map(() => new AgentError('another-run', 'busy', { details: { pid: 7 } }));
  await stage.watch(60);
  expect(stage.points).toEqual(['morning']);
  expect(stage.told).toEqual(['waiting', 'point']);
  expect(stage.events[0]).toMatchObject({ pid: 7 });
});

it('somebody who goes on working just then is waited for', async () => {
  const stage = new Stage();
  stage.errors = [new AgentError('mandate-unstable', 'moving'), new AgentError('module-open', 'open again')];
  await stage.watch(60);
  expect(stage.told).toEqual(['point']);
});

it('a full disk is told, and tried again ever more rarely; after sleep at once', async () => {
  const stage = new Stage();
  stage.errors = Array.from({ length: 20 }, () => new AgentError('disk-full', 'full'));
  await stage.watch(1000, { 900: () => (stage.clock += 3_600_000) });
  const failed = stage.events.flatMap((event) => (event.event === 'failed' ? [event.retryMs / 60_000] : []));
  expect(failed).toEqual([1, 2, 4, 8, 16, 1, 2, 4]);
});

it('a folder that goes away and comes back, a mandate that is added, moved, removed', async () => {
  const stage = new Stage();
  const other: Mandate = { ...DUPONT, name: 'Autre', mandateId: '1f'.repeat(16) };
  await stage.watch(120, {
    20: () => (stage.content = undefined),
    30: () => (stage.content = 'from the stick'),
    50: () => (stage.mandates = [DUPONT, other]),
    70: () => (stage.mandates = [{ ...DUPONT, path: '/moved' }]),
    90: () => (stage.mandates = []),
    91: () => (stage.content = 'nobody looks'),
  });
  expect(stage.points).toEqual(['morning', 'from the stick']);
  expect(stage.told).toEqual(['point', 'away', 'back', 'point', 'unchanged', 'unchanged']);
  expect(stage.events[4]).toMatchObject({ mandate: 'Autre' });
});

it('an interruption ends it', async () => {
  const stage = new Stage();
  const interrupted = new AgentError('interrupted', 'stop');
  stage.errors = [interrupted];
  await expect(stage.watch(60)).rejects.toThrow();
  expect(stage.points).toEqual([]);
});
