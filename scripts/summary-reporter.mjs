// Jest reporter: closes the run with one plain line, so that a person or a CI log reads the outcome at a glance.
// A suite that did not even load counts as one failure: it must never look like "0 failed".
import { writeSync } from 'node:fs';

/** @implements {import('@jest/reporters').Reporter} */
export default class SummaryReporter {
  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    const tail = skipped > 0 ? `, ${skipped} skipped` : '';
    // jest adds its own summary after every other reporter: at exit, this line is the last one all the same
    process.once('exit', () => writeSync(1, `\n${results.numPassedTests} passed, ${failed} failed${tail}\n`));
  }
}
