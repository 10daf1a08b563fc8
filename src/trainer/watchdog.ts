/**
 * Sees to it that no trainer outlives whoever started it, however busy or hung: a worker thread looks at the parent every
 * second and kills the process when it has been gone for longer than the trainer may need to put its things in order.
 * main.ts starts it; training says how long its step and checkpoint may take.
 */
import { Worker } from 'node:worker_threads';

/** What is allowed to a trainer that says nothing, in milliseconds: with a look a second, it is gone within five. */
const usualMs = 3000;

/**
 * The worker's whole program; text, so that it needs no file of its own in the bundle. Where a parent dies, Linux and macOS
 * give the process another one; Windows leaves the number, of a process that is no more.
 */
const program = `
const { workerData: { parent, allowed } } = require('node:worker_threads');
const gone = () => {
  if (process.ppid !== parent) return true;
  if (process.platform !== 'win32') return false;
  try { process.kill(parent, 0); return false; } catch (error) { return error.code === 'ESRCH'; }
};
let since;
setInterval(() => {
  if (since === undefined && gone()) since = Date.now();
  if (since !== undefined && Date.now() - since >= Atomics.load(allowed, 0)) process.kill(process.pid, 'SIGKILL');
}, 1000);
`;

const allowed = new Int32Array(new SharedArrayBuffer(4));
allowed[0] = usualMs;

/** Begins to watch over the parent. The thread keeps no process alive. */
export function startWatchdog(): void {
  const worker = new Worker(program, {
    eval: true,
    workerData: { parent: process.ppid, allowed },
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2 },
  });
  worker.unref();
  // Without its watchdog a trainer does its work all the same.
  worker.on('error', (error) => console.error(`Watchdog: ${error.message}`));
}

/** Allows so many seconds, where that is more than the usual, between the parent's end and this process's. */
export function allow(seconds: number): void {
  Atomics.store(allowed, 0, Math.max(usualMs, Math.min(seconds * 1000, 2 ** 31 - 1)));
}
