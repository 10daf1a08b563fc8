/** Hostile files of every kind that is read from outside: each is read or answered with a sentence, soon and in little memory. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';
import sharp from 'sharp';
import { create } from 'tar';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { resolveExperiment } from '../../src/core/experiment';
import { buildNetwork } from '../../src/core/networks/catalog';
import { findExperiment } from '../../src/disk/experimentFiles';
import { RunFolder } from '../../src/disk/runs';
import { writeLast } from '../../src/trainer/training/checkpoint';
import { seed, sized } from './size';

/** An input that takes longer hangs. */
const hangMs = 2_000;
/** Node alone takes 60; libvips holds a few images. Nothing here is worth more. */
const mostMiB = 700;

let folder: string;
let script: string;
const seedOf = (target: string, name: string, bytes: Buffer | string) => {
  fs.mkdirSync(path.join(folder, 'seeds', target), { recursive: true });
  fs.writeFileSync(path.join(folder, 'seeds', target, name), bytes);
};

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-fuzz-'));
  const golden = path.resolve('test/golden');
  for (const name of fs.readdirSync(golden).filter((name) => name.endsWith('.pth'))) {
    seedOf('pth', name, fs.readFileSync(path.join(golden, name)));
  }

  const network = buildNetwork('lenet5', [1, 32, 32], 10);
  const tensors = new Map(
    network.parameters.map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5)]),
  );
  const run = path.join(folder, 'run');
  fs.mkdirSync(path.join(run, 'checkpoints'), { recursive: true });
  const sums = {
    ...{ examples: 6400, loss: 1.5, correct: 100, steps: 100, seconds: 1, logitStd: 0.25 },
    ...{ gradientSquares: [1, 2], updateRatios: [0.5], deadShares: [], windowLoss: 0.75, windowSteps: 1 },
  };
  const state = {
    parameters: tensors,
    buffers: new Map<string, Float32Array>(),
    optimizer: { step: 100, firstMoment: tensors, secondMoment: tensors },
  };
  writeLast(run, state, { epoch: 1, step: 100, seconds: 12.5, sums });
  seedOf('safetensors', 'last', fs.readFileSync(path.join(run, 'checkpoints/last.safetensors')));

  const idx = Buffer.alloc(16 + 20 * 784, 7);
  [2051, 20, 28, 28].forEach((value, i) => idx.writeUInt32BE(value, i * 4));
  seedOf('idx', 'images', gzipSync(idx));

  fs.mkdirSync(path.join(folder, 'package'));
  fs.writeFileSync(path.join(folder, 'package/a.json'), JSON.stringify(Array.from({ length: 300 }, (_, i) => i)));
  fs.writeFileSync(path.join(folder, 'package/b.png'), Buffer.alloc(2000, 3));
  fs.mkdirSync(path.join(folder, 'seeds/tar'), { recursive: true });
  await create({ gzip: true, cwd: folder, file: path.join(folder, 'seeds/tar/package.tgz') }, ['package']);

  const experiment = resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'quick');
  const made = RunFolder.create(path.join(folder, 'runs'), experiment, '0');
  made.close();
  seedOf('json', 'run', fs.readFileSync(path.join(made.folder, 'run.json')));
  const events = [
    { type: 'step', epoch: 1, step: 1, loss: 2.3, time: '2026-01-01T00:00:00.000Z' },
    {
      type: 'epoch',
      epoch: 1,
      trainLoss: 1,
      validationLoss: 1,
      trainAccuracy: 0.5,
      validationAccuracy: 0.5,
      seconds: 1,
    },
    { type: 'resumed', epoch: 2, step: 0 },
    { type: 'stopped', reason: 'user' },
    { type: 'finished', testAccuracy: 0.5, testLoss: 1, seconds: 3 },
  ];
  seedOf('json', 'metrics', events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  const split = { format: 1, source: 'folder', root: 'x', classNames: ['a', 'b'] };
  const part = [['a/1.png', 0, 100, 'ab'], ['b/1.png', 1, 100]]; // prettier-ignore
  seedOf('json', 'split', JSON.stringify({ ...split, parts: { train: part, validation: part, test: part } }));

  const pixels = Buffer.from(Array.from({ length: 24 * 16 * 3 }, (_, i) => (i * 37) & 255));
  const image = () => sharp(pixels, { raw: { width: 24, height: 16, channels: 3 } });
  seedOf('images', 'a.jpg', await image().jpeg().toBuffer());
  seedOf('images', 'b.jpg', await image().jpeg({ progressive: true }).toBuffer());
  seedOf('images', 'c.png', await image().png().toBuffer());
  seedOf('images', 'd.png', await image().png({ palette: true }).toBuffer());
  seedOf('images', 'e.gif', await image().gif().toBuffer());
  seedOf('images', 'f.webp', await image().webp().toBuffer());
  seedOf('images', 'g.tif', await image().tiff({ compression: 'lzw' }).toBuffer());
  seedOf('images', 'h.ppm', Buffer.concat([Buffer.from('P6\n24 16\n255\n'), pixels]));
  const bitmap = Buffer.alloc(54 + pixels.length, 9);
  bitmap.write('BM');
  bitmap.writeUInt32LE(bitmap.length, 2);
  [54, 40, 24, 16].forEach((value, i) => bitmap.writeUInt32LE(value, 10 + i * 4));
  bitmap.writeUInt16LE(1, 26);
  bitmap.writeUInt16LE(24, 28);
  bitmap.writeUInt32LE(0, 30);
  seedOf('images', 'i.bmp', bitmap);

  script = path.resolve('dist/campaign/fuzzer.cjs');
  buildSync({
    entryPoints: ['test/campaign/fuzzer.ts'],
    bundle: true,
    platform: 'node',
    packages: 'external',
    logLevel: 'error',
    outfile: script,
  });
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

interface Report {
  readonly inputs: number;
  readonly whole: number;
  readonly slowestMs: number;
  readonly slowest: number;
  readonly defects: readonly string[];
  readonly peakMiB: number;
}

/** @throws Error that names the input where the process dies or hangs */
function fuzz(target: string, inputs: number): Promise<Report> {
  const own = path.join(folder, target);
  fs.mkdirSync(own);
  fs.symlinkSync(path.join(folder, 'seeds'), path.join(own, 'seeds'), 'junction');
  const progress = path.join(folder, `${target}.progress`);
  return new Promise((resolve, reject) => {
    const args = [script, target, String(seed), String(inputs), own, progress];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    const far = () => (fs.existsSync(progress) ? fs.readFileSync(progress, 'utf8') : '');
    let seen = '';
    let hung = false;
    // What computes for ever tells nothing itself.
    const watch = setInterval(() => {
      if (far() === seen) {
        hung = true;
        child.kill('SIGKILL');
      }
      seen = far();
    }, 20_000);
    child.on('close', (code, signal) => {
      clearInterval(watch);
      if (code === 0) return resolve(JSON.parse(out) as Report);
      reject(new Error(`${target}: input ${far()} of seed ${seed} ${hung ? 'hangs' : `ends it (${signal ?? code})`}`));
    });
  });
}

it.each([
  ['pth', 600, 60_000],
  ['safetensors', 200, 20_000],
  ['idx', 400, 30_000],
  ['tar', 300, 30_000],
  ['json', 800, 60_000],
  ['images', 400, 30_000],
])('altered files: %s', async (target, short, whole) => {
  const report = await fuzz(target, sized(short, whole));
  console.log(`campaign: ${target}: ${JSON.stringify({ seed, ...report })}`);
  expect(report.defects).toEqual([]);
  expect(report.inputs).toBe(sized(short, whole));
  expect(report.slowestMs, `input ${report.slowest}`).toBeLessThan(hangMs);
  expect(report.peakMiB).toBeLessThan(mostMiB);
  // Some alterations are harmless where no digest holds the whole; if all are refused, the seeds themselves are.
  if (['pth', 'json', 'images', 'tar'].includes(target)) expect(report.whole).toBeGreaterThan(0);
});
