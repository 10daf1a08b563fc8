/**
 * Runs in a process of its own, which fuzz.test.ts watches: reads one altered file after another with the code that reads
 * files from outside. Arguments: target, seed, inputs, a folder to work in, a file that says how far it is.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { buildNetwork } from '../../src/core/networks/catalog';
import { UserError } from '../../src/core/messages/message';
import { readHistory, readRecord } from '../../src/disk/runs';
import { decode } from '../../src/trainer/data/decode';
import { FlawedImage } from '../../src/trainer/data/flaws';
import { readMnist } from '../../src/trainer/data/mnist';
import { readSplit } from '../../src/trainer/data/split';
import { structureOf } from '../../src/trainer/data/structure';
import { readTar } from '../../src/trainer/data/tar';
import { readNewest } from '../../src/trainer/training/checkpoint';
import { isPositionOf } from '../../src/trainer/training/position';
import { StateDict } from '../../src/trainer/weights/pth';
import { mutateBytes, mutateField, pathsOf } from './mutate';
import { generator } from './size';

const [target, seedText, inputsText, folder, progress] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const seed = Number(seedText);
const inputs = Number(inputsText);
const started = fs.readdirSync(path.join(folder, 'seeds', target)).sort();
const seeds = started.map((name) => fs.readFileSync(path.join(folder, 'seeds', target, name)));

/** Reads one altered file. @returns whether it was taken for a whole one @throws what is no sentence */
type Reader = (bytes: Buffer, random: () => number) => boolean | Promise<boolean>;

/** A sentence is an answer; anything else that is thrown is a defect. */
const orSentence = (read: () => void): boolean => {
  try {
    read();
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
};
const scratch = (name: string, bytes: Buffer | string): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, bytes);
  return file;
};
const pick = <T>(list: readonly T[], random: () => number): T => list[Math.floor(random() * list.length)]!;

const readers: Readonly<Record<string, Reader>> = {
  pth: (whole, random) => {
    const file = scratch('f.pth', mutateBytes(whole, random, seeds));
    return orSentence(() => {
      const weights = StateDict.open(file);
      try {
        for (const name of weights.names) weights.read(name);
      } finally {
        weights.close();
      }
    });
  },
  safetensors: (whole, random) => {
    const length = Number(whole.readBigUInt64LE());
    let bytes: Buffer;
    if (random() < 0.5) bytes = mutateBytes(whole, random);
    else {
      const header: unknown = JSON.parse(whole.toString('utf8', 8, 8 + length));
      const json = Buffer.from(JSON.stringify(mutateField(header, pick(pathsOf(header), random), random)));
      const prefix = Buffer.alloc(8);
      prefix.writeBigUInt64LE(BigInt(json.length));
      bytes = Buffer.concat([prefix, json, whole.subarray(8 + length)]);
    }
    fs.mkdirSync(path.join(folder, 'checkpoints'), { recursive: true });
    scratch('checkpoints/last.safetensors', bytes);
    const network = buildNetwork('lenet5', [1, 32, 32], 10);
    const { checkpoint, damage } = readNewest<{ epoch: number; step: number; seconds: number }>(
      folder,
      network,
      (value) => isPositionOf(value, 3, 200),
    );
    const odd = damage.find((sentence) => !sentence.includes('is damaged'));
    if (odd !== undefined) throw new Error(`no sentence: ${odd}`);
    if (!checkpoint) return false;
    // What is accepted is what was written, whatever was altered around it.
    const { epoch, step, seconds } = checkpoint.position;
    if (epoch !== 1 || step !== 100 || seconds !== 12.5) throw new Error('another position is accepted');
    const { parameters, optimizer } = checkpoint.state;
    const same = [parameters, optimizer!.firstMoment, optimizer!.secondMoment].every((tensors) =>
      [...tensors.values()].every((numbers) => numbers.every((number) => number === 0.5)),
    );
    if (!same || optimizer!.step !== 100) throw new Error('other tensors are accepted');
    return true;
  },
  idx: (whole, random) => {
    const bytes = random() < 0.5 ? mutateBytes(whole, random) : gzipSync(mutateBytes(gunzipSync(whole), random));
    scratch(`train-images-idx3-ubyte${random() < 0.9 ? '.gz' : ''}`, bytes);
    const read = orSentence(() => readMnist(folder));
    for (const name of fs.readdirSync(folder)) if (name.startsWith('train-')) fs.rmSync(path.join(folder, name));
    return read;
  },
  tar: async (whole, random) => {
    const bytes = random() < 0.3 ? mutateBytes(whole, random) : gzipSync(mutateBytes(gunzipSync(whole), random));
    try {
      await readTar(scratch('f.tgz', bytes), new Map([['package/a.json', 5000], ['package/b.png', 5000]])); // prettier-ignore
      return true;
    } catch (error) {
      // Whoever asks makes a sentence of its reason.
      if (error instanceof RangeError || error instanceof TypeError) throw error;
      return false;
    }
  },
  json: (whole, random) => {
    const text = whole.toString();
    const name = text.includes('"type"') ? 'metrics.jsonl' : text.includes('"parts"') ? 'split.json' : 'run.json';
    let bytes = mutateBytes(whole, random, seeds);
    if (random() < 0.7) {
      const lines = name === 'metrics.jsonl' ? text.trim().split('\n') : [text];
      const at = Math.floor(random() * lines.length);
      const value: unknown = JSON.parse(lines[at]!);
      lines[at] = JSON.stringify(mutateField(value, pick(pathsOf(value), random), random));
      bytes = Buffer.from(lines.join('\n'));
    }
    scratch(name, bytes);
    return orSentence(() => {
      if (name === 'run.json') readRecord(folder);
      else if (name === 'split.json') readSplit(folder);
      else readHistory(folder).state(false);
    });
  },
  images: async (whole, random) => {
    const bytes = mutateBytes(whole, random, seeds);
    structureOf(bytes);
    try {
      const { width, height, data } = await decode(bytes);
      if (data.length !== width * height * 3) throw new RangeError(`${data.length} bytes of ${width} × ${height}`);
      return true;
    } catch (error) {
      if (error instanceof FlawedImage) return false;
      throw error;
    }
  },
};

void (async () => {
  const report = { inputs: 0, whole: 0, slowestMs: 0, slowest: -1, defects: [] as string[], peakMiB: 0 };
  const far = fs.openSync(progress, 'w');
  for (let i = 0; i < inputs; i++) {
    fs.writeSync(far, String(i), 0);
    const random = generator(seed * 0x9e3779b1 + i);
    const before = performance.now();
    try {
      if (await readers[target]!(pick(seeds, random), random)) report.whole++;
    } catch (error) {
      if (report.defects.length < 10) report.defects.push(`input ${i}: ${(error as Error).stack ?? String(error)}`);
    }
    const ms = performance.now() - before;
    if (ms > report.slowestMs) Object.assign(report, { slowestMs: Math.round(ms), slowest: i });
    report.inputs++;
  }
  report.peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(JSON.stringify(report));
})();
