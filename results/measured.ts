/**
 * What the results page is made of: the runs that it wants, and the figures that are kept of each in docs/results.json.
 * make.ts makes the runs; claims.ts and report.ts read the figures.
 */
import type { DatasetName, Preset, ResolvedExperiment } from '../src/core/experiment';
import { median } from '../src/core/statistics';
import type { History } from '../src/core/history';
import { english, Message } from '../src/core/messages/message';
import type { NetworkName } from '../src/core/networks/catalog';
import type { EpochEvent } from '../src/core/contracts/events';

/** One run that the page wants; `name` identifies it in the figures. */
export interface Wanted {
  readonly name: string;
  readonly id: string;
  readonly preset: Preset;
  readonly seed: number;
  /** Settings that differ from the preset's, by dotted path: a run that separates two causes. */
  readonly overrides: Readonly<Record<string, unknown>>;
}

/** Between the AlexNet that is stuck and the one that learns, two things change; these change one of them alone. */
export const stepAlone = { 'optimizer.learningRate': 1e-4, epochs: 24 };
export const augmentationAlone = { 'optimizer.learningRate': 1e-3 };

/** LeNet-5 on as many digits as AlexNet’s quick preset takes. */
export const asManyDigits = { limit: 10_000 };

/** Experiments in the order of the notes. Those that decide a claim run from three seeds, the others from one. */
const plan: readonly (Pick<Wanted, 'id'> & Partial<Pick<Wanted, 'preset' | 'overrides'>> & { seeds: number[] })[] = [
  { id: 'lenet5-mnist', preset: 'course', seeds: [1, 2, 3] },
  { id: 'lenet5-mnist', seeds: [1, 2, 3] },
  { id: 'lenet5-mnist', overrides: asManyDigits, seeds: [1] },
  { id: 'alexnet-mnist', seeds: [1] },
  { id: 'alexnet-cifar8', seeds: [1] },
  // After the run that it starts from.
  { id: 'alexnet-catdog-pretrained', seeds: [1, 2, 3] },
  { id: 'alexnet-catdog-scratch', seeds: [1, 2, 3] },
  { id: 'alexnet-catdog', seeds: [1, 2, 3] },
  { id: 'vgg16-catdog', seeds: [1, 2, 3] },
  { id: 'resnet18-catdog', seeds: [1, 2, 3] },
  { id: 'alexnet-keras-catdog', seeds: [42] },
  { id: 'vgg16-keras-catdog', seeds: [42] },
  { id: 'resnet50-keras-catdog', seeds: [42] },
  { id: 'alexnet-catdog', overrides: augmentationAlone, seeds: [1] },
  { id: 'alexnet-catdog-scratch', overrides: stepAlone, seeds: [1] },
];

/** Every run wanted, the first seed of all before the second of any, so that a page with few runs tells of many. */
export const wanted: readonly Wanted[] = [0, 1, 2].flatMap((round) =>
  plan.flatMap(({ id, preset = 'quick', overrides = {}, seeds }): Wanted[] => {
    const seed = seeds[round];
    if (seed === undefined) return [];
    const changed = Object.entries(overrides).map(
      ([path, value]) => `${path.split('.').at(-1)}=${JSON.stringify(value)}`,
    );
    return [{ name: [id, preset, ...changed, seed].join(' '), id, preset, seed, overrides }];
  }),
);

/** An epoch's figures, with those of the layers summed up: first and last are in the network's order. */
export interface MeasuredEpoch {
  readonly trainLoss: number;
  readonly trainAccuracy: number;
  readonly validationLoss: number;
  readonly validationAccuracy: number;
  readonly firstGradientNorm: number;
  readonly lastGradientNorm: number;
  /** Median over the layers. */
  readonly updateRatio: number;
  /** Of the layer with the largest share; 0 where no layer is followed directly by a ReLU. */
  readonly deadShare: number;
  readonly logitStd: number;
}

/** One finished run. */
export interface MeasuredRun extends Wanted {
  readonly title: string;
  readonly network: NetworkName;
  /** What the weights started from: 'scratch', 'imagenet', or an experiment's id. */
  readonly start: string;
  readonly dataset: DatasetName;
  /** How its folder was divided, where not class by class. */
  readonly splitBy?: 'keras';
  readonly size: number;
  readonly batchSize: number;
  readonly augmented: boolean;
  readonly learningRate: number;
  readonly parameters: number;
  readonly examples: { readonly train: number; readonly validation: number; readonly test: number };
  readonly data: string;
  readonly engine: string;
  /** The processor that it ran on; absent in older figures, which are the page's machine's. */
  readonly device?: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly epochs: readonly MeasuredEpoch[];
  /** Largest loss of a step in the first epoch, and the step, counted from 1. */
  readonly highestLoss: { readonly loss: number; readonly step: number };
  readonly accuracy: number;
  readonly loss: number;
  readonly testedOnTestSet: boolean;
  readonly bestValidationAccuracy: number;
  readonly bestEpoch: number;
  /** Median over the epochs; a figure of speed only where nothing else ran on the machine. */
  readonly secondsPerEpoch: number;
  /** From the first step to the end of the test; as above. */
  readonly seconds: number;
}

/** docs/results.json */
export interface ResultsFile {
  readonly format: 1;
  /** Whether other programs shared the processor, so that seconds are no measure of speed. */
  readonly shared: boolean;
  readonly machine: string;
  readonly runs: readonly MeasuredRun[];
}

/** Figures are kept to five significant digits. */
const short = (value: number): number => Number(value.toPrecision(5));

const dataTitle = (title: Message | string): string => (typeof title === 'string' ? title : english(title));

/** The figures of a finished run; undefined where it has not finished. */
export function measured(
  wish: Wanted,
  experiment: ResolvedExperiment,
  { started, finished, epochs, steps }: History,
): MeasuredRun | undefined {
  if (!started || !finished) return undefined;
  const first = steps.filter(({ epoch }) => epoch === 1);
  const highest = first.reduce((a, b) => (b.loss > a.loss ? b : a), first[0]!);
  const { network, dataset, input, batchSize, augment, optimizer } = experiment;
  return {
    ...wish,
    title: experiment.title,
    network: network.name,
    start: startOf(network.weights),
    dataset: dataset.name,
    ...(dataset.splitBy && { splitBy: dataset.splitBy }),
    size: input.size,
    batchSize,
    augmented: augment !== undefined,
    learningRate: optimizer.learningRate,
    parameters: started.parameterCount,
    examples: started.examples,
    data: dataTitle(started.data?.title ?? dataset.name),
    device: started.device,
    engine: started.engine,
    versions: started.versions,
    epochs: epochs.map(measuredEpoch),
    highestLoss: { loss: short(highest.loss), step: highest.step + 1 },
    accuracy: finished.testAccuracy,
    loss: short(finished.testLoss),
    testedOnTestSet: finished.testedOnTestSet,
    bestValidationAccuracy: finished.bestValidationAccuracy,
    bestEpoch: finished.bestEpoch,
    secondsPerEpoch: short(median(epochs.map(({ seconds }) => seconds))),
    seconds: short(finished.seconds),
  };
}

function startOf(weights: ResolvedExperiment['network']['weights']): string {
  if (typeof weights === 'string') return weights;
  if ('experiment' in weights) return weights.experiment;
  return 'run' in weights ? weights.run : weights.file;
}

function measuredEpoch(event: EpochEvent): MeasuredEpoch {
  const { layers } = event;
  return {
    trainLoss: short(event.trainLoss),
    trainAccuracy: short(event.trainAccuracy),
    validationLoss: short(event.validationLoss),
    validationAccuracy: short(event.validationAccuracy),
    firstGradientNorm: short(layers[0]!.gradientNorm),
    lastGradientNorm: short(layers.at(-1)!.gradientNorm),
    updateRatio: short(median(layers.map(({ updateRatio }) => updateRatio))),
    deadShare: short(Math.max(0, ...layers.map(({ deadShare }) => deadShare ?? 0))),
    logitStd: short(event.logitStd),
  };
}
