/** Opens the dataset that an experiment names. */
import { DatasetName, datasetTitles, ResolvedExperiment } from '../../experiment';
import { Message, message, UserError } from '../../messages';
import type { Dataset } from './dataset';
import { mnistDataset, readMnist } from './mnist';

/**
 * @param folder a folder that the user named for this dataset
 * @throws UserError that names the file or setting at fault
 */
export async function openDataset(experiment: ResolvedExperiment, folder?: string): Promise<Dataset> {
  const { name } = experiment.dataset;
  if (name === 'mnist') return mnistDataset(readMnist(folder), experiment);
  throw new UserError(message('datasetNotYet', { dataset: datasetTitles[name] }));
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
