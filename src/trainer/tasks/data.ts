/**
 * Tells of a dataset without training on it: where it lies, how many images it has, which files cannot be used, and
 * under what terms it may be used. It fetches and verifies where that is asked for. `main.ts` calls it for
 * `convlab data` and the editor's datasets view.
 */
import type { DatasetReport, DatasetRequest } from '../../core/contracts/tasks';
import { isFetched } from '../data/cifar10';
import { mnistClasses, mnistProvenance, readMnist } from '../data/mnist';
import { imageSource } from '../data/open';
import { checkImages, leftOutMessages, ImageSource } from '../data/images';
import type { TaskSurroundings } from './task';

/** @throws UserError where the dataset cannot be had, and the signal's reason */
export async function reportDataset(
  { dataset, verify, ...places }: DatasetRequest,
  surroundings: Pick<TaskSurroundings<'dataset'>, 'progress' | 'signal'> & { readonly workers?: number },
): Promise<DatasetReport> {
  if (dataset === 'mnist') return reportMnist(places.dataFolder);
  const source = await imageSource(dataset, { ...places, ...surroundings, unfetched: !verify });
  const found = verify && !source.held ? await checkImages(source, surroundings) : [];
  const leftOut = [...source.leftOut, ...found];
  const flawed = new Set(found.map(({ name }) => name));
  const good = source.candidates.filter(({ name }) => !flawed.has(name));
  const total = source.candidates.length + source.leftOut.length;
  const fetched = source.kind === 'folder' || isFetched();
  return {
    dataset,
    provenance: source.provenance,
    ...(fetched ? { folder: source.root } : {}),
    classes: source.classNames.map((name, label) => ({ name, count: good.filter((c) => c.label === label).length })),
    parts: partsOf(good),
    leftOut: { count: leftOut.length, reasons: leftOutMessages(leftOut, total) },
    verified: verify,
  };
}

/** How many images the source itself puts in each part. */
function partsOf(good: ImageSource['candidates']): DatasetReport['parts'] {
  const parts: { train?: number; validation?: number; test?: number } = {};
  for (const { part } of good) if (part) parts[part] = (parts[part] ?? 0) + 1;
  return parts;
}

/** MNIST comes with ConvLab; its files are small enough to be verified each time. */
function reportMnist(folder: string | undefined): DatasetReport {
  const files = readMnist(folder);
  const labels = [...files.trainLabels, ...files.testLabels];
  return {
    dataset: 'mnist',
    provenance: mnistProvenance(files),
    folder: files.folder,
    classes: mnistClasses.map((name, label) => ({ name, count: labels.filter((l) => l === label).length })),
    parts: { train: files.trainLabels.length, test: files.testLabels.length },
    leftOut: { count: 0, reasons: [] },
    verified: true,
  };
}
