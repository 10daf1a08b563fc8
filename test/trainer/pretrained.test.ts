/**
 * The experiment that starts from ImageNet's weights, from their download to the test accuracy, in the real trainer: a
 * server of this machine stands in for the published address, and a file that the test writes, in AlexNet's full size, for
 * torchvision's. The trainer is told its name and digits by a change to its bundle, for it takes no other.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { networkOf } from '../../src/core/experiment';
import { alexnet } from '../../src/core/networks/alexnet';
import { networks } from '../../src/core/networks/catalog';
import { initialParameters, Tensors } from '../../src/core/networks/network';
import { readHistory, readRecord } from '../../src/disk/runs';
import { readTrained } from '../../src/trainer/training/checkpoint';
import { writeStateDict } from '../../src/trainer/weights/pth';
import { fill } from '../unit/drawnImages';
import { convlab, onlyRun, temporaryFolder } from './convlab';

let folder: string;
let runs: string;
let dist: string;
/** What the server has: a state dict of AlexNet with ImageNet's 1000 classes. */
let weights: Buffer;
let parameters: Tensors;
let sha256: string;
let file: string;
beforeAll(async () => {
  folder = temporaryFolder();
  runs = path.join(folder, 'runs');
  await fill(path.join(folder, 'cat_dog'), { cat: 50, dog: 50 });

  const network = alexnet([3, 224, 224], 1000);
  // Another seed than the experiment's, whose own draw it could otherwise be taken for.
  parameters = initialParameters(network, 97);
  const written = path.join(folder, 'alexnet.pth');
  const descriptor = fs.openSync(written, 'w');
  writeStateDict(
    descriptor,
    network.parameters.map(({ name, shape }) => ({ name, shape, values: parameters.get(name)! })),
  );
  fs.closeSync(descriptor);
  weights = fs.readFileSync(written);
  fs.rmSync(written);
  sha256 = createHash('sha256').update(weights).digest('hex');
  file = `alexnet-owt-${sha256.slice(0, 8)}.pth`;

  const installation = path.join(folder, 'installation');
  dist = path.join(installation, 'dist');
  fs.cpSync('dist', dist, { recursive: true });
  for (const name of ['package.json', 'experiments', 'l10n', 'node_modules']) {
    fs.symlinkSync(path.resolve(name), path.join(installation, name));
  }
  const trainer = path.join(dist, 'trainer.js');
  const pieces = fs.readFileSync(trainer, 'utf8').split(networks.alexnet.imagenet.file);
  expect(pieces).toHaveLength(2);
  fs.writeFileSync(trainer, pieces.join(file));
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

/** Two steps of one epoch, on small images. */
async function train(answer: http.RequestListener): Promise<Awaited<ReturnType<typeof convlab>>> {
  const server = http.createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/models`;
  try {
    return await convlab(
      [
        ...['train', 'alexnet-catdog-pretrained', '--engine', 'onnx', '--set', 'input.size=64', '--limit', '64'],
        ...['--epochs', '1', '--data', path.join(folder, 'cat_dog'), '--runs', runs, '--json'],
      ],
      undefined,
      { dist, env: { CONVLAB_WEIGHTS: address, CONVLAB_CACHE: path.join(folder, 'cache'), NO_PROXY: '127.0.0.1' } },
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const kept = () => fs.readdirSync(path.join(folder, 'cache/weights'));

it('refuses weights that are not what their name says, before there is a run', async () => {
  const { status, error } = await train((_, response) => {
    response.writeHead(200, { 'content-length': weights.length });
    response.write(weights.subarray(0, weights.length - 1));
    response.end(Buffer.of(weights.at(-1)! ^ 1));
  });
  expect(status).toBe(1);
  expect(error).toMatch(
    new RegExp(`${file} is not the expected file: its SHA-256 begins with [0-9a-f]{8} instead of ${sha256.slice(0, 8)}`),
  ); // prettier-ignore
  expect(fs.existsSync(runs)).toBe(false);
  expect(kept()).toEqual([]);
});

it('trains from weights whose download broke off, and records and tests what became of them', async () => {
  const asked: (string | undefined)[][] = [];
  const { status, error, events } = await train(({ url, headers: { range } }, response) => {
    asked.push([url, range]);
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? 'bytes=0-')![1]);
    const rest = weights.subarray(from);
    const part = { 'content-range': `bytes ${from}-${weights.length - 1}/${weights.length}` };
    response.writeHead(range ? 206 : 200, { 'content-length': rest.length, ...(range && part) });
    if (range) return response.end(rest);
    return response.write(rest.subarray(0, 50_000_000), () => setTimeout(() => response.destroy(), 50));
  });
  expect([status, error]).toEqual([0, '']);
  expect(asked).toEqual([
    [`/models/${file}`, undefined],
    [`/models/${file}`, expect.stringMatching(/^bytes=[1-9]\d*-$/)],
  ]);
  expect(kept()).toEqual([file]);

  const run = onlyRun(runs);
  const startedFrom = [
    { id: 'startedFromImagenet', args: { file } },
    { id: 'startedNewLayer', args: { layer: 'classifier.6', outputs: 1, before: 1000 } },
  ];
  expect(events[0]).toMatchObject({ type: 'started', startedFrom, stepsPerEpoch: 2 });
  const record = readRecord(run);
  expect(record.start).toEqual({ source: { kind: 'imagenet', sha256 }, told: startedFrom });
  const last = events.at(-1)!;
  if (last.type !== 'finished') throw new Error(`ended with ${last.type}`);
  expect(last.testedOnTestSet).toBe(true);
  const { examples } = readHistory(run).started!;
  const right = last.confusion.reduce((sum, row, truth) => sum + row[truth]!, 0);
  expect(last.confusion.flat().reduce((sum, count) => sum + count)).toBe(examples.test);
  expect(last.testAccuracy).toBeCloseTo(right / examples.test, 12);
  expect(JSON.parse(fs.readFileSync(path.join(run, 'result.json'), 'utf8'))).toEqual(last);

  // Every layer but the new one has moved away from the weights that came, and no farther than two of Adam's steps go.
  const trained = readTrained(run, networkOf(record.experiment)).parameters;
  const { learningRate } = record.experiment.optimizer;
  const farthest = 2 * learningRate * Math.sqrt(1 / (1 - 0.999)) * (1 - 0.9);
  for (const [name, before] of parameters) {
    if (name.startsWith('classifier.6')) continue;
    const distance = trained.get(name)!.reduce((most, value, i) => Math.max(most, Math.abs(value - before[i]!)), 0);
    expect(distance, name).toBeGreaterThan(0);
    expect(distance, name).toBeLessThan(1.01 * farthest);
  }
  expect(trained.get('classifier.6.weight')).toHaveLength(4096);
});
