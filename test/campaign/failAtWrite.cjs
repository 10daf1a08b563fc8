/**
 * Preloaded into a trainer: one call that changes a file below CONVLAB_TEST_FAULT's folder, the nth, fails as on a full disk,
 * half of a write done, and every later one with it; CONVLAB_TEST_FAULT names a file that is made when that happens.
 */
'use strict';
const fs = require('node:fs');
const { isMainThread } = require('node:worker_threads');

const { below, nth, code, mark } = JSON.parse(process.env.CONVLAB_TEST_FAULT);
const { writeFileSync } = fs;
const names = new Map();
let seen = 0;

/** @returns whether the call fails, and so did none before it */
function fault(file) {
  if (!String(file).startsWith(below) || ++seen < nth) return false;
  if (seen === nth) writeFileSync(mark, '');
  return true;
}
const failure = (call) => Object.assign(new Error(`${code}: planted, ${call}`), { code, syscall: call });

if (isMainThread) {
  const { openSync, writeSync } = fs;
  fs.openSync = (file, flags = 'r', ...rest) => {
    if (flags !== 'r' && flags !== 'r+' && fault(file)) throw failure('open');
    const descriptor = openSync(file, flags, ...rest);
    names.set(descriptor, String(file));
    return descriptor;
  };
  fs.writeSync = (descriptor, data, at = 0, length = undefined, ...rest) => {
    if (fault(names.get(descriptor))) {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data.subarray(at, at + (length ?? data.length));
      if (seen === nth) writeSync(descriptor, bytes, 0, bytes.length >> 1);
      throw failure('write');
    }
    return typeof data === 'string' ? writeSync(descriptor, data) : writeSync(descriptor, data, at, length, ...rest);
  };
  for (const name of ['mkdirSync', 'writeFileSync', 'renameSync', 'linkSync']) {
    const original = fs[name];
    fs[name] = (file, ...rest) => {
      if (fault(file)) throw failure(name.slice(0, -4));
      return original(file, ...rest);
    };
  }
  const { fsyncSync } = fs;
  fs.fsyncSync = (descriptor) => {
    if (fault(names.get(descriptor))) throw failure('fsync');
    fsyncSync(descriptor);
  };
}
