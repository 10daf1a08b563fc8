/** “Set Up TensorFlow” and “Remove TensorFlow” as a window has them, with a trainer that only pretends to install. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Log } from '../../src/host/log';
import { TensorflowSetup } from '../../src/host/tensorflowSetup';
import type { SetupRequest } from '../../src/core/contracts/tasks';
import { fake, reset, Uri } from './vscodeFake';

vi.mock('vscode', () => import('./vscodeFake'));

let root: string;
let setup: TensorflowSetup;
let changes: number;

beforeEach(() => {
  reset();
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-setup-'));
  const script = path.join(root, 'trainer.js');
  fs.copyFileSync(path.join(import.meta.dirname, 'fakeTrainer.cjs'), script);
  fake.folders = [Uri.file(path.join(root, 'workspace'))];
  changes = 0;
  const env = { CONVLAB_STORAGE: path.join(root, 'storage') };
  setup = new TensorflowSetup(
    path.join(root, 'storage'),
    () => ({ script, env }),
    () => changes++,
    new Log(),
  );
});

afterEach(() => {
  setup.dispose();
  vi.unstubAllEnvs();
  fs.rmSync(root, { recursive: true, force: true });
});

const run = (command: string) => fake.commands.get(command)!();
const setUp = (behaviour: string) => {
  vi.stubEnv('FAKE_TRAINER', behaviour);
  return run('convlab.setUpTensorflow');
};
const asked = () =>
  JSON.parse(fs.readFileSync(path.join(root, 'setup.json'), 'utf8')) as { request: SetupRequest; storage: string };
const said = () => fake.notifications.map(({ kind, text }) => [kind, text]);
const done = 'TensorFlow 2.21.0 is set up and computes on: CPU. Its library: /lib/libtensorflow_cc.so.2';

test('sets up in the extension’s storage, with progress and a clear end', async () => {
  await setUp('finish');
  const workspace = path.join(root, 'workspace');
  expect(asked()).toEqual({
    request: {
      storage: path.join(root, 'storage'),
      environments: [path.join(workspace, '.venv'), path.join(workspace, 'venv')],
    },
    storage: path.join(root, 'storage'),
  });
  expect(fake.progress).toEqual(['Downloading TensorFlow (7 MB so far)…']);
  expect(said()).toEqual([['information', done]]);
  expect(changes).toBe(1);
});

test('runs no Python of a workspace that is not trusted, and the one that the setting names', async () => {
  fake.trusted = false;
  fake.settings['convlab.tensorflowPython'] = ' ~/envs/tf ';
  await setUp('finish');
  expect(asked().request).toMatchObject({ environments: [], python: path.join(os.homedir(), 'envs/tf') });
  fake.settings['convlab.tensorflowPython'] = 'python3.12';
  await setUp('finish');
  expect(asked().request.python).toBe('python3.12');
  fake.settings['convlab.tensorflowPython'] = 'envs/tf';
  await setUp('finish');
  expect(said().at(-1)).toEqual(['error', expect.stringContaining('convlab.tensorflowPython')]);
});

test('offers to train with it, unless it does already', async () => {
  fake.answer = (_text, [button]) => button;
  await setUp('finish');
  expect(fake.notifications[0]!.buttons).toEqual(['Train with TensorFlow']);
  await vi.waitFor(() => expect(fake.settings['convlab.engine']).toBe('tensorflow'));
  await setUp('finish');
  expect(fake.notifications[1]!.buttons).toEqual([]);
});

test('cancelled, says that nothing was changed', async () => {
  const ended = setUp('wait');
  await vi.waitFor(() => expect(fake.progress).toHaveLength(1), { timeout: 10_000 });
  // A second one meanwhile is refused.
  await run('convlab.removeTensorflow');
  fake.cancel.fire();
  await ended;
  expect(said()).toEqual([
    ['information', 'TensorFlow is already being set up or removed.'],
    ['information', 'The setup was cancelled; nothing was changed.'],
  ]);
});

test('failed, says what to do: a download from a mirror, or Python’s TensorFlow', async () => {
  await setUp('fail');
  expect(said()).toEqual([
    [
      'error',
      'TensorFlow could not be downloaded (ENOTFOUND). Set the environment variable TFJS_NODE_CDN_STORAGE to the ' +
        'address of a mirror, or let it use Python’s: “pip install tensorflow” and try again.',
    ],
  ]);
  expect(changes).toBe(1);
});

test('crashed, says that nothing was changed', async () => {
  fs.writeFileSync(path.join(root, 'trainer.js'), 'process.exit(3)');
  await setUp('finish');
  expect(said()).toEqual([['error', expect.stringContaining('Nothing was changed')]]);
});

test('removes', async () => {
  await run('convlab.removeTensorflow');
  expect(asked().request).toEqual({ storage: path.join(root, 'storage'), remove: true });
  expect(said()).toEqual([['information', 'Native TensorFlow was removed from /storage/tensorflow.']]);
});
