/** `convlab export` on a run of the real trainer: the exported model gives the accuracy that the run was tested with. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { networkOf, resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';
import { readHistory } from '../../src/disk/runs';
import { openDataset } from '../../src/trainer/data/open';
import { StateDict } from '../../src/trainer/weights/pth';
import { convlab, onlyRun, small, temporaryFolder } from './convlab';

let root: string;
let runs: string;
let run: string;
beforeAll(async () => {
  root = temporaryFolder();
  runs = path.join(root, 'runs');
  await convlab(['train', ...small, '--runs', runs]);
  run = onlyRun(runs);
});
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const experiment = resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'course', {
  limit: 640,
  epochs: 2,
});

it('as ONNX: run on the test images it has the test accuracy of the run', async () => {
  const out = path.join(root, 'digits.onnx');
  const { status, out: said } = await convlab(['export', run, '--format', 'onnx', '--out', out]);
  expect([status, said]).toEqual([0, `Exported to ${out}\n`]);
  const session = await ort.InferenceSession.create(out);
  const dataset = await openDataset(experiment, { progress: () => undefined, signal: new AbortController().signal });
  const count = dataset.counts.test;
  const images = new Float32Array(count * 32 * 32);
  const labels = new Int32Array(count);
  await dataset.read(
    'test',
    Uint32Array.from({ length: count }, (_, i) => i),
    0,
    images,
    labels,
  );
  const result = await session.run({ images: new ort.Tensor('float32', images, [count, 1, 32, 32]) });
  const probabilities = result['probabilities']!.data as Float32Array;
  let right = 0;
  for (let i = 0; i < count; i++) {
    const row = [...probabilities.subarray(10 * i, 10 * i + 10)];
    if (row.indexOf(Math.max(...row)) === labels[i]) right++;
  }
  expect(right / count).toBe(readHistory(run).finished!.testAccuracy);
  expect(fs.readFileSync(out).includes('["0","1","2","3","4","5","6","7","8","9"]')).toBe(true);
  await session.release();
});

it('as a state dict: LeNet-5’s names and shapes, under the run’s name where none is given', async () => {
  const { status, out } = await convlab(['export', path.basename(run), '--runs', runs, '--format', 'pth', '--json']);
  expect(status).toBe(0);
  const { type, file } = JSON.parse(out) as { type: string; file: string };
  expect([type, file]).toEqual(['exported', path.resolve(`${path.basename(run)}.pth`)]);
  const weights = StateDict.open(file);
  const { parameters } = networkOf(experiment);
  expect(weights.names).toEqual(parameters.map((p) => p.name));
  for (const { name, shape } of parameters) {
    expect(weights.shape(name)).toEqual(shape);
    expect(weights.read(name).some((v) => v !== 0)).toBe(true);
  }
  weights.close();
  fs.rmSync(file);
});

it.each([
  ['no run', ['export'], 2, /needs <run>/],
  ['no format', ['export', 'x'], 2, /needs --format/],
  ['an unknown format', ['export', 'x', '--format', 'h5'], 2, /--format takes one of onnx, pth/],
  ['a run that is not there', ['export', 'x', '--format', 'onnx'], 1, /no run at/],
])('says what is wrong with %s', async (_, args, status, sentence) => {
  const result = await convlab(args);
  expect(result.error).toMatch(sentence);
  expect(result.status).toBe(status);
});

it('says that a run has not finished, or that its checkpoints are gone, and leaves no file', async () => {
  const out = path.join(root, 'never.onnx');
  const broken = path.join(root, 'broken');
  fs.cpSync(run, broken, { recursive: true });
  for (const name of fs.readdirSync(path.join(broken, 'checkpoints'))) {
    fs.truncateSync(path.join(broken, 'checkpoints', name), 1000);
  }
  const damaged = await convlab(['export', broken, '--format', 'onnx', '--out', out]);
  expect([damaged.status, damaged.error]).toEqual([1, expect.stringMatching(/no readable checkpoint: .*damaged/)]);
  const events = path.join(broken, 'metrics.jsonl');
  fs.writeFileSync(events, fs.readFileSync(events, 'utf8').replace(/.*"finished".*\n/, ''));
  const unfinished = await convlab(['export', broken, '--format', 'onnx', '--out', out]);
  expect([unfinished.status, unfinished.error]).toEqual([1, expect.stringMatching(/has not finished/)]);
  const nowhere = await convlab(['export', run, '--format', 'pth', '--out', path.join(root, 'no', 'where.pth')]);
  expect([nowhere.status, nowhere.error]).toEqual([
    1,
    expect.stringMatching(/where\.pth could not be written: ENOENT/),
  ]);
  expect(fs.existsSync(out)).toBe(false);
});

it('replaces only what may be replaced', async () => {
  const ask = async (out: string, ...more: string[]) => {
    const { status, error } = await convlab(['export', run, '--format', 'pth', '--out', out, ...more]);
    return [status, error];
  };
  const mine = path.join(root, 'mine.pth');
  fs.writeFileSync(mine, 'mine');
  expect(await ask(mine)).toEqual([1, expect.stringMatching(/mine\.pth exists already\. .*--force/)]);
  expect(fs.readFileSync(mine, 'utf8')).toBe('mine');
  expect(await ask(mine, '--force')).toEqual([0, '']);
  expect(fs.statSync(mine).size).toBeGreaterThan(1000);
  const checkpoints = path.join(run, 'checkpoints');
  const before = fs.readdirSync(checkpoints);
  for (const out of [path.join(run, 'run.json'), path.join(checkpoints, 'new.pth')]) {
    expect(await ask(out, '--force')).toEqual([1, expect.stringMatching(/lies in the folder of the run/)]);
  }
  expect(fs.readdirSync(checkpoints)).toEqual(before);
  expect(JSON.parse(fs.readFileSync(path.join(run, 'run.json'), 'utf8'))).toHaveProperty('experiment');
  expect(await ask(root, '--force')).toEqual([1, expect.stringMatching(/not a regular file/)]);
});
