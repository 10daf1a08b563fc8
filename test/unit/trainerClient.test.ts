/** Starting a trainer where the system will not, and programs that are looked for outside the current folder alone. */
import { ChildProcess, spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { buildSync } from 'esbuild';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { protocolVersion } from '../../src/core/contracts/events';
import { english } from '../../src/core/messages/message';
import { nvidiaGpu } from '../../src/trainer/engines/tfjs/provider';
import { startTask } from '../../src/trainerClient';

const forked = vi.hoisted(() => ({ instead: undefined as undefined | (() => unknown) }));
vi.mock('node:child_process', async (original) => {
  const module = await original<typeof import('node:child_process')>();
  const fork = (...args: Parameters<typeof module.fork>) => (forked.instead ?? (() => module.fork(...args)))();
  return { ...module, fork };
});

afterEach(() => {
  forked.instead = undefined;
  vi.unstubAllEnvs();
});

it('says in a sentence that there are too many open files', async () => {
  // As Node does: a process without streams, which says why a turn later.
  forked.instead = () => {
    const child = Object.assign(new EventEmitter(), { connected: false, kill: () => false }) as unknown as ChildProcess;
    process.nextTick(() => child.emit('error', new Error('spawn EMFILE')));
    return child;
  };
  const end = await startTask('engines', {}, { script: __filename }).ended;
  expect('message' in end && english(end.message)).toBe('The trainer process could not be started: spawn EMFILE');
  expect('advice' in end && english(end.advice!)).toBe(
    'Close other programs, or raise the limits on open files and processes, then try again.',
  );
});

it.skipIf(process.platform === 'win32')('runs no nvidia-smi of the current folder', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-smi-'));
  try {
    fs.writeFileSync(path.join(folder, 'nvidia-smi'), '#!/bin/sh\necho "A GPU, 1000"\n', { mode: 0o755 });
    vi.stubEnv('CUDA_VISIBLE_DEVICES', undefined);
    vi.stubEnv('PATH', `${folder}${path.delimiter}/bin`);
    expect(await nvidiaGpu()).toEqual({ name: 'A GPU', freeBytes: 1000 * 2 ** 20 });
    // Relative to the current folder, as an empty entry of the PATH or Windows would look.
    vi.stubEnv('PATH', `${path.relative(process.cwd(), folder)}${path.delimiter}/bin`);
    expect(await nvidiaGpu()).toBeUndefined();
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

describe.runIf(process.platform === 'linux')('a limit on processor time', () => {
  /** What a client under this limit says of a trainer that computes for ever. */
  const under = (limit: string): string => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-limit-'));
    try {
      const client = path.join(folder, 'client.cjs');
      const trainer = path.join(folder, 'busy.cjs');
      const entry = path.resolve('src/trainerClient.ts');
      const contents = `import { startTask } from ${JSON.stringify(entry)};
        void startTask('train', {}, { script: ${JSON.stringify(trainer)} }, {}).ended.then((end) => console.log(end.message.id, end.advice.id));`;
      buildSync({
        stdin: { contents, resolveDir: process.cwd(), loader: 'ts' },
        bundle: true,
        platform: 'node',
        outfile: client,
      });
      fs.writeFileSync(trainer, `process.send({ type: 'hello', protocol: ${protocolVersion} }); for (;;);`);
      return spawnSync('sh', ['-c', `${limit}; exec "$0" "$1"`, process.execPath, client], {
        encoding: 'utf8',
      }).stdout.trim();
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  };

  it('that is reached is named, whichever signal comes of it', () => {
    expect(under('ulimit -St 1')).toBe('trainerOutOfTime trainerOutOfTimeAdvice');
    expect(under('ulimit -t 1')).toBe('trainerOutOfTimeOrMemory trainerOutOfTimeAdvice');
  });
});
