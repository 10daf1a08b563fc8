/**
 * What a comparison of runs shows of each: the row of the course's summary table, filled from the user's own run, and the
 * curves to lay over one another. The terminal's `compare` and the comparison panel are both drawn from it.
 */
import { median } from './statistics';
import { datasetTitles, networkOf, ResolvedExperiment } from './experiment';
import type { History, RunState } from './history';
import { Message, message } from './messages/message';
import { NetworkName, networkNames, networks } from './networks/catalog';
import { Network, parameterCount } from './networks/network';
import type { EngineName } from './contracts/events';

export interface EpochFigures {
  readonly epoch: number;
  readonly trainLoss: number;
  readonly trainAccuracy: number;
  readonly validationLoss: number;
  readonly validationAccuracy: number;
}

/** One run as a comparison shows it. */
export interface ComparedRun {
  /** The name of its folder. */
  readonly run: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly experimentId: string;
  /** Of the course notes. */
  readonly chapter: string;
  /** In English; the bundles know its translations. */
  readonly title: string;
  readonly preset: string;
  readonly network: string;
  readonly structure: Message;
  readonly parameters: number;
  /** What its dataset is called. */
  readonly dataset: Message;
  /** Channels, height and width of an example: "3×64×64". */
  readonly input: string;
  readonly engine?: EngineName;
  readonly state: RunState;
  readonly epochsDone: number;
  readonly epochs: number;
  /** The final figure, or where there is none yet the newest epoch's on the validation examples. */
  readonly accuracy?: { readonly value: number; readonly of: 'test' | 'validation' };
  readonly bestValidationAccuracy?: number;
  /** Median over the epochs, validation included. */
  readonly secondsPerEpoch?: number;
  /** What the course notes say of the network; nothing where they say nothing. */
  readonly notes?: { readonly difficulty: Message; readonly results: Message; readonly lesson: Message };
  readonly curve: readonly EpochFigures[];
}

/** The notes' own judgement of each network, from their summary: theirs to say, not measured here. */
const notes: Partial<Record<NetworkName, ComparedRun['notes']>> = {
  lenet5: {
    difficulty: message('notesLenet5Difficulty'),
    results: message('notesLenet5Results'),
    lesson: message('notesLenet5Lesson'),
  },
  alexnet: {
    difficulty: message('notesAlexnetDifficulty'),
    results: message('notesAlexnetResults'),
    lesson: message('notesAlexnetLesson'),
  },
  vgg16: {
    difficulty: message('notesVgg16Difficulty'),
    results: message('notesVgg16Results'),
    lesson: message('notesVgg16Lesson'),
  },
  resnet18: {
    difficulty: message('notesResnet18Difficulty'),
    results: message('notesResnet18Results'),
    lesson: message('notesResnet18Lesson'),
  },
};

/** @param run the name of the run's folder */
export function compared(
  run: string,
  created: string,
  experiment: ResolvedExperiment,
  history: History,
  state: RunState,
): ComparedRun {
  const { name } = experiment.network;
  const { size, channels } = experiment.input;
  const network = networkOf(experiment);
  const { finished, epochs } = history;
  const newest = epochs[epochs.length - 1];
  const accuracy = finished
    ? { value: finished.testAccuracy, of: finished.testedOnTestSet ? ('test' as const) : ('validation' as const) }
    : newest && { value: newest.validationAccuracy, of: 'validation' as const };
  return {
    run,
    created,
    experimentId: experiment.id,
    chapter: experiment.chapter,
    title: experiment.title,
    preset: experiment.preset,
    network: networks[name].title,
    structure: structureOf(network),
    parameters: parameterCount(network),
    dataset: datasetTitles[experiment.dataset.name],
    input: `${channels}×${size}×${size}`,
    engine: history.started?.engine,
    state,
    epochsDone: epochs.length,
    epochs: experiment.epochs,
    accuracy,
    bestValidationAccuracy: history.bestEpoch?.validationAccuracy,
    secondsPerEpoch: epochs.length > 0 ? median(epochs.map(({ seconds }) => seconds)) : undefined,
    notes: notes[name],
    curve: epochs.map(({ epoch, trainLoss, trainAccuracy, validationLoss, validationAccuracy }) => ({
      epoch,
      trainLoss,
      trainAccuracy,
      validationLoss,
      validationAccuracy,
    })),
  };
}

/** In the order of the notes: by network, then by chapter, then by experiment and time. */
export function inCourseOrder(runs: readonly ComparedRun[]): ComparedRun[] {
  const titles = networkNames.map((name) => networks[name].title);
  const rank = ({ network }: ComparedRun) => titles.indexOf(network);
  const by = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return [...runs].sort(
    (a, b) =>
      rank(a) - rank(b) || by(a.chapter, b.chapter) || by(a.experimentId, b.experimentId) || by(a.created, b.created),
  );
}

/**
 * The runs that a comparison begins with: of each experiment the newest that has finished, or, where none has, the newest
 * with an epoch to show.
 */
export function representatives(runs: readonly ComparedRun[]): ComparedRun[] {
  const best = new Map<string, ComparedRun>();
  for (const run of runs) {
    if (run.curve.length === 0) continue;
    const before = best.get(run.experimentId);
    const finished = (r: ComparedRun) => r.state === 'finished';
    const better = !before || (finished(run) === finished(before) ? run.created > before.created : finished(run));
    if (better) best.set(run.experimentId, run);
  }
  return inCourseOrder([...best.values()]);
}

/** Counts the layers that are trained: "5 convolutions, 3 linear layers". */
function structureOf(network: Network): Message {
  const count = (kind: string) => network.nodes.filter(({ op }) => op.kind === kind).length;
  const [convolutions, linear, shortcuts] = [count('conv'), count('linear'), count('add')];
  if (shortcuts > 0) return message('structureShortcuts', { convolutions, linear, shortcuts });
  return count('batchNorm') > 0
    ? message('structureNormalized', { convolutions, linear })
    : message('structurePlain', { convolutions, linear });
}

/**
 * A run's accuracy in words: of which examples it is, and for a run under way after how many epochs.
 * @param figure writes a number
 * @returns undefined where there is none yet
 */
export function accuracyOf(run: ComparedRun, figure: (value: number) => string): Message | undefined {
  if (!run.accuracy) return undefined;
  const accuracy = figure(run.accuracy.value);
  const { epochsDone: done, epochs } = run;
  if (run.state !== 'finished') return message('accuracyUnfinished', { accuracy, done, epochs });
  return message(run.accuracy.of === 'test' ? 'accuracyOfTest' : 'accuracyOfValidation', { accuracy });
}
