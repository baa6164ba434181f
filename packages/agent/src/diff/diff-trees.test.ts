import { expect, test } from '@jest/globals';
import { diffTrees } from './diff-trees.ts';

const file = (path: string, content: string, size = 10) => ({ path, size, content });

test('added, changed, removed and unchanged, with sizes, in the order of the paths', () => {
  const before = [file('a', '1'), file('b', '2'), file('c', '3', 7), file('d', '4')];
  const after = [file('a', '1'), file('b', '5', 12), file('d', '4'), file('e', '6', 9)];
  expect(diffTrees(before, after)).toEqual({
    added: [{ path: 'e', size: 9 }],
    changed: [{ path: 'b', size: 12, sizeBefore: 10 }],
    removed: [{ path: 'c', size: 7 }],
    renamed: [],
    unchanged: 2,
  });
});

test('what is gone and comes back elsewhere looks renamed, each file once, the one that kept its name first', () => {
  const before = [file('x/one.pdf', 'same'), file('y/two.pdf', 'same'), file('old.cre', 'books')];
  const after = [file('new.cre', 'books'), file('z/two.pdf', 'same'), file('z/x.pdf', 'same'), file('z/y.pdf', 'same')];
  expect(diffTrees(before, after)).toMatchObject({
    renamed: [
      { from: 'old.cre', path: 'new.cre', size: 10 },
      { from: 'y/two.pdf', path: 'z/two.pdf' },
      { from: 'x/one.pdf', path: 'z/x.pdf' },
    ],
    added: [{ path: 'z/y.pdf' }],
    removed: [],
  });
});

test('a copy of a file that stays is added, and empty files are never renamed', () => {
  const before = [file('a', '1'), file('e1', 'none', 0)];
  const after = [file('a', '1'), file('b', '1'), file('e2', 'none', 0)];
  expect(diffTrees(before, after)).toMatchObject({
    renamed: [],
    added: [{ path: 'b' }, { path: 'e2' }],
    removed: [{ path: 'e1' }],
    unchanged: 1,
  });
});

test('nothing to say of two equal states', () => {
  const tree = [file('a', '1'), file('b', '2')];
  expect(diffTrees(tree, tree)).toEqual({ added: [], changed: [], removed: [], renamed: [], unchanged: 2 });
});
