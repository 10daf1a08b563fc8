/**
 * Preloaded into a trainer by dying() in convlab.ts: the process kills itself at one write, rename or flush of a file that
 * CONVLAB_TEST_DEATH names, so that a crash comes at the same moment on every machine, however busy. A write is
 * half done when it comes, as on a machine that loses power.
 */
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { isMainThread } = require('node:worker_threads');

const death = JSON.parse(process.env.CONVLAB_TEST_DEATH);
const names = new Map();
let seen = 0;

const isNow = (call, file) => call === death.call && file === death.file && ++seen === death.nth;
const die = () => process.kill(process.pid, 'SIGKILL');

if (isMainThread) {
  const { openSync, writeSync, renameSync, fsyncSync } = fs;
  fs.openSync = (file, ...rest) => {
    const descriptor = openSync(file, ...rest);
    names.set(descriptor, path.basename(String(file)));
    return descriptor;
  };
  fs.writeSync = (descriptor, data, at = 0, length = undefined, ...rest) => {
    if (isNow('write', names.get(descriptor))) {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data.subarray(at, at + (length ?? data.length));
      writeSync(descriptor, bytes, 0, bytes.length >> 1);
      die();
    }
    return typeof data === 'string' ? writeSync(descriptor, data) : writeSync(descriptor, data, at, length, ...rest);
  };
  fs.renameSync = (from, to) => {
    if (isNow('rename', path.basename(String(from)))) die();
    renameSync(from, to);
  };
  fs.fsyncSync = (descriptor) => {
    if (isNow('flush', names.get(descriptor))) die();
    fsyncSync(descriptor);
  };
}
