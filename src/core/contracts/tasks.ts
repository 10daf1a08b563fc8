/**
 * What a trainer process can be asked to do, and the messages between it and whoever started it. The channel begins with
 * the version; a reader that meets another version says so instead of guessing.
 */
import type { DatasetName, ResolvedExperiment } from '../experiment';
import type { Message } from '../messages/message';
import type { NetworkName } from '../networks/catalog';
import type { DataProvenance, EngineName, RunEvent } from './events';

/** What a user can ask for. */
export type EngineRequest = EngineName | 'auto';

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
  /** Images that can be used, as far as is known. */
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

/** Show some training images as an experiment's network meets them. Paths are absolute. */
export interface ExamplesRequest extends DataPlaces {
  readonly experiment: ResolvedExperiment;
  /** A run's folder, whose own images are to be shown; else they are drawn anew. */
  readonly run?: string;
}

/** A contact sheet. */
export interface ExampleSheet {
  readonly provenance: DataProvenance;
  /** Side of each image, in pixels. */
  readonly size: number;
  /** The epochs whose augmentation is shown; none where the experiment does not augment. */
  readonly epochs: readonly number[];
  readonly examples: readonly {
    /** The image's file, or its number. */
    readonly name: string;
    readonly className: string;
    /** As `data:` URLs: the image as it is, then as it is in each of the epochs. */
    readonly images: readonly string[];
  }[];
}

/**
 * What a trainer process can be started for: what is asked, what is told on the way, and what comes at the end. A new task
 * is an entry here, a file in trainer/tasks/ and its line in trainer/main.ts.
 */
export interface Tasks {
  train: {
    request: TrainRequest;
    update:
      /** The run's folder exists and is locked by this trainer. */
      | { readonly type: 'run'; readonly folder: string }
      /** They are in the run's metrics.jsonl before they are told. */
      | { readonly type: 'events'; readonly events: readonly RunEvent[] };
    /** All that there is to say stands in the run's events. */
    result: undefined;
  };
  /** What engines there are. */
  engines: { request: EnginesRequest; update: never; result: readonly EngineReport[] };
  measure: {
    request: MeasureRequest;
    update:
      | EngineOpened
      | { readonly type: 'speed'; readonly speed: NetworkSpeed }
      /** A network whose speed could not be measured. */
      | { readonly type: 'unmeasured'; readonly network: NetworkName; readonly reason: Message };
    result: undefined;
  };
  estimate: {
    request: EstimateRequest;
    /** One for each experiment, in whatever order they are known. */
    update: EngineOpened | { readonly type: 'estimate'; readonly estimate: Estimate };
    result: undefined;
  };
  dataset: { request: DatasetRequest; update: never; result: DatasetReport };
  /** The result says what there is now. */
  setup: { request: SetupRequest; update: never; result: readonly Message[] };
  examples: { request: ExamplesRequest; update: never; result: ExampleSheet };
}

/** The engine that measures or estimates is open. */
export interface EngineOpened {
  readonly type: 'machine';
  readonly machine: Machine;
}

export type TaskName = keyof Tasks;
export type Request<T extends TaskName> = Tasks[T]['request'];
export type Update<T extends TaskName> = Tasks[T]['update'];
export type Result<T extends TaskName> = Tasks[T]['result'];

/** How a task ended, in the trainer's own words. */
export type TaskEnd<T extends TaskName = TaskName> =
  | { readonly kind: 'finished'; readonly result: Result<T> }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly message: Message; readonly advice?: Message };

export type ToTrainer<T extends TaskName = TaskName> =
  /** Sent once, in answer to 'hello'. */
  | { readonly type: 'begin'; readonly protocol: number; readonly task: T; readonly request: Request<T> }
  /** Finish the step at hand, write a checkpoint when training, undo a setup, exit. */
  | { readonly type: 'stop' };

export type FromTrainer<T extends TaskName = TaskName> =
  /** Sent once, first. */
  | { readonly type: 'hello'; readonly protocol: number }
  /** What the trainer is doing ('loadingData', …), for a status line. */
  | { readonly type: 'progress'; readonly message: Message }
  | { readonly type: 'update'; readonly update: Update<T> }
  /** How long it can take from being asked to stop until all is written, in seconds; told when that changes. */
  | { readonly type: 'stopTakes'; readonly seconds: number }
  /** Sent once, last. */
  | { readonly type: 'ended'; readonly end: TaskEnd<T> };
