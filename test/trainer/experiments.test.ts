/**
 * Every experiment that ships, trained for two steps by the real child process: the digits from the real MNIST, cats and
 * dogs from the photographs that CONVLAB_CAT_DOG names, or from drawn images where it names none.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classCounts, outputsOf, presetNames, resolveExperiment } from '../../src/core/experiment';
import { loadExperiments } from '../../src/disk/experimentFiles';
import { buildNetwork } from '../../src/core/networks/catalog';
import { parameterCount } from '../../src/core/networks/network';
import { fill } from '../unit/drawnImages';
import { convlab, temporaryFolder } from './convlab';

const experiments = loadExperiments('experiments').map(({ experiment }) => experiment!);
let folder: string;
let images = process.env['CONVLAB_CAT_DOG'];
beforeAll(async () => {
  folder = temporaryFolder();
  if (images === undefined) {
    images = path.join(folder, 'cat_dog');
    await fill(images, { cat: 50, dog: 50 });
  }
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

describe.each(experiments.map((experiment) => [experiment.id, experiment] as const))('%s', (id, experiment) => {
  it.each(presetNames)('builds its network in the preset %s', (preset) => {
    const resolved = resolveExperiment(experiment, preset);
    const { size, channels } = resolved.input;
    const network = buildNetwork(resolved.network.name, [channels, size, size], outputsOf(resolved));
    expect(network.outputs).toBe(resolved.dataset.name === 'cat-dog' ? 1 : classCounts[resolved.dataset.name]);
  });

  const { batchSize, dataset } = experiment;
  // CIFAR-10 is a download of 139 MB: where everything is tested, not at every developer's turn.
  it.skipIf(dataset.name === 'cifar8' && !process.env['CI'])('trains', async () => {
    const runs = path.join(folder, 'runs');
    // Without CIFAR-10, digits are what the pretrained network has learnt before.
    const before = fs.existsSync(runs) ? fs.readdirSync(runs) : [];
    const pretrained = resolveExperiment(experiment, 'quick').network.weights !== 'scratch';
    const start = before.find((name) => name.endsWith('alexnet-mnist'));
    const weights =
      pretrained && !process.env['CI'] ? ['--set', `network.weights=${JSON.stringify({ run: start })}`] : [];
    const photographs = dataset.name === 'cat-dog';
    const result = await convlab([
      ...['train', id, '--preset', 'quick', '--engine', 'onnx', '--limit', String(2 * batchSize), '--epochs', '1'],
      ...['--json', '--runs', runs, ...weights, ...(photographs ? ['--data', images!] : [])],
    ]);
    // Its checkpoints are as large as its network; only those that another one starts from are kept.
    for (const name of fs.readdirSync(runs)) {
      const kept = ['alexnet-mnist', 'alexnet-cifar8'].some((other) => name.endsWith(other));
      if (!kept) fs.rmSync(path.join(runs, name), { recursive: true, force: true });
    }
    expect(result.error).toBe('');
    expect(result.status).toBe(0);

    const resolved = resolveExperiment(experiment, 'quick');
    const { size, channels } = resolved.input;
    const network = buildNetwork(resolved.network.name, [channels, size, size], outputsOf(resolved));
    const started = result.events.find((event) => event.type === 'started')!;
    expect(started).toMatchObject({ stepsPerEpoch: 2, parameterCount: parameterCount(network) });
    expect(started.startedFrom?.map(({ id }) => id)).toEqual(
      pretrained ? ['startedFromRun', 'startedNewLayer'] : undefined,
    );
    expect(started.examples.train).toBe(2 * batchSize);
    const losses = result.events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
    expect(losses).toHaveLength(2);
    // Before it has learnt, a network is as good as guessing; the second step follows the first update, which may overshoot.
    const guessing = Math.log(classCounts[dataset.name]);
    expect(losses[0]).toBeGreaterThan(0.5 * guessing);
    expect(losses[0]).toBeLessThan(2 * guessing);
    const epoch = result.events.find((event) => event.type === 'epoch')!;
    for (const { layer, updateRatio } of epoch.layers) expect(updateRatio, layer).toBeGreaterThan(0);
    expect(result.events.at(-1)).toMatchObject({
      type: 'finished',
      testedOnTestSet: dataset.name === 'mnist' || dataset.split.test !== undefined,
    });
  });
});
