/**
 * Sums the tests of every stage and prints the closing line; exits 1 on any failure. Called by .ci/run with one
 * argument per stage, STATUS:REPORT, where the report, Vitest's JSON, may be missing.
 */
import { existsSync, readFileSync } from 'node:fs';

const sum = { passed: 0, failed: 0, skipped: 0 };
for (const stage of process.argv.slice(2)) {
  const [, status, file] = /^(\d+):(.*)$/.exec(stage);
  const report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  sum.passed += report?.numPassedTests ?? 0;
  sum.skipped += (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0);
  const failed = report?.numFailedTests ?? 0;
  // A stage that failed without a failing test (a type error, a crash, a file that did not load) is a failure itself.
  sum.failed += Number(status) !== 0 ? Math.max(1, failed) : failed;
}
if (sum.passed === 0) sum.failed ||= 1;
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped ? `, ${sum.skipped} skipped` : ''}`);
process.exit(sum.failed === 0 ? 0 : 1);
