/**
 * The events of a run: the lines of its metrics.jsonl and of `--json`. The trainer writes them, history.ts folds them. What
 * stands in a file keeps its meaning: fields are added, and older runs lack them.
 */
import type { ResolvedExperiment } from '../experiment';
import type { Message } from '../messages/message';

/** Version of the events and of both channels; a change that an older reader would misread raises it. */
export const protocolVersion = 1;

export type EngineName = 'onnx' | 'tensorflow' | 'webgpu';

export const engineNames: readonly EngineName[] = ['tensorflow', 'webgpu', 'onnx'];

/** Which data a run uses. */
export interface DataProvenance {
  /** A string in the events of older runs. */
  readonly title: Message | string;
  /** A folder, or a package and its version. */
  readonly source: string;
  /** Under what terms it may be used, in a sentence. */
  readonly terms: Message;
  /** What else is worth knowing, such as a split that the folder itself gives. */
  readonly note?: Message;
}

/** Where weights come from. `sha256`, in hexadecimal digits, is that of the file, or of the tensors of the run. */
export type WeightsSource =
  | { readonly kind: 'run'; readonly run: string; readonly epoch: 'last' | 'best'; readonly sha256: string }
  | { readonly kind: 'file'; readonly file: string; readonly sha256: string }
  | { readonly kind: 'imagenet'; readonly sha256: string };

/** What a run's weights started from. */
export interface WeightsStart {
  readonly source: WeightsSource;
  /** What they started from, and what of them is new, a sentence each. */
  readonly told: readonly Message[];
}

/** What computes a run. */
export interface EngineUse {
  readonly engine: EngineName;
  /** Why this engine and not the others, one sentence each. */
  readonly engineReasons: readonly Message[];
  readonly device: string;
  /** CPU threads that the engine uses, where it has a number of them. */
  readonly threads?: number;
  readonly versions: Readonly<Record<string, string>>;
  /** Optimizations that it did without, because they went wrong there; absent where it used all. */
  readonly leftOut?: readonly string[];
}

/** Losses are natural-log means per example, accuracies fractions, times seconds; epochs count from 1, steps from 0. */
export interface StartedEvent extends EngineUse {
  readonly type: 'started';
  readonly protocol: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly experiment: ResolvedExperiment;
  readonly parameterCount: number;
  readonly stepsPerEpoch: number;
  /** Examples that pass through the network at once; absent in runs of earlier versions. */
  readonly microBatch?: number;
  readonly examples: { readonly train: number; readonly validation: number; readonly test: number };
  /** Whether the test images that a limit leaves of MNIST were drawn by the seed; earlier versions took the first. */
  readonly testDrawn?: boolean;
  readonly classNames: readonly string[];
  /** Absent in runs of earlier versions. */
  readonly data?: DataProvenance;
  /** What is told of the start, where it was not from scratch. */
  readonly startedFrom?: readonly Message[];
}

export interface StepEvent {
  readonly type: 'step';
  readonly epoch: number;
  /** The last step that the figures cover. */
  readonly step: number;
  /** Mean of the batches since the step event before (they are of equal size but for an epoch's last). */
  readonly loss: number;
  readonly imagesPerSecond: number;
  /** Of the whole run, validation and test included. */
  readonly secondsLeft: number;
}

export interface LayerFigures {
  readonly layer: string;
  /** Root mean square over the epoch's steps of the gradient's L2 norm, weight and bias together. */
  readonly gradientNorm: number;
  /** Mean over the epoch's steps of the L2 norm of the weight's update over that of the weight. */
  readonly updateRatio: number;
  /** Mean share of channels that were 0 for a whole batch; only for layers followed by a ReLU. */
  readonly deadShare?: number;
}

export interface EpochEvent {
  readonly type: 'epoch';
  readonly epoch: number;
  /** Example-weighted mean over the epoch, in training mode. */
  readonly trainLoss: number;
  readonly trainAccuracy: number;
  readonly validationLoss: number;
  readonly validationAccuracy: number;
  readonly learningRate: number;
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly layers: readonly LayerFigures[];
  /** Mean over the steps of the standard deviation of a batch's logits. */
  readonly logitStd: number;
}

/**
 * Training goes on from here: every step and epoch event after (epoch, step) is superseded. It tells what computes from
 * here on; runs of earlier versions do not.
 */
export interface ResumedEvent extends Partial<EngineUse> {
  readonly type: 'resumed';
  readonly time: string;
  /** The epoch under way. */
  readonly epoch: number;
  /** Steps of that epoch that are done. */
  readonly step: number;
}

export interface WarningEvent {
  readonly type: 'warning';
  readonly message: Message;
}

export interface FinishedEvent {
  readonly type: 'finished';
  readonly testLoss: number;
  readonly testAccuracy: number;
  /** False where the data has no test set and the figure is that of the validation set. */
  readonly testedOnTestSet: boolean;
  readonly bestEpoch: number;
  readonly bestValidationAccuracy: number;
  /** confusion[true class][predicted class], counts. */
  readonly confusion: readonly (readonly number[])[];
  /** Training time in all, over every resumption. */
  readonly seconds: number;
}

export interface StoppedEvent {
  readonly type: 'stopped';
  /** 'editorGone': whoever started the trainer went away; such a run may be resumed without asking. */
  readonly reason: 'user' | 'editorGone';
  readonly epoch: number;
  readonly step: number;
}

export interface FailedEvent {
  readonly type: 'failed';
  readonly message: Message;
  readonly advice?: Message;
}

export type RunEvent =
  StartedEvent | StepEvent | EpochEvent | ResumedEvent | WarningEvent | FinishedEvent | StoppedEvent | FailedEvent;
