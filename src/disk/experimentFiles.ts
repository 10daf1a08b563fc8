/** The experiments folder: lists and finds experiment files for the terminal and the sidebar. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Experiment, nearest, parseExperiment } from '../core/experiment';
import { message, UserError } from '../core/messages/message';
import { readJsonText } from './json';

/** A file of the experiments folder: an experiment, or the sentence that says why it is none. */
export type ExperimentFile =
  | { readonly file: string; readonly experiment: Experiment; readonly error?: undefined }
  | { readonly file: string; readonly experiment?: undefined; readonly error: UserError };

/** Reads every experiment file of a folder, in order of chapter, then id; unusable ones come last. */
export function loadExperiments(folder: string): ExperimentFile[] {
  const files = fs.readdirSync(folder).filter((name) => name.endsWith('.json'));
  const key = (f: ExperimentFile) => (f.experiment ? `${f.experiment.chapter}\0${f.experiment.id}` : '\uffff');
  return files
    .map((name): ExperimentFile => {
      const file = path.join(folder, name);
      try {
        return { file, experiment: readExperiment(file) };
      } catch (error) {
        return { file, error: error as UserError };
      }
    })
    .sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** Reads one experiment file. @throws UserError */
export function readExperiment(file: string): Experiment {
  let text: string;
  try {
    text = readJsonText(file);
  } catch (error) {
    const reason = error instanceof UserError ? error.userMessage : (error as Error).message;
    throw new UserError(message('experimentUnreadable', { file, reason }));
  }
  return parseExperiment(text, file);
}

/**
 * The experiment with this id.
 * @throws UserError that suggests the nearest id, or says what is wrong with the file
 */
export function findExperiment(folder: string, id: string): Experiment {
  const files = loadExperiments(folder);
  const found = files.find((f) => f.experiment?.id === id || (f.error && path.basename(f.file, '.json') === id));
  if (found?.error) throw found.error;
  if (found?.experiment) return found.experiment;
  const near = nearest(
    id,
    files.flatMap((f) => (f.experiment ? [f.experiment.id] : [])),
  );
  throw new UserError(
    near ? message('experimentNotFoundNearest', { id, nearest: near }) : message('experimentNotFound', { id }),
  );
}
