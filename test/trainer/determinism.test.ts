/**
 * The same seed, engine and machine: the same metrics, to the last digit. Two runs of the real child process, with its
 * own number of threads, on images that worker threads decode and augment in whatever order they come to them.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fill } from '../unit/drawnImages';
import { convlab, curve, onlyRun, temporaryFolder } from './convlab';

let folder: string;
beforeAll(async () => {
  folder = temporaryFolder();
  await fill(path.join(folder, 'cat_dog'), { cat: 40, dog: 40 });
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

/** What a run with this seed leaves: its curve, and a checkpoint of weights and moments. */
async function trained(experiment: string, epochs: number, seed = 7): Promise<{ figures: unknown[]; weights: Buffer }> {
  const runs = fs.mkdtempSync(path.join(folder, 'runs-'));
  const result = await convlab([
    ...['train', experiment, '--preset', 'quick', '--engine', 'onnx', '--set', 'input.size=64', '--set', 'batchSize=8'],
    ...['--limit', '32', '--epochs', String(epochs), '--seed', String(seed), '--json'],
    ...['--data', path.join(folder, 'cat_dog'), '--runs', runs],
  ]);
  expect(result.error).toBe('');
  expect(result.status).toBe(0);
  const run = onlyRun(runs);
  const figures = curve(run);
  // Behind the header, which tells the time.
  const file = fs.readFileSync(path.join(run, 'checkpoints', 'last.safetensors'));
  const weights = file.subarray(8 + Number(file.readBigUInt64LE(0)));
  fs.rmSync(runs, { recursive: true });
  return { figures, weights };
}

// Together they have every layer that draws lots or sums over a batch. A run is seconds; a busy machine takes its time.
const timeout = 400_000;

it(
  'two runs of ResNet-18, with batch norm, are one another’s copies; another seed gives another run',
  async () => {
    const [first, second] = [await trained('resnet18-catdog', 2), await trained('resnet18-catdog', 2)];
    // Four steps and a validation each epoch, and the test.
    expect(first.figures).toHaveLength(11);
    expect(second.figures).toEqual(first.figures);
    expect(second.weights.equals(first.weights)).toBe(true);
    expect((await trained('resnet18-catdog', 2, 8)).figures).not.toEqual(first.figures);
  },
  timeout,
);

it(
  'two runs of AlexNet, with dropout, are one another’s copies',
  async () => {
    const [first, second] = [await trained('alexnet-catdog', 1), await trained('alexnet-catdog', 1)];
    expect(first.figures).toHaveLength(6);
    expect(second.figures).toEqual(first.figures);
    expect(second.weights.equals(first.weights)).toBe(true);
  },
  timeout,
);
