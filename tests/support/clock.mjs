// Preloaded into a program under test (`Clock.env`): its clock goes by the file TEST_CLOCK, which holds the ms that it is
// ahead, or `=` and the moment at which it stands still.
import { readFileSync } from 'node:fs';

const real = Date.now;
const file = process.env.TEST_CLOCK;
Date.now = () => {
  const text = readFileSync(file, 'utf8');
  return text.startsWith('=') ? Number(text.slice(1)) : real() + Number(text);
};
