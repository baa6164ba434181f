// Preloaded into a program under test (`clockEnv`): its clock is ahead by the ms in the file TEST_CLOCK, at every moment.
import { readFileSync } from 'node:fs';

const real = Date.now;
const file = process.env.TEST_CLOCK;
Date.now = () => real() + Number(readFileSync(file, 'utf8'));
