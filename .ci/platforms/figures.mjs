/**
 * figures.mjs RUN OTHER TOLERANCE: compares what the runs of two runs folders computed, epoch by epoch: with a tolerance the
 * losses, relative to themselves; where it is 0 everything but the clock's fields. Adam magnifies rounding (WebAssembly and
 * native code: losses 3e-7 apart after ten steps of LeNet-5, 2e-4 after twenty), so a tolerance is for one short epoch.
 * Prints how many figures were compared and by how much they differ at most.
 */
import { readdirSync, readFileSync } from 'node:fs';
import * as path from 'node:path';

const [one, other, tolerance] = process.argv.slice(2);
const exact = Number(tolerance) === 0;

const lossesOf = ({ trainLoss, validationLoss }) => ({ trainLoss, validationLoss });

/** What the clock says. */
const ofTime = /seconds|perSecond/i;

function* numbers(value, name = '') {
  if (typeof value === 'number') yield [name, value];
  else if (value && typeof value === 'object') {
    for (const [key, each] of Object.entries(value)) if (!ofTime.test(key)) yield* numbers(each, `${name}.${key}`);
  }
}

/** The epochs' figures of the only run in a runs folder. */
function figures(runs) {
  const [run, ...more] = readdirSync(runs);
  if (run === undefined || more.length > 0) throw new Error(`${runs} must hold one run`);
  const events = readFileSync(path.join(runs, run, 'metrics.jsonl'), 'utf8').trim().split('\n').map(JSON.parse);
  return events.filter(({ type }) => type === 'epoch').flatMap((epoch) => [...numbers(exact ? epoch : lossesOf(epoch))]);
}

const [a, b] = [figures(one), figures(other)];
if (a.length === 0 || a.length !== b.length) throw new Error(`${a.length} figures here, ${b.length} there`);
let most = 0;
for (const [index, [name, value]] of a.entries()) {
  const [itsName, its] = b[index];
  if (name !== itsName) throw new Error(`${name} here, ${itsName} there`);
  const difference = Math.abs(value - its) / Math.max(Math.abs(value), Math.abs(its), 1e-3);
  if (!(difference <= Number(tolerance))) throw new Error(`${name}: ${value} here, ${its} there`);
  most = Math.max(most, difference);
}
console.log(`${a.length} figures compared; they differ by ${most.toExponential(1)} at most`);
