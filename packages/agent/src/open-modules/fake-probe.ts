import type { Holder, OpenProbe } from './probe.ts';

/** For tests: a system whose answers are chosen. */
export class FakeProbe implements OpenProbe {
  bootedAt = Date.now() - 3_600_000;
  hostname = 'bureau';
  alive = new Map<number, { program?: string; startedAt?: number }>();
  programs: string[] | undefined = [];
  answers: (readonly Holder[] | Error)[] = [];

  holders(): Promise<Holder[]> {
    const answer = this.answers.shift() ?? [];
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve([...answer]);
  }
  process(pid: number): Promise<{ program?: string; startedAt?: number } | undefined> {
    return Promise.resolve(this.alive.get(pid));
  }
  runs(name: string): boolean | undefined {
    return this.programs?.includes(name);
  }
}
