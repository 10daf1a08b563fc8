/** Images drawn for a test: shapes and noise from a seed, written in whatever format a test wants. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import sharp, { Sharp } from 'sharp';
import { afterAll } from 'vitest';
import { parseExperiment, ResolvedExperiment, resolveExperiment } from '../../src/core/experiment';
import { streamKey, uniform, word } from '../../src/core/random';

/** An image with a gradient, a disc and a little noise, different for every seed. */
export function drawn(seed: number, width = 48, height = 40): Sharp {
  const key = streamKey(seed, 77);
  const data = Buffer.alloc(width * height * 3);
  const [cx, cy, radius] = [uniform(key, 0) * width, uniform(key, 1) * height, (0.2 + 0.2 * uniform(key, 2)) * height];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inside = (x - cx) ** 2 + (y - cy) ** 2 < radius ** 2;
      for (let c = 0; c < 3; c++) {
        const ground = 60 + 120 * (c === 0 ? x / width : c === 1 ? y / height : uniform(key, 3));
        const noise = word(key, 100 + (y * width + x) * 3 + c) % 16;
        data[(y * width + x) * 3 + c] = (inside ? 255 - ground : ground) + noise - 8;
      }
    }
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/** An experiment of a short epoch on a folder of such images, but for some changes to its file. */
export function imagesExperiment(changes: object = {}): ResolvedExperiment {
  const file = {
    id: 'images',
    title: 'Images',
    network: { name: 'lenet5' },
    dataset: { name: 'cat-dog', split: { train: 0.5, validation: 0.25, test: 0.25 } },
    input: { size: 32, channels: 3 },
    optimizer: { learningRate: 1e-3 },
    batchSize: 4,
    epochs: 1,
    ...changes,
  };
  return resolveExperiment(parseExperiment(JSON.stringify(file), 'images.json'), 'course');
}

const temporaryFolders: string[] = [];
afterAll(() => temporaryFolders.forEach((folder) => fs.rmSync(folder, { recursive: true, force: true })));

/** A new folder, which goes away with the file of tests. */
export function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-images-'));
  temporaryFolders.push(folder);
  return folder;
}

/** Writes a file, making its folder. */
export function put(folder: string, name: string, content: Buffer | string): void {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
}

/** Fills class folders with JPEGs: {'cat': 6, 'dog': 6} makes cat/0.jpg … */
export async function fill(folder: string, classes: Readonly<Record<string, number>>, seed = 1): Promise<void> {
  for (const [name, count] of Object.entries(classes)) {
    for (let i = 0; i < count; i++) {
      put(
        folder,
        `${name}/${i}.jpg`,
        await drawn(seed * 10_000 + i + name.length * 1000)
          .jpeg()
          .toBuffer(),
      );
    }
  }
}
