/**
 * One of several processes that race for a lock. Arguments: the lock, a folder that stands while somebody has it, a log, how
 * long that is in the end, a seed, and whether it may die holding it.
 */
import * as fs from 'node:fs';
import { Lock, LockLost } from '../../src/disk/lock';
import { generator } from './size';

const [file, mark, log, length, seed, mortal] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const random = generator(Number(seed));
const note = (text: string) => fs.appendFileSync(log, text);
const pause = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

fs.appendFileSync(log, '');
while (fs.statSync(log).size < Number(length)) {
  const lock = Lock.take(file);
  if (!lock) continue;
  note('.');
  if (random() < 0.02) {
    // Eleven minutes' stop: to everybody else it has been silent for so long.
    const then = new Date(Date.now() - 11 * 60_000);
    fs.utimesSync(file, then, then);
    pause(5 + 20 * random());
    note('z');
  }
  try {
    lock.check();
    let free = true;
    try {
      fs.mkdirSync(mark);
    } catch {
      free = false;
      note('!');
    }
    if (free) {
      if (mortal === 'mortal' && random() < 0.005) {
        fs.rmdirSync(mark);
        note('x');
        process.kill(process.pid, 'SIGKILL');
      }
      fs.rmdirSync(mark);
    }
  } catch (error) {
    if (!(error instanceof LockLost)) throw error;
    note('l');
  }
  lock.release();
}
