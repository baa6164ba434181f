import { expect, it } from '@jest/globals';
import { Admission } from './admission.ts';

const of = (room: number | undefined, reserve: number) => new Admission(() => Promise.resolve(room), reserve);

it.each([
  ['leaves just the reserve', 100, 60, 40, true],
  ['would touch the reserve', 100, 61, 40, false],
  ['on a full disk', 0, 1, 0, false],
  ['where nobody knows the room', undefined, 1e15, 40, true],
])('F-47 an upload that %s', async (_, room, length, reserve, admitted) => {
  const entered = of(room, reserve).enter(length);
  await (admitted
    ? expect(entered).resolves.toBeInstanceOf(Function)
    : expect(entered).rejects.toMatchObject({ code: 'storage-full', status: 503, facts: { retryAfter: 60 } }));
});

it('F-47 uploads under way have the room that was promised to them, and give it back', async () => {
  const admission = of(100, 40);
  const [first, second] = await Promise.allSettled([admission.enter(40), admission.enter(40)]);
  expect([first.status, second.status]).toEqual(['fulfilled', 'rejected']);
  if (first.status === 'fulfilled') first.value();
  await expect(admission.enter(60)).resolves.toBeInstanceOf(Function);
});
