/** Opens the dataset that an experiment names. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ResolvedExperiment } from '../../core/experiment';
import type { DataPlaces } from '../../core/contracts/tasks';
import { cifar10Source } from './cifar10';
import type { Dataset } from './dataset';
import { mnistDataset, readMnist } from './mnist';
import { DataSurroundings, folderSource, imageDataset, ImageSource } from './images';

export interface OpenOptions extends DataSurroundings, DataPlaces {}

/** Names under which the images of cats and dogs are found by themselves. */
const catDogFolders = ['cat_dog', 'PetImages'];

/** @throws UserError that names the file or setting at fault */
export async function openDataset(experiment: ResolvedExperiment, options: OpenOptions): Promise<Dataset> {
  const { name } = experiment.dataset;
  if (name === 'mnist') return mnistDataset(readMnist(options.dataFolder), experiment, options.testDrawn);
  return imageDataset(await imageSource(name, options), experiment, options);
}

/** The images that a dataset other than MNIST consists of. @throws UserError */
export async function imageSource(name: 'cat-dog' | 'cifar8', options: OpenOptions): Promise<ImageSource> {
  const folder = name === 'cat-dog' ? catDogFolder(options) : undefined;
  return folder === undefined ? cifar10Source(name, options) : folderSource(folder, options.signal);
}

/** The folder of cats and dogs: named by the user, or where the run began, or found; undefined for CIFAR-10's. */
function catDogFolder({ dataFolder, stored, searchFolders = [] }: OpenOptions): string | undefined {
  if (stored) {
    // The user may have chosen another folder since, or moved this one to where the setting points now.
    if (stored.source !== 'folder') return undefined;
    const first = stored.parts.train[0]!.name;
    const holds = (folder: string) => fs.existsSync(path.join(folder, first));
    return dataFolder === undefined || (holds(stored.root) && !holds(dataFolder)) ? stored.root : dataFolder;
  }
  if (dataFolder !== undefined) return dataFolder;
  return searchFolders
    .flatMap((parent) => catDogFolders.map((found) => path.join(parent, found)))
    .find((candidate) => fs.existsSync(candidate));
}
