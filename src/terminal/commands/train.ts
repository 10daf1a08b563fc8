/** `convlab train`: says how long an experiment will take, and trains it, or goes on with a run. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Overrides, Preset, presetNames, ResolvedExperiment, resolveExperiment } from '../../core/experiment';
import { longRun, roughDuration } from '../../core/estimates';
import { message, UserError } from '../../core/messages/message';
import { engineNames } from '../../core/contracts/events';
import type { EngineRequest, EstimateRequest } from '../../core/contracts/tasks';
import { findExperiment, loadExperiments } from '../../disk/experimentFiles';
import { comparable } from '../../disk/places';
import { readRecord } from '../../disk/runs';
import { endError, startTask } from '../../trainerClient';
import { givenPath, userFolder } from '../caller';
import {
  badOption,
  Command,
  Exit,
  folderOf,
  oneOf,
  runNamed,
  runsFolderFrom,
  threadsOf,
  UsageError,
  Values,
  wholeNumber,
} from '../command';
import { JsonDisplay, PersonDisplay } from '../display';
import { Interruption } from '../interruption';
import { complain, say } from '../output';
import { t } from '../speech';
import { survey, trainerScript } from '../survey';
import { experimentsFolder } from './list';

export const train: Command = {
  argument: { name: '<id>', required: ({ resume }) => resume === undefined },
  about: message('usageTrain'),
  options: [
    ...(['preset', 'engine', 'epochs', 'seed', 'limit', 'set', 'start', 'threads', 'data', 'resume', 'runs'] as const),
    'json',
  ],
  works: true,
  run: (args, values) => Interruption.during((interruption) => trainUntil(interruption, args, values)),
};

async function trainUntil(interruption: Interruption, args: string[], values: Values): Promise<number> {
  const named = values.resume === undefined ? undefined : givenPath(values.resume);
  const runsFolder =
    values.runs === undefined && named !== undefined && fs.existsSync(named)
      ? path.dirname(named)
      : runsFolderFrom(values);
  const engine: EngineRequest = oneOf('engine', values.engine ?? 'auto', ['auto', ...engineNames]);
  const keepEngine = values.engine === undefined;
  const threads = threadsOf(values);
  const { experiment, resume } = whatToTrain(args, values, runsFolder);
  const display = values.json ? new JsonDisplay() : new PersonDisplay(resume);
  const dataFolder = folderOf(values.data);
  const searchFolders = [userFolder()];
  if (!values.json && resume === undefined) {
    const request = { engine, threads, runsFolders: [runsFolder], dataFolder, searchFolders };
    await sayEstimate(experiment, values, request, interruption);
  }
  if (interruption.asked) {
    display.end(true);
    return Exit.stopped;
  }
  const trainer = startTask(
    'train',
    { experiment, engine, keepEngine, threads, runsFolder, resume, dataFolder, searchFolders },
    { script: trainerScript },
    {
      onUpdate: (update) => {
        if (update.type === 'run') display.run(update.folder);
        else update.events.forEach((event) => display.event(event));
      },
      onProgress: (text) => display.progress(text),
      onLog: complain,
    },
  );
  const end = await interruption.ended(trainer, () => display.progress(message('stopping')));
  display.end(end.kind === 'stopped');
  if (end.kind === 'failed' || end.kind === 'crashed') {
    display.failure(endError(end), end.kind === 'crashed');
    return Exit.failed;
  }
  return end.kind === 'finished' ? Exit.ok : Exit.stopped;
}

/** The experiment to train and, when going on with a run, its folder. */
function whatToTrain(
  [id]: string[],
  values: Values,
  runsFolder: string,
): { experiment: ResolvedExperiment; resume?: string } {
  if (values.resume === undefined) {
    const preset: Preset = values.preset === undefined ? 'course' : oneOf('preset', values.preset, presetNames);
    return {
      experiment: resolveExperiment(findExperiment(experimentsFolder, id!), preset, overridesFrom(values, runsFolder)),
    };
  }
  // A name inside the runs folder, or a path to a folder inside it.
  const resume = runNamed(values.resume, runsFolder);
  mustBeIn(resume, runsFolder);
  for (const option of ['preset', 'epochs', 'seed', 'limit', 'set', 'start'] as const) {
    if (values[option] !== undefined) {
      throw new UsageError(message('tooManyArguments', { command: 'train --resume', argument: `--${option}` }));
    }
  }
  return { experiment: readRecord(resume).experiment, resume };
}

/**
 * What --start names, as network.weights says it: a file of weights, a finished run of the runs folder, or an experiment
 * whose newest one it is to be.
 * @throws UserError where there is neither
 */
function startFrom(name: string, runsFolder: string): ResolvedExperiment['network']['weights'] {
  const file = givenPath(name);
  if (fs.statSync(file, { throwIfNoEntry: false })?.isFile()) return { file };
  const run = [path.resolve(runsFolder, name), file].find((f) => fs.existsSync(f));
  if (run === undefined) {
    if (loadExperiments(experimentsFolder).some(({ experiment }) => experiment?.id === name))
      return { experiment: name };
    throw new UserError(message('startNotFound', { name, folder: runsFolder }));
  }
  mustBeIn(run, runsFolder);
  return { run: path.basename(run) };
}

/** @throws UserError for a run that is not in the runs folder */
function mustBeIn(run: string, runsFolder: string): void {
  if (
    fs.existsSync(runsFolder) &&
    comparable(path.dirname(fs.realpathSync.native(run))) === comparable(fs.realpathSync.native(runsFolder))
  )
    return;
  throw new UserError(message('resumeOutside', { run, folder: runsFolder }), message('resumeOutsideAdvice'));
}

function overridesFrom(values: Values, runsFolder: string): Overrides {
  const overrides: Record<string, unknown> = {};
  for (const pair of values.set ?? []) {
    const at = pair.indexOf('=');
    if (at < 1) throw badOption('--set', pair, message('expectedSetting'));
    const text = pair.slice(at + 1);
    try {
      overrides[pair.slice(0, at)] = JSON.parse(text);
    } catch {
      // A word that is not JSON stands for itself, so that names need no quotes.
      overrides[pair.slice(0, at)] = text;
    }
  }
  for (const [name, least] of [
    ['epochs', 1],
    ['seed', 0],
    ['limit', 1],
  ] as const) {
    const text = values[name];
    if (text !== undefined) overrides[name] = wholeNumber(name, text, least);
  }
  if (values.start !== undefined) overrides['network.weights'] = startFrom(values.start, runsFolder);
  return overrides;
}

/**
 * Says how long a run will take, and how long a quick one would where that is long. What cannot be estimated is not
 * spoken of: the run itself tells what is wrong.
 */
async function sayEstimate(
  experiment: ResolvedExperiment,
  values: Values,
  request: Omit<EstimateRequest, 'experiments' | 'measure'>,
  interruption: Interruption,
): Promise<void> {
  const course = experiment.preset === 'course';
  const estimate = async (of: ResolvedExperiment) => {
    let name: string = request.engine;
    let seconds: number | undefined;
    // A quick run is not worth seconds of measuring.
    await survey('estimate', { ...request, experiments: [of], measure: course }, interruption, {
      onUpdate: (update) => {
        if (update.type === 'machine') name = update.machine.engine;
        else seconds = update.estimate.seconds;
      },
    });
    return { seconds, engine: name };
  };
  const { seconds, engine } = await estimate(experiment);
  if (interruption.asked || seconds === undefined) return;
  say(t(message('estimateLine', { time: t(roughDuration(seconds)), engine })));
  const file = findExperiment(experimentsFolder, experiment.id);
  if (!course || seconds <= longRun || !file.presets.quick) return;
  const quick = await estimate(resolveExperiment(file, 'quick', overridesFrom(values, request.runsFolders[0]!)));
  // Overrides can make it no shorter.
  if (!interruption.asked && quick.seconds !== undefined && quick.seconds < seconds) {
    say(t(message('estimateQuickLine', { time: t(roughDuration(quick.seconds)) })));
  }
}
