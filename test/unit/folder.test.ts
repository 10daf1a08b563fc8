/** Folders of images as people have them: their layouts, and every kind of file that is not a plain JPEG. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ResolvedExperiment } from '../../src/core/experiment';
import { english } from '../../src/core/messages/message';
import type { Dataset } from '../../src/trainer/data/dataset';
import type { Part } from '../../src/trainer/data/split';
import { decode } from '../../src/trainer/data/decode';
import type { FlawedImage } from '../../src/trainer/data/flaws';
import { sniff } from '../../src/trainer/data/formats';
import { indexFolder } from '../../src/trainer/data/folder';
import { openDataset, OpenOptions } from '../../src/trainer/data/open';
import { drawn, fill, imagesExperiment, put, temporaryFolder } from './drawnImages';

const experiment = (changes: object = {}): ResolvedExperiment =>
  imagesExperiment({ network: { name: 'alexnet' }, input: { size: 64, channels: 3 }, ...changes });

let folder: string;
beforeEach(() => void (folder = temporaryFolder()));

const open = (options: Partial<OpenOptions> = {}, own = experiment()): Promise<Dataset> =>
  openDataset(own, {
    dataFolder: folder,
    workers: 0,
    progress: () => undefined,
    signal: new AbortController().signal,
    ...options,
  });
const names = ({ split }: Dataset, part: Part) => split!.parts[part].map((e) => e.name);
const allNames = (dataset: Dataset) =>
  (['train', 'validation', 'test'] as const).flatMap((part) => names(dataset, part));

async function readAll(dataset: Dataset, part: Part): Promise<{ images: Float32Array; labels: Int32Array }> {
  const count = dataset.counts[part];
  const images = new Float32Array(count * 3 * 64 * 64);
  const labels = new Int32Array(count);
  await dataset.read(
    part,
    Uint32Array.from({ length: count }, (_, i) => i),
    1,
    images,
    labels,
  );
  return { images, labels };
}

describe('a layout', () => {
  it.each([
    ['class folders', ['cat', 'dog']],
    ['plurals and capitals', ['Cats', 'DOGS']],
    ['Microsoft’s archive', ['PetImages/Cat', 'PetImages/Dog']],
    ['an archive in a folder of its own', ['kagglecatsanddogs/PetImages/Cat', 'kagglecatsanddogs/PetImages/Dog']],
  ])('of %s is recognised, cat first', async (_, [cat, dog]) => {
    await fill(folder, { [cat!]: 4, [dog!]: 4 });
    put(folder, 'readme.txt', 'x');
    const { classNames, candidates, leftOut } = await indexFolder(folder);
    expect(classNames).toEqual(['cat', 'dog']);
    expect(candidates.map((c) => [c.name.startsWith(cat!), c.label])).toEqual([
      ...Array<unknown>(4).fill([true, 0]),
      ...Array<unknown>(4).fill([false, 1]),
    ]);
    expect(leftOut).toEqual([]);
  });

  it.each([
    ['train', 'validation', 'validation'],
    ['training_set/training_set', 'test_set/test_set', 'test'],
    ['Train', 'val', 'validation'],
  ] as const)('of %s and %s keeps the parts that it gives', async (train, other, part) => {
    await fill(folder, { [`${train}/cats`]: 8, [`${train}/dogs`]: 8, [`${other}/cats`]: 2, [`${other}/dogs`]: 2 });
    const dataset = await open();
    const given = names(dataset, part);
    expect(given).toHaveLength(4);
    expect(given.every((name) => name.startsWith(other))).toBe(true);
    const rest = allNames(dataset).filter((name) => !given.includes(name));
    expect(rest).toHaveLength(16);
    expect(rest.every((name) => name.startsWith(train))).toBe(true);
    expect(english(dataset.provenance.note!)).toBe(`divided as the folder is: train, ${part}`);
  });

  it('of two folders with other names is taken in alphabetical order', async () => {
    await fill(folder, { mushroom: 4, 'a fern': 4 });
    expect((await open()).classNames).toEqual(['a fern', 'mushroom']);
  });

  it('is found by itself in the workspace', async () => {
    await fill(folder, { 'cat_dog/cat': 4, 'cat_dog/dog': 4 });
    const dataset = await open({ dataFolder: undefined, searchFolders: [temporaryFolder(), folder] });
    expect(dataset.provenance.source).toBe(fs.realpathSync(path.join(folder, 'cat_dog')));
  });

  it.each<[string, Record<string, number>, RegExp]>([
    ['no classes', {}, /has no subfolders for the classes/],
    ['one class', { cat: 3 }, /has only one class, “cat”/],
    ['three classes', { cat: 1, fern: 1, mushroom: 1 }, /has 3 subfolders, but this dataset has two classes/],
    ['two images in all', { cat: 1, dog: 1 }, /has 1 images of “cat”; splitting them takes at least 3/],
  ])('with %s is refused with a sentence', async (_, classes, sentence) => {
    await fill(folder, classes);
    await expect(open()).rejects.toThrow(sentence);
  });

  it('with a class that has no images is refused, naming its folder', async () => {
    await fill(folder, { cat: 4 });
    put(folder, 'dog/notes.txt', 'no images here');
    await expect(open()).rejects.toThrow(`The class folder ${path.join(folder, 'dog')} contains no images.`);
  });

  it('of a folder that is not there is refused', async () => {
    await expect(open({ dataFolder: path.join(folder, 'nowhere') })).rejects.toThrow(
      /no folder of images at .*nowhere/,
    );
  });
});

const jpeg = (seed: number) => drawn(seed).jpeg().toBuffer();
const half = (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1);

/** Each kind of file that cannot be used, and the sentence that tells of it. */
const bad: Record<string, { content: () => Promise<Buffer | string>; sentence: RegExp }> = {
  'truncated.jpg': { content: async () => half(await jpeg(1)), sentence: /cut short/ },
  'truncated.png': { content: async () => half(await drawn(2).png().toBuffer()), sentence: /cut short/ },
  'truncated.webp': { content: async () => half(await drawn(2).webp().toBuffer()), sentence: /cut short/ },
  'truncated.gif': { content: async () => half(await drawn(2).gif().toBuffer()), sentence: /cut short/ },
  'damaged.png': {
    content: async () => {
      const bytes = await drawn(3).png().toBuffer();
      bytes[bytes.length >> 1]! ^= 0xff;
      return bytes;
    },
    sentence: /damaged/,
  },
  'empty.jpg': { content: async () => '', sentence: /empty/ },
  'text.jpg': { content: async () => 'Not an image at all.', sentence: /not images/ },
  'drawing.svg': {
    content: async () => '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    sentence: /format cannot be read/,
  },
  'windows.bmp': {
    content: async () => Buffer.concat([Buffer.from('BM\x80\x0c\0\0\0\0\0\0'), Buffer.alloc(80)]),
    sentence: /format cannot be read/,
  },
  'huge.png': {
    content: () =>
      sharp({ create: { width: 9000, height: 6000, channels: 3, background: '#205080' } })
        .png()
        .toBuffer(),
    sentence: /more than 50 million pixels/,
  },
};

it.each(Object.entries(bad))(
  '%s is left out and counted, and training goes on',
  async (name, { content, sentence }) => {
    await fill(folder, { cat: 4, dog: 4 });
    put(folder, `dog/${name}`, await content());
    const dataset = await open();
    expect(dataset.warnings.map(english)).toEqual([expect.stringMatching(sentence)]);
    expect(english(dataset.warnings[0]!)).toMatch(`1 of 9 files were left out`);
    expect(english(dataset.warnings[0]!)).toMatch(`dog/${name}.`);
    expect(allNames(dataset)).toHaveLength(8);
    expect(allNames(dataset)).not.toContain(`dog/${name}`);
    const { images, labels } = await readAll(dataset, 'train');
    expect(images.every(Number.isFinite)).toBe(true);
    expect(new Set(labels)).toEqual(new Set([0, 1]));
  },
);

it('counts by reason, and fills the places of bad files under a limit', async () => {
  await fill(folder, { cat: 20, dog: 20 });
  for (let i = 0; i < 8; i++) put(folder, `cat/bad ${i}.jpg`, half(await jpeg(50 + i)));
  for (let i = 0; i < 3; i++) put(folder, `dog/text ${i}.jpg`, 'text');
  const whole = await open();
  const { cutShort, notImage } = {
    cutShort: /^8 of 51 files.*cut short/,
    notImage: /^3 of 51 files.*not images/,
  };
  expect(whole.warnings.map(english)).toEqual([expect.stringMatching(notImage), expect.stringMatching(cutShort)]);
  const limited = await open({}, experiment({ limit: 8 }));
  expect(limited.counts).toEqual({ train: 8, validation: 4, test: 4 });
  expect(names(limited, 'train').every((name) => !name.includes('bad'))).toBe(true);
});

it('says so where no image of a class can be decoded', async () => {
  await fill(folder, { cat: 6 });
  for (let i = 0; i < 6; i++) put(folder, `dog/${i}.jpg`, half(await jpeg(i)));
  await expect(open()).rejects.toThrow(/Only 0 of the 6 images of “dog” in .* can be decoded/);
});

describe('decoding', () => {
  const plain = (seed = 9) => drawn(seed).raw().toBuffer();
  const difference = (a: Uint8Array, b: Uint8Array) => {
    expect(a.length).toBe(b.length);
    return a.reduce((sum, v, i) => sum + Math.abs(v - b[i]!), 0) / a.length;
  };

  it.each<[string, () => Promise<Buffer>, number]>([
    ['a PNG named .jpg', () => drawn(9).png().toBuffer(), 0],
    ['a 16-bit PNG', () => drawn(9).toColourspace('rgb16').png().toBuffer(), 0],
    ['a TIFF', () => drawn(9).tiff({ compression: 'lzw' }).toBuffer(), 0],
    // A palette of 256 colours, and the lossy formats at their default quality.
    ['a palette PNG', () => drawn(9).png({ palette: true }).toBuffer(), 6],
    ['a JPEG', () => drawn(9).jpeg().toBuffer(), 6],
    ['a WebP', () => drawn(9).webp().toBuffer(), 6],
    ['an AVIF', () => drawn(9).avif().toBuffer(), 8],
    // Out to CMYK's smaller gamut and back.
    ['a CMYK JPEG', () => drawn(9).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer(), 25],
  ])('%s gives its image', async (_, make, tolerance) => {
    const image = await decode(await make());
    expect([image.width, image.height]).toEqual([48, 40]);
    expect(difference(image.data, await plain())).toBeLessThanOrEqual(tolerance);
  });

  it('a grey image gives three equal channels', async () => {
    for (const make of [drawn(9).greyscale().jpeg(), drawn(9).greyscale().toColourspace('grey16').png()]) {
      const { data } = await decode(await make.toBuffer());
      expect(data).toHaveLength(48 * 40 * 3);
      expect(data.every((value, i) => value === data[i - (i % 3)])).toBe(true);
      expect(new Set(data).size).toBeGreaterThan(50);
    }
  });

  it('transparency shows white', async () => {
    const half = await drawn(9).ensureAlpha(0.5).png().toBuffer();
    const image = await plain();
    const expected = image.map((value) => Math.round((value + 255) / 2));
    expect(difference((await decode(half)).data, expected)).toBeLessThan(1);
    const invisible = await drawn(9).ensureAlpha(0).png().toBuffer();
    expect((await decode(invisible)).data.every((value) => value === 255)).toBe(true);
  });

  it('EXIF orientation is applied', async () => {
    const turned = await drawn(9).withMetadata({ orientation: 6 }).png().toBuffer();
    const image = await decode(turned);
    expect([image.width, image.height]).toEqual([40, 48]);
    const expected = await sharp(await drawn(9).png().toBuffer())
      .rotate(90)
      .raw()
      .toBuffer();
    expect(difference(image.data, expected)).toBe(0);
  });

  it.each(['gif', 'webp'] as const)('an animated %s gives its first frame', async (format) => {
    const frames = Buffer.concat([await plain(9), await plain(10)]);
    const animation = sharp(frames, { raw: { width: 48, height: 80, channels: 3, pageHeight: 40 } });
    const bytes = await (format === 'gif' ? animation.gif() : animation.webp({ lossless: true })).toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(2);
    const { data } = await decode(bytes);
    expect(difference(data, await plain(9))).toBeLessThan(format === 'gif' ? 12 : 1);
    expect(difference(data, await plain(10))).toBeGreaterThan(20);
  });

  it('names what is wrong', async () => {
    const flaw = async (bytes: Buffer) =>
      decode(bytes).then(
        () => 'none',
        (error: FlawedImage) => error.flaw,
      );
    expect(await flaw(Buffer.alloc(0))).toBe('empty');
    expect(await flaw(Buffer.from('text'))).toBe('notImage');
    expect(await flaw((await jpeg(1)).subarray(0, -2))).toBe('cutShort');
    expect(sniff(Buffer.from('\0\0\0\x1cftypheic', 'latin1'), 12)).toBe('unsupported');
  });
});

it('reads Unicode and very long names', async () => {
  await fill(folder, { cat: 3, dog: 3 });
  const long = `${'长'.repeat(80)}.jpg`;
  put(folder, `cat/貓 – κάτια 🐈.jpg`, await jpeg(1));
  put(folder, `dog/${long}`, await jpeg(2));
  const dataset = await open();
  expect(dataset.warnings).toEqual([]);
  expect(allNames(dataset)).toEqual(expect.arrayContaining(['cat/貓 – κάτια 🐈.jpg', `dog/${long}`]));
  await readAll(dataset, 'train');
});

it.skipIf(process.platform !== 'linux')('counts a name that is no Unicode', async () => {
  await fill(folder, { cat: 4, dog: 4 });
  const name = Buffer.concat([Buffer.from(`${folder}/cat/caf`), Buffer.from([0xe9]), Buffer.from('.jpg')]);
  fs.writeFileSync(name, await jpeg(1));
  const dataset = await open();
  expect(dataset.warnings.map(english)).toEqual([expect.stringMatching(/^1 of 9 files .* cannot be read.*cat\/caf/)]);
  expect(allNames(dataset)).toHaveLength(8);
});

it.skipIf(process.platform === 'win32' || process.getuid?.() === 0)(
  'counts a folder that may not be read',
  async () => {
    await fill(folder, { cat: 4, dog: 4, 'dog/private': 2 });
    fs.chmodSync(path.join(folder, 'dog/private'), 0);
    const dataset = await open();
    fs.chmodSync(path.join(folder, 'dog/private'), 0o700);
    expect(dataset.warnings.map(english)).toEqual([
      expect.stringMatching(/^1 of 9 files .* cannot be read.*dog\/private/),
    ]);
  },
);

it('passes over what systems leave beside images', async () => {
  await fill(folder, { cat: 4, dog: 4 });
  for (const name of ['cat/.DS_Store', 'cat/Thumbs.db', 'dog/desktop.ini']) put(folder, name, 'x');
  const dataset = await open();
  expect(dataset.warnings).toEqual([]);
  expect(allNames(dataset)).toHaveLength(8);
});

describe.skipIf(process.platform === 'win32')('links', () => {
  it('that loop or leave the folder are not followed, and counted', async () => {
    const outside = temporaryFolder();
    await fill(outside, { cat: 2 });
    await fill(folder, { cat: 4, dog: 4 });
    fs.symlinkSync('..', path.join(folder, 'cat/loop'));
    fs.symlinkSync(path.join(outside, 'cat'), path.join(folder, 'cat/elsewhere'));
    fs.symlinkSync(path.join(folder, 'cat/0.jpg'), path.join(folder, 'dog/again.jpg'));
    const dataset = await open();
    expect(allNames(dataset)).toHaveLength(8);
    expect(dataset.warnings.map(english)).toEqual([expect.stringMatching(/^3 of 11 files .* links.*cat\/elsewhere/)]);
  });

  it('that stand for the folder itself are', async () => {
    await fill(folder, { cat: 4, dog: 4 });
    const link = path.join(temporaryFolder(), 'images');
    fs.symlinkSync(folder, link);
    expect((await open({ dataFolder: link })).counts).toEqual({ train: 4, validation: 2, test: 2 });
  });
});

describe('a run that goes on', () => {
  it('takes the split that it began with', async () => {
    await fill(folder, { cat: 8, dog: 8 });
    const first = await open();
    // New images would change every choice.
    await fill(folder, { 'cat/new': 5 }, 2);
    const again = await open({ stored: first.split });
    expect(again.split).toEqual(first.split);
    expect((await readAll(again, 'train')).images).toEqual((await readAll(first, 'train')).images);
    // It finds the folder where it began.
    expect((await open({ stored: first.split, dataFolder: undefined })).split).toEqual(first.split);
  });

  it('stays with its own images when another folder is chosen, and follows them when they move', async () => {
    await fill(folder, { cat: 4, dog: 4 });
    const first = await open();
    const other = temporaryFolder();
    await fill(other, { 'other/cat': 6, 'other/dog': 6 }, 3);
    expect((await open({ stored: first.split, dataFolder: other })).split).toEqual(first.split);
    const moved = path.join(temporaryFolder(), 'moved');
    fs.renameSync(folder, moved);
    const dataset = await open({ stored: first.split, dataFolder: moved });
    expect(dataset.split).toEqual({ ...first.split, root: fs.realpathSync(moved) });
    expect((await readAll(dataset, 'train')).images).toEqual((await readAll(first, 'train')).images);
  });

  it('warns where another version began it, whose pixels were others', async () => {
    await fill(folder, { cat: 4, dog: 4 });
    const { split } = await open();
    expect((await open({ stored: split })).warnings).toEqual([]);
    const { pixels: _, ...older } = split!;
    const dataset = await open({ stored: older });
    expect(dataset.warnings.map(english)).toEqual([
      expect.stringMatching(/another version of ConvLab.* resized images a little differently/),
    ]);
    // Resumed once more, it warns again.
    expect(dataset.split).toEqual(older);
  });

  it('says so where an image is missing or another one', async () => {
    await fill(folder, { cat: 4, dog: 4 });
    const { split } = await open();
    const original = fs.readFileSync(path.join(folder, 'cat/1.jpg'));
    const other = Buffer.from(original);
    // Another image of the same size.
    other[400]! ^= 1;
    put(folder, 'cat/1.jpg', other);
    await expect(open({ stored: split })).rejects.toThrow(/1\.jpg has changed since this run started/);
    put(folder, 'cat/1.jpg', original);
    expect((await open({ stored: split })).split).toEqual(split);
    put(folder, 'cat/1.jpg', await drawn(999, 60, 60).jpeg().toBuffer());
    await expect(open({ stored: split })).rejects.toThrow(/1\.jpg has changed since this run started/);
    fs.rmSync(path.join(folder, 'cat/1.jpg'));
    await expect(open({ stored: split })).rejects.toThrow(/1\.jpg, which this run started with, is missing/);
  });
});

it('names the folder, or the image, that goes away during a run', async () => {
  await fill(folder, { cat: 4, dog: 4 });
  // Nothing is kept in memory, so every image is read when its turn comes.
  const dataset = await open({ cacheBytes: 0 });
  await readAll(dataset, 'train');
  const gone = path.join(folder, names(dataset, 'train')[0]!);
  fs.rmSync(gone);
  await expect(readAll(dataset, 'train')).rejects.toThrow(`The image ${gone} can no longer be read (ENOENT).`);
  fs.rmSync(folder, { recursive: true });
  await expect(readAll(dataset, 'train')).rejects.toThrow(/The folder of images .* is no longer there/);
});

it('names the folder that goes away while its images are looked at', async () => {
  await fill(folder, { cat: 40, dog: 40 });
  // Told after each part of each class.
  const progress = () => fs.rmSync(folder, { recursive: true, force: true });
  await expect(open({ progress })).rejects.toThrow(/The folder of images .* is no longer there/);
});

it('stops in the middle of the check where asked to', async () => {
  await fill(folder, { cat: 8, dog: 8 });
  const stopping = new AbortController();
  const progress = () => stopping.abort(new Error('stopped'));
  await expect(open({ progress, signal: stopping.signal })).rejects.toThrow('stopped');
});
