/**
 * Everything that crosses a process boundary: the events of a run (which are also the lines of metrics.jsonl and of
 * `--json`), the messages between the trainer and whoever started it, and those between the extension host and a panel.
 * Both channels begin with a version; a reader that meets another version says so instead of guessing.
 */
import type { DatasetName, ResolvedExperiment } from './experiment';
import type { ComparedRun } from './comparison';
import type { Message } from './messages';
import type { RunState } from './history';
import type { NetworkName } from './networks/catalog';

/** Version of the events and of both channels; a change that an older reader would misread raises it. */
export const protocolVersion = 1;

export type EngineName = 'onnx' | 'tensorflow' | 'webgpu';
export const engineNames: readonly EngineName[] = ['tensorflow', 'webgpu', 'onnx'];
/** What a user can ask for. */
export type EngineRequest = EngineName | 'auto';

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

/** Where a dataset may lie. Paths are absolute. */
export interface DataPlaces {
  /** A folder given by the user for this dataset. */
  readonly dataFolder?: string;
  /** Where a dataset's own folder, such as cat_dog, is looked for: the workspace folders, or the terminal's folder. */
  readonly searchFolders?: readonly string[];
}

/** What a trainer is asked to do. Paths are absolute. */
export interface TrainRequest extends DataPlaces {
  readonly experiment: ResolvedExperiment;
  readonly engine: EngineRequest;
  /** Whether a run that goes on stays with the engine that computed it last; `engine` then counts where there is none. */
  readonly keepEngine?: boolean;
  /** CPU threads; default: physical cores. */
  readonly threads?: number;
  /** The user's own copies of torchvision's weights, under their published names. */
  readonly weightsFolder?: string;
  /** The folder that holds the runs; the trainer makes the run's own folder inside. */
  readonly runsFolder: string;
  /** The run to go on with, a folder inside `runsFolder`; `experiment` must be the one it was started with. */
  readonly resume?: string;
}

/** What the time of a training step depends on, beside engine and machine. */
export interface StepShape {
  readonly network: NetworkName;
  readonly channels: number;
  /** Height and width, in pixels. */
  readonly size: number;
  /** Number of logits. */
  readonly outputs: number;
  readonly batchSize: number;
  /** Only where it was asked for. */
  readonly microBatch?: number;
  /** What is not trained. */
  readonly freeze?: 'features';
}

/** How fast an engine trains a network on this machine. */
export interface NetworkSpeed {
  readonly shape: StepShape;
  /** Of the training step, and of evaluation; without reading the data. */
  readonly imagesPerSecond: number;
  readonly evaluationImagesPerSecond: number;
  /** Whether this very shape was measured; else the speed was told from measurements at smaller batches or other sizes. */
  readonly exact: boolean;
  /** Whether all of it had been measured before. */
  readonly cached: boolean;
}

/** What a measured speed holds for: with any of these another, it has to be measured again. */
export interface Machine {
  readonly engine: EngineName;
  /** Of the processor or graphics processor. */
  readonly device: string;
  /** CPU threads, where the engine has a number of them. */
  readonly threads?: number;
  /** ConvLab's version, and those of the libraries that compute, by package name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Measure an engine's speeds. */
export interface MeasureRequest {
  readonly engine: EngineName;
  readonly threads?: number;
  /** Default: those of the course notes. */
  readonly networks?: readonly NetworkName[];
  /** Measure also what has been measured before. */
  readonly again: boolean;
}

/** Say what each engine can do here. */
export interface EnginesRequest {
  readonly threads?: number;
}

/** What an engine says of this machine, and how fast it was when it was measured. */
export interface EngineReport {
  readonly engine: EngineName;
  readonly usable: boolean;
  /** Whether `auto` would try it first. */
  readonly preferred: boolean;
  /** What it would compute on, where it is usable. */
  readonly device?: { readonly kind: 'cpu' | 'gpu'; readonly name: string; readonly threads?: number };
  /** Why it cannot train here, or why `auto` leaves it alone although it could. */
  readonly reason?: Message;
  /** What is to be known of how it would compute here. */
  readonly notes?: readonly Message[];
  /** The one thing that the user can do to make it usable. */
  readonly action?: Message;
  /** Of the networks of the course notes, as far as they are known without measuring. */
  readonly speeds: readonly NetworkSpeed[];
}

/** Estimate how long each of these experiments would take. Paths are absolute. */
export interface EstimateRequest extends DataPlaces {
  readonly experiments: readonly ResolvedExperiment[];
  readonly engine: EngineRequest;
  readonly threads?: number;
  /** Where earlier runs lie, whose pace is the best evidence. */
  readonly runsFolders: readonly string[];
  /** Whether to measure, which takes seconds, where neither a run nor a measured speed says enough. */
  readonly measure: boolean;
}

export interface Estimate {
  /** Index in the request's experiments. */
  readonly index: number;
  /** Of a whole run, from starting the trainer to its end; undefined where nothing is known to tell it from. */
  readonly seconds?: number;
  /** What it rests on: the pace of an earlier run, or measured speeds. */
  readonly basis?: 'run' | 'speed';
}

/** Tell of a dataset; with `verify`, fetch it where it is missing and look at every file. */
export interface DatasetRequest extends DataPlaces {
  readonly dataset: DatasetName;
  readonly verify: boolean;
}

export interface DatasetReport {
  readonly dataset: DatasetName;
  readonly provenance: DataProvenance;
  /** Where it lies; absent while it has not been fetched. */
  readonly folder?: string;
  /** Pictures that can be used, as far as is known. */
  readonly classes: readonly { readonly name: string; readonly count: number }[];
  /** Of these, how many the source itself puts in each part; the others are divided by each run. */
  readonly parts: { readonly train?: number; readonly validation?: number; readonly test?: number };
  /** Files that cannot be used: how many, and a sentence for each reason. */
  readonly leftOut: { readonly count: number; readonly reasons: readonly Message[] };
  /** Whether every file was read; else only names and first bytes were looked at. */
  readonly verified: boolean;
}

/** To make native TensorFlow usable, or to remove what that made. Paths are absolute. */
export interface SetupRequest {
  /** ConvLab's folder for what it installs. */
  readonly storage: string;
  readonly remove?: boolean;
  /** The interpreter whose TensorFlow is to be used, or its name on the PATH. */
  readonly python?: string;
  /** Virtual environments to search where none is named; only such as the user trusts, because their Python is run. */
  readonly environments?: readonly string[];
}

/** Show some training pictures as an experiment's network meets them. Paths are absolute. */
export interface ExamplesRequest extends DataPlaces {
  readonly experiment: ResolvedExperiment;
  /** A run's folder, whose own pictures are to be shown; else they are drawn anew. */
  readonly run?: string;
}

/** A contact sheet. */
export interface ExampleSheet {
  readonly provenance: DataProvenance;
  /** Side of each picture, in pixels. */
  readonly size: number;
  /** The epochs whose augmentation is shown; none where the experiment does not augment. */
  readonly epochs: readonly number[];
  readonly examples: readonly {
    /** The picture's file, or its number. */
    readonly name: string;
    readonly className: string;
    /** As `data:` URLs: the picture as it is, then as it is in each of the epochs. */
    readonly pictures: readonly string[];
  }[];
}

/** What a trainer process is started for. */
export type TrainerTask =
  | { readonly type: 'train'; readonly request: TrainRequest }
  | { readonly type: 'engines'; readonly request: EnginesRequest }
  | { readonly type: 'measure'; readonly request: MeasureRequest }
  | { readonly type: 'estimate'; readonly request: EstimateRequest }
  | { readonly type: 'dataset'; readonly request: DatasetRequest }
  | { readonly type: 'setup'; readonly request: SetupRequest }
  | { readonly type: 'examples'; readonly request: ExamplesRequest };

export type ToTrainer =
  | (TrainerTask & { readonly protocol: number })
  /** Finish the step at hand, write a checkpoint when training, undo a setup, exit. */
  | { readonly type: 'stop' };

export type FromTrainer =
  /** Sent once, first. */
  | { readonly type: 'hello'; readonly protocol: number }
  /** The run's folder exists and is locked by this trainer; events are in its metrics.jsonl before they are sent. */
  | { readonly type: 'run'; readonly folder: string }
  /** What the trainer is doing before the first step ('loadingData', …), for a status line. */
  | { readonly type: 'progress'; readonly message: Message }
  | { readonly type: 'events'; readonly events: readonly RunEvent[] }
  /** What engines there are. */
  | { readonly type: 'engines'; readonly engines: readonly EngineReport[] }
  /** The engine that measures or estimates is open. */
  | { readonly type: 'machine'; readonly machine: Machine }
  | { readonly type: 'speed'; readonly speed: NetworkSpeed }
  /** A network whose speed could not be measured. */
  | { readonly type: 'unmeasured'; readonly network: NetworkName; readonly reason: Message }
  | { readonly type: 'estimate'; readonly estimate: Estimate }
  | { readonly type: 'dataset'; readonly report: DatasetReport }
  | { readonly type: 'examples'; readonly sheet: ExampleSheet }
  /** How a task other than training ended, and what a setup has to say; a run ends with an event. */
  | {
      readonly type: 'ended';
      readonly end:
        | { readonly kind: 'finished' | 'stopped'; readonly messages?: readonly Message[] }
        | { readonly kind: 'failed'; readonly message: Message; readonly advice?: Message };
    };

/** What a page that shows examples is told, in this order; the last one stays. */
export type ExamplesAnswer =
  | { readonly kind: 'status'; readonly message: Message }
  | { readonly kind: 'sheet'; readonly sheet: ExampleSheet }
  | { readonly kind: 'failed'; readonly message: Message; readonly advice?: Message };

/** Messages for the panel. */
export type ToPanel =
  /** Everything at once: on 'ready', and whenever the panel is shown again. */
  | { readonly type: 'snapshot'; readonly protocol: number; readonly snapshot: PanelSnapshot }
  /** What happened since, in order. */
  | { readonly type: 'changes'; readonly events: readonly RunEvent[] }
  | { readonly type: 'state'; readonly state: RunState; readonly status?: Message }
  | { readonly type: 'examples'; readonly answer: ExamplesAnswer };

export interface PanelSnapshot {
  /** Identifies the run: its folder's name. */
  readonly run: string;
  readonly title: string;
  readonly question: string;
  readonly state: RunState;
  /** What the trainer is doing before its first event. */
  readonly status?: Message;
  /** The run so far; its step events may be thinned. */
  readonly events: readonly RunEvent[];
  /** Display language, such as 'zh-tw', and the translations by English text. */
  readonly language: string;
  readonly translations: Readonly<Record<string, string>>;
}

export type FromPanel =
  | { readonly type: 'ready'; readonly protocol: number }
  | { readonly type: 'stop' }
  | { readonly type: 'resume' }
  | { readonly type: 'showLog' }
  | { readonly type: 'revealFolder' }
  /** The tab with the examples is shown for the first time. */
  | { readonly type: 'examples' };

/** Everything that the comparison page draws; sent on 'ready' and whenever runs have changed. */
export interface ToComparison {
  readonly type: 'comparison';
  readonly protocol: number;
  /** Every run with an epoch to show, in the order of the notes. */
  readonly runs: readonly ComparedRun[];
  /** Names of the runs to begin with, unless the page has kept a choice of its own. */
  readonly chosen: readonly string[];
  /** Names of runs that the user has just asked for, to be added to whatever is shown. */
  readonly added: readonly string[];
  readonly language: string;
  readonly translations: Readonly<Record<string, string>>;
}

export type FromComparison =
  { readonly type: 'ready'; readonly protocol: number } | { readonly type: 'openRun'; readonly run: string };

/** All that the page of examples shows; sent on 'ready' and whenever there is more to tell. */
export interface ToExamples {
  readonly type: 'examples';
  readonly protocol: number;
  readonly title: string;
  readonly answer: ExamplesAnswer;
  readonly language: string;
  readonly translations: Readonly<Record<string, string>>;
}

export type FromExamples = { readonly type: 'ready'; readonly protocol: number };
