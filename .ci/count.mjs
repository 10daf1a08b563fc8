/** Sums the tests of every stage and prints the closing line; exits 1 on any failure. Arguments: failed stages, reports. */
import { readFileSync } from 'node:fs';

const [crashed, ...reports] = process.argv.slice(2);
const sum = { passed: 0, failed: 0, skipped: 0 };
for (const file of reports) {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  sum.passed += report.numPassedTests;
  sum.failed += report.numFailedTests;
  sum.skipped += report.numPendingTests + report.numTodoTests;
}
// A stage that failed without a failing test (a type error, a crash) is a failure of its own.
if (Number(crashed) > 0 && sum.failed === 0) sum.failed = Number(crashed);
if (sum.passed === 0) sum.failed ||= 1;
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped ? `, ${sum.skipped} skipped` : ''}`);
process.exit(sum.failed === 0 ? 0 : 1);
