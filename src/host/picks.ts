/**
 * The questions that commands ask in quick picks: which network, dataset, experiment and preset to train, and which run
 * is meant. Every function resolves to undefined when the user leaves without choosing.
 */
import * as vscode from 'vscode';
import { DatasetName, datasetNames, Experiment, Preset, presetNames, ResolvedExperiment } from '../core/experiment';
import { roughDuration } from '../core/estimates';
import { message } from '../core/messages/message';
import { MessageId } from '../core/messages/texts';
import { networkNames, networks } from '../core/networks/catalog';
import { EngineName, engineNames } from '../core/contracts/events';
import { EngineRequest } from '../core/contracts/tasks';
import type { Estimator } from './estimator';
import { describeEpoch, describeRun } from './experimentTree';
import { count, datasetTitle, dateTime, t, translate } from './localize';
import type { Run } from './run';
import type { RunLine } from './runList';
import { openPick, pick as ask, setItems } from './show';

interface Pick<T> extends vscode.QuickPickItem {
  readonly value: T;
}

const pick = async <T>(items: readonly Pick<T>[], title: string, placeHolder: string): Promise<T | undefined> =>
  (await ask(items, placeHolder, title))?.value;

/** Network, then dataset, then, where several experiments train that pair, which of them. */
export async function pickExperiment(experiments: readonly Experiment[]): Promise<Experiment | undefined> {
  const title = t(message('trainTitle'));
  const network = await pick(
    networkNames
      .map((name) => ({ name, count: experiments.filter((e) => e.network.name === name).length }))
      .filter(({ count }) => count > 0)
      .map(({ name, count }) => ({
        label: networks[name].title,
        description: t(message('experimentCount', { count })),
        value: name,
      })),
    title,
    t(message('pickNetwork')),
  );
  if (network === undefined) return undefined;
  const ofNetwork = experiments.filter((e) => e.network.name === network);
  const dataset = await pick(
    datasetNames
      .map((name) => ({ name, count: ofNetwork.filter((e) => e.dataset.name === name).length }))
      .filter(({ count }) => count > 0)
      .map(({ name, count }) => ({
        label: datasetTitle(name),
        description: t(message('experimentCount', { count })),
        value: name,
      })),
    `${title} ${networks[network].title}`,
    t(message('pickDataset')),
  );
  if (dataset === undefined) return undefined;
  const matching = ofNetwork.filter((e) => e.dataset.name === dataset);
  if (matching.length === 1) return matching[0];
  return pick(
    matching.map((e) => ({ label: translate(e.title), detail: translate(e.question), value: e })),
    `${title} ${networks[network].title} · ${datasetTitle(dataset)}`,
    t(message('pickExperiment')),
  );
}

/** Which of the experiments of a network is to start from another run. */
export function pickExperimentToStart(
  experiments: readonly Experiment[],
  network: string,
): Promise<Experiment | undefined> {
  return pick(
    experiments.map((e) => ({
      label: translate(e.title),
      description: datasetTitle(e.dataset.name),
      detail: translate(e.question),
      value: e,
    })),
    `${t(message('trainTitle'))} ${network}`,
    t(message('pickExperimentToStart')),
  );
}

/**
 * The preset, with what each would do under the present settings and how long it would take, as soon as that is known.
 * @throws UserError where the settings do not fit
 */
export async function pickPreset(
  experiment: Experiment,
  resolve: (preset: Preset) => ResolvedExperiment,
  estimator: Estimator,
): Promise<Preset | undefined> {
  const known = presetNames.filter((name) => name === 'course' || experiment.presets[name]);
  const resolved = known.map(resolve);
  const times = known.map(() => t(message('estimateMeasuring')));
  const told = new Set<number>();
  const estimating = estimator.start(
    resolved,
    ({ index, seconds }) => {
      told.add(index);
      times[index] = seconds === undefined ? '' : t(message('estimateAbout', { time: t(roughDuration(seconds)) }));
      draw();
    },
    () => {
      if (told.size === known.length) return;
      known.forEach((_, index) => told.has(index) || (times[index] = ''));
      draw();
    },
  );
  const quickPick = openPick<Pick<Preset>>(translate(experiment.title), t(message('pickPreset')));
  const draw = () => {
    const active = quickPick.activeItems[0]?.value;
    setItems(
      quickPick,
      known.map((name, index) => ({
        label: t(message(name === 'quick' ? 'presetQuick' : 'presetCourse')),
        description: [describeSize(resolved[index]!), times[index]].filter(Boolean).join(' · '),
        detail: t(message(name === 'quick' ? 'presetQuickDetail' : 'presetCourseDetail')),
        value: name,
      })),
    );
    // New items take the choice back to the first one.
    quickPick.activeItems = quickPick.items.filter((item) => item.value === (active ?? known[0]));
  };
  draw();
  return new Promise((resolve) => {
    quickPick.onDidAccept(() => {
      resolve(quickPick.selectedItems[0]?.value);
      quickPick.hide();
    });
    quickPick.onDidHide(() => {
      resolve(undefined);
      estimating.dispose();
      quickPick.dispose();
    });
    quickPick.show();
  });
}

/** "10 epochs · 55,000 examples". */
export function describeSize(experiment: ResolvedExperiment): string {
  const examples = trainingExamples(experiment);
  return [
    experiment.epochs === 1 ? t(message('epochCountOne')) : t(message('epochCount', { epochs: experiment.epochs })),
    ...(examples === undefined ? [] : [t(message('exampleCount', { examples: count(examples) }))]),
  ].join(' · ');
}

/** Training examples; undefined where only the data can tell, because the split is in shares. */
function trainingExamples({ dataset, limit }: ResolvedExperiment): number | undefined {
  const { train } = dataset.split;
  if (train > 1) return Math.min(train, limit ?? train);
  return limit;
}

/** Any dataset. */
export function pickDataset(): Promise<DatasetName | undefined> {
  const items = datasetNames.map((value) => ({ label: datasetTitle(value), value }));
  return pick(items, 'ConvLab', t(message('pickAnyDataset')));
}

/** One of the runs that this window trains; the only one is taken without asking. */
export async function pickTraining(training: readonly Run[], placeHolder: string): Promise<Run | undefined> {
  if (training.length < 2) return training[0];
  return pick(
    training.map((run) => ({
      label: translate(run.experiment.title),
      description: describeEpoch(run.history.epochs.length, run.experiment.epochs),
      detail: run.name,
      value: run,
    })),
    'ConvLab',
    placeHolder,
  );
}

const engineTexts: Record<EngineName, MessageId> = {
  tensorflow: 'engineTensorflow',
  webgpu: 'engineWebgpu',
  onnx: 'engineOnnx',
};

/** An engine to go on with. @param soFar the one that computed the run until now, if any */
export function pickEngine(soFar: EngineName | undefined): Promise<EngineRequest | undefined> {
  const about = (id: MessageId) => t({ id, args: {} });
  return pick<EngineRequest>(
    [
      { label: 'auto', detail: about('engineAuto'), value: 'auto' },
      ...engineNames.map((name) => ({
        label: name,
        description: name === soFar ? about('engineSoFar') : undefined,
        detail: about(engineTexts[name]),
        value: name,
      })),
    ],
    'ConvLab',
    about('pickEngine'),
  );
}

/** One of the runs on disk. */
export function pickRun(lines: readonly RunLine[], placeHolder: string): Promise<RunLine | undefined> {
  return pick(
    lines.map((line) => ({
      label: translate(line.record.experiment.title),
      description: describeRun(line),
      detail: dateTime(line.record.created),
      value: line,
    })),
    'ConvLab',
    placeHolder,
  );
}
