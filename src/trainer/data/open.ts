/** Opens the dataset that an experiment names. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { DatasetName, datasetTitles, ResolvedExperiment } from '../../experiment';
import { Message, message, UserError } from '../../messages';
import type { DataPlaces } from '../../protocol';
import type { Dataset } from './dataset';
import { mnistDataset, readMnist } from './mnist';
import { DataSurroundings, folderSource, pictureDataset } from './pictures';

export interface OpenOptions extends DataSurroundings, DataPlaces {}

/** Names under which the pictures of cats and dogs are found by themselves. */
const catDogFolders = ['cat_dog', 'PetImages'];

/** @throws UserError that names the file or setting at fault */
export async function openDataset(experiment: ResolvedExperiment, options: OpenOptions): Promise<Dataset> {
  const { name } = experiment.dataset;
  if (name === 'mnist') return mnistDataset(readMnist(options.dataFolder), experiment);
  if (name === 'cat-dog') {
    const folder = catDogFolder(options);
    if (folder !== undefined) {
      return pictureDataset(await folderSource(folder, options.pause), experiment, options);
    }
  }
  throw new UserError(message('datasetNotYet', { dataset: datasetTitles[name] }));
}

/** The folder of cats and dogs: named by the user, or where the run began, or found. */
function catDogFolder({ dataFolder, stored, searchFolders = [] }: OpenOptions): string | undefined {
  if (dataFolder !== undefined) return dataFolder;
  if (stored) return stored.source === 'folder' ? stored.root : undefined;
  return searchFolders
    .flatMap((parent) => catDogFolders.map((name) => path.join(parent, name)))
    .find((candidate) => fs.existsSync(candidate));
}

/** Checks a dataset's files. @returns a sentence for the user @throws UserError */
export async function verifyDataset(name: DatasetName, folder?: string): Promise<Message> {
  if (name === 'mnist') {
    const files = readMnist(folder);
    const [train, test] = [files.trainLabels.length, files.testLabels.length];
    return message('datasetVerified', { dataset: 'MNIST', train, test, classes: 10, folder: files.folder });
  }
  throw new UserError(message('datasetNotYet', { dataset: datasetTitles[name] }));
}
