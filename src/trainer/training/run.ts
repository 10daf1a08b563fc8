/**
 * The training loop, read from top to bottom: opens engine and data, trains epoch by epoch, writes checkpoints, and
 * tests the last parameters at the end. `main.ts` drives it in a child process. Every random choice is a function of
 * seed, epoch and index, so a run that goes on from a checkpoint draws exactly the curve it would have had.
 */
import * as path from 'node:path';
import { datasetTitles, networkOf, ResolvedExperiment } from '../../core/experiment';
import { checkpointShare, evaluationBatchSize } from '../../core/estimates';
import { History } from '../../core/history';
import { Message, message, UserError } from '../../core/messages/message';
import { networks } from '../../core/networks/catalog';
import { elements, Network, parameterCount } from '../../core/networks/network';
import {
  EngineUse,
  FinishedEvent,
  LayerFigures,
  protocolVersion,
  RunEvent,
  StepEvent,
} from '../../core/contracts/events';
import { TrainRequest } from '../../core/contracts/tasks';
import { readHistory, RunFolder } from '../../disk/runs';
import { checkDiskSpace, readNewest, writeBest, writeLast } from './checkpoint';
import { evaluationBatches, trainingBatches } from '../data/batches';
import type { Dataset, Part } from '../data/dataset';
import { openDataset, OpenOptions } from '../data/open';
import { readSplit, writeSplit } from '../data/split';
import { ChosenEngine, EngineChoice, openEngine } from '../engines/choose';
import type { Batch, Engine, Model, ModelState, StepDiagnostics } from '../engines/engine';
import { predictedClass } from '../engines/step';
import { breathe, Stop } from '../stop';
import { Finding, findStart, initialState } from '../weights/start';

/** What the loop needs from the process it runs in. */
export interface Surroundings extends EngineChoice, Pick<OpenOptions, 'cacheBytes'> {
  /** ConvLab's own version, recorded with the run. */
  readonly version: string;
  /** Called after the events are on disk. */
  emit(events: readonly RunEvent[]): void;
  progress(message: Message): void;
  runFolder(folder: string): void;
  /** Looked at after every step and every evaluated batch; its reason is a `Stop`. */
  readonly signal: AbortSignal;
}

/** About this many step events over a run; their spacing is fixed by the run, never by the clock. */
const stepEventsPerRun = 2000;
/** Within an epoch, checkpoints are at least this far apart, in seconds. */
const checkpointSeconds = 60;

/** Where the loop stands, as stored in a checkpoint: the epoch under way, its steps done, and its sums so far. */
interface Position {
  epoch: number;
  step: number;
  /** Seconds of training before this process took over. */
  seconds: number;
  best?: { epoch: number; validationAccuracy: number };
  sums: EpochSums;
}

/** Sums over the steps of one epoch; JSON, and exact in it. */
interface EpochSums {
  examples: number;
  loss: number;
  correct: number;
  steps: number;
  seconds: number;
  logitStd: number;
  /** Per parameter: sum of squared gradient norms, and of update ratios. */
  gradientSquares: number[];
  updateRatios: number[];
  /** Per relu node. */
  deadShares: number[];
  /** Losses since the last step event. */
  windowLoss: number;
  windowSteps: number;
}

const emptySums = (): EpochSums => ({
  examples: 0,
  loss: 0,
  correct: 0,
  steps: 0,
  seconds: 0,
  logitStd: 0,
  gradientSquares: [],
  updateRatios: [],
  deadShares: [],
  windowLoss: 0,
  windowSteps: 0,
});

/**
 * Trains, from the start or from where a run stands. Everything that happens is told through `surroundings` and written
 * to the run's folder; the promise settles when the run has ended and all is closed.
 * @throws UserError where the run failed, the signal's reason where it was stopped; the last event says so, too
 */
export async function run(request: TrainRequest, surroundings: Surroundings): Promise<void> {
  let folder: RunFolder | undefined;
  let engine: Engine | undefined;
  let model: Model | undefined;
  let dataset: Dataset | undefined;
  let loop: Loop | undefined;
  const emit = (event: RunEvent) => {
    folder?.append([event]);
    surroundings.emit([event]);
  };
  try {
    const { experiment } = request;
    const finding: Finding = {
      runsFolder: request.runsFolder,
      weightsFolder: request.weightsFolder,
      progress: surroundings.progress,
      pause: () => breathe(surroundings.signal),
    };
    // A run that goes on has recorded what it started from, and reads it only where it has no checkpoint yet.
    const start = request.resume === undefined ? await findStart(experiment, finding) : undefined;
    surroundings.progress(message('openingEngine'));
    const opened = await openEngineOf(request, surroundings);
    engine = opened.engine;
    surroundings.progress(message('loadingData', { dataset: datasetTitles[experiment.dataset.name] }));
    const stored = request.resume === undefined ? undefined : readSplit(request.resume);
    dataset = await openDataset(experiment, {
      ...request,
      stored,
      cacheBytes: surroundings.cacheBytes,
      progress: surroundings.progress,
      pause: () => breathe(surroundings.signal),
    });

    let before = new History();
    if (request.resume) ({ folder, before } = openForResuming(request.resume, experiment));
    else folder = RunFolder.create(request.runsFolder, experiment, surroundings.version, start);
    surroundings.runFolder(folder.folder);
    if (dataset.split && !stored) writeSplit(folder.folder, dataset.split);

    const network = networkOf(experiment);
    checkDiskSpace(folder.folder, network);
    surroundings.progress(message('compilingNetwork', { network: networks[experiment.network.name].title }));
    const { batchSize, loss, optimizer, seed, microBatch } = experiment;
    // A run that goes on keeps the passes that it began with: with others its figures would differ.
    const passes = before.started?.microBatch ?? microBatch;
    model = await engine.compile(network, { batchSize, loss, optimizer, seed, microBatch: passes });

    loop = new Loop(experiment, network, model, dataset, folder, surroundings, emit);
    const use: EngineUse = {
      engine: engine.name,
      engineReasons: opened.reasons,
      device: engine.device.name,
      threads: engine.device.threads,
      versions: { convlab: surroundings.version, node: process.versions.node, ...engine.versions },
    };
    if (!before.started) {
      emit({
        type: 'started',
        protocol: protocolVersion,
        time: new Date().toISOString(),
        experiment,
        ...use,
        parameterCount: parameterCount(network),
        stepsPerEpoch: loop.stepsPerEpoch,
        microBatch: model.microBatch,
        examples: dataset.counts,
        classNames: dataset.classNames,
        data: dataset.provenance,
        startedFrom: folder.record.start?.told,
      });
    }
    for (const warning of [...opened.warnings, ...dataset.warnings, ...(model.warnings ?? [])])
      emit({ type: 'warning', message: warning });
    const source = folder.record.start?.source;
    await loop.begin(request.resume === undefined ? undefined : use, () =>
      initialState(network, experiment, source, finding),
    );
    const result = await loop.train();
    folder.writeResult(result);
    emit(result);
  } catch (error) {
    if (!(error instanceof Stop)) throw reportFailure(error, surroundings, emit);
    // Before the loop there is no step, nor perhaps a folder to tell it in.
    emit({ type: 'stopped', reason: error.by, ...(loop?.reached ?? { epoch: 1, step: 0 }) });
    throw error;
  } finally {
    await dataset?.close?.().catch(() => undefined);
    await model?.dispose().catch(() => undefined);
    await engine?.dispose().catch(() => undefined);
    folder?.close();
  }
}

/**
 * Opens the engine asked for, or the one that a run that goes on keeps.
 * @throws UserError when it cannot be used; a run is never given another engine without being asked
 */
async function openEngineOf(request: TrainRequest, surroundings: Surroundings): Promise<ChosenEngine> {
  const options = { threads: request.threads };
  const { keepEngine, resume } = request;
  const kept = keepEngine && resume !== undefined ? readHistory(resume).engines.at(-1)?.engine : undefined;
  if (kept === undefined) return openEngine(request.engine, options, surroundings);
  try {
    const opened = await openEngine(kept, options, surroundings);
    return { ...opened, reasons: [message('engineKept', { engine: kept }), ...opened.warnings] };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { userMessage, advice } = error;
    const args = { engine: kept, reason: advice ? [userMessage, advice] : userMessage };
    throw new UserError(message('engineKeptUnusable', args), message('engineKeptAdvice'), { cause: error });
  }
}

/** Tells of a failure and returns it; where it cannot be written (a full disk), it is at least sent. */
function reportFailure(error: unknown, surroundings: Surroundings, emit: (event: RunEvent) => void): UserError {
  let failure: UserError;
  if (error instanceof UserError) {
    failure = error;
  } else {
    // For the log: a defect of ours, whose place matters.
    console.error(error);
    const reason = error instanceof Error ? error.message : String(error);
    failure = new UserError(message('unexpectedError', { reason }), message('unexpectedErrorAdvice'));
  }
  const event: RunEvent = { type: 'failed', message: failure.userMessage, advice: failure.advice };
  try {
    emit(event);
  } catch {
    surroundings.emit([event]);
  }
  return failure;
}

/** Takes hold of a run that can go on; `before` is what it has told so far. A run that cannot is left untouched. */
function openForResuming(runFolder: string, experiment: ResolvedExperiment): { folder: RunFolder; before: History } {
  const folder = RunFolder.open(runFolder);
  try {
    const run = path.basename(runFolder);
    if (JSON.stringify(folder.record.experiment) !== JSON.stringify(experiment)) {
      throw new UserError(message('resumeOtherExperiment', { run }));
    }
    const before = readHistory(runFolder);
    if (before.finished) throw new UserError(message('runFinished', { run }));
    return { folder, before };
  } catch (error) {
    folder.close();
    throw error;
  }
}

class Loop {
  readonly stepsPerEpoch: number;
  private readonly inputElements: number;
  private readonly evaluationBatch: number;
  private readonly stepEventStride: number;
  private position: Position = { epoch: 1, step: 0, seconds: 0, sums: emptySums() };
  private startedAt = performance.now();
  private lastCheckpointAt = performance.now();
  /** Seconds that the last checkpoint took; 0 before the first, so that the first epoch ends with one. */
  private checkpointCost = 0;
  /** What the best epoch so far left, until it is written beside the next checkpoint. */
  private unwrittenBest: { readonly epoch: number; readonly state: ModelState } | undefined;
  /** Seconds that an evaluated example takes; unknown (0) until the first validation. */
  private evaluationSeconds = 0;

  constructor(
    private readonly experiment: ResolvedExperiment,
    private readonly network: Network,
    private readonly model: Model,
    private readonly dataset: Dataset,
    private readonly folder: RunFolder,
    private readonly surroundings: Surroundings,
    private readonly emit: (event: RunEvent) => void,
  ) {
    this.stepsPerEpoch = Math.ceil(dataset.counts.train / experiment.batchSize);
    this.inputElements = elements(network.inputShape);
    this.evaluationBatch = evaluationBatchSize(experiment.batchSize, this.inputElements);
    this.stepEventStride = Math.max(1, Math.ceil((this.stepsPerEpoch * experiment.epochs) / stepEventsPerRun));
  }

  /** The epoch under way, and its steps that are done. */
  get reached(): { readonly epoch: number; readonly step: number } {
    const { epoch, step } = this.position;
    return { epoch, step };
  }

  /** Loads the newest whole checkpoint, or the state that training begins with. */
  async begin(resuming: EngineUse | undefined, initial: () => Promise<ModelState>): Promise<void> {
    if (resuming) {
      const { checkpoint, damage } = readNewest<Position>(this.folder.folder, this.network);
      if (checkpoint) this.position = checkpoint.position;
      const { epoch, step } = this.position;
      this.emit({ type: 'resumed', time: new Date().toISOString(), epoch, step, ...resuming });
      if (checkpoint && damage.length > 0) {
        this.warn(message('checkpointFallback', { reason: damage.join(' '), epoch, step }));
      } else if (damage.length > 0) {
        this.warn(message('checkpointRestart'));
      }
      if (checkpoint) return this.model.load(checkpoint.state);
    }
    await this.model.load(await initial());
  }

  async train(): Promise<FinishedEvent> {
    this.startedAt = this.lastCheckpointAt = performance.now();
    while (this.position.epoch <= this.experiment.epochs) {
      await this.trainEpoch();
      await this.endEpoch();
    }
    return this.test();
  }

  private async trainEpoch(): Promise<void> {
    const { epoch } = this.position;
    const { batchSize, seed, optimizer } = this.experiment;
    const firstStep = this.position.step;
    let before = performance.now();
    const batches = trainingBatches(this.dataset, this.inputElements, batchSize, seed, epoch, firstStep);
    for await (const batch of this.keptWhereUnreadable(batches)) {
      const step = this.position.step;
      const result = await this.model.trainStep(batch, { epoch, step }, optimizer.learningRate);
      if (!Number.isFinite(result.loss)) {
        throw new UserError(
          message('lossNotFinite', { loss: String(result.loss), epoch, step }),
          message('lossNotFiniteAdvice', { learningRate: optimizer.learningRate }),
        );
      }
      const now = performance.now();
      const { sums } = this.position;
      sums.examples += batch.size;
      sums.loss += result.loss * batch.size;
      sums.correct += result.correct;
      sums.steps += 1;
      sums.seconds += (now - before) / 1000;
      sums.windowLoss += result.loss;
      sums.windowSteps += 1;
      addDiagnostics(sums, result.diagnostics);
      before = now;
      this.position.step += 1;
      const done = (epoch - 1) * this.stepsPerEpoch + this.position.step;
      // The first step too: a curve that begins at once tells the user that training has begun.
      if (done === 1 || done % this.stepEventStride === 0) this.emit(this.stepEvent(epoch, step));
      await this.pause();
    }
  }

  /** Where the data can no longer be read, what was trained so far is written down before the run ends. */
  private async *keptWhereUnreadable(batches: AsyncGenerator<Batch>): AsyncGenerator<Batch> {
    try {
      yield* batches;
    } catch (error) {
      await this.writeCheckpoint();
      throw error;
    }
  }

  private stepEvent(epoch: number, step: number): StepEvent {
    const { sums } = this.position;
    const loss = sums.windowLoss / sums.windowSteps;
    sums.windowLoss = sums.windowSteps = 0;
    const imagesPerSecond = sums.examples / sums.seconds;
    const { train, validation, test } = this.dataset.counts;
    const trainLeft = this.experiment.epochs * train - (epoch - 1) * train - sums.examples;
    const evaluateLeft = (this.experiment.epochs - epoch + 1) * validation + test;
    // Before the first validation: a forward pass is about a third of a training step.
    const evaluationSeconds = this.evaluationSeconds || 1 / (3 * imagesPerSecond);
    const secondsLeft = trainLeft / imagesPerSecond + evaluateLeft * evaluationSeconds;
    return { type: 'step', epoch, step, loss, imagesPerSecond, secondsLeft };
  }

  private async endEpoch(): Promise<void> {
    const { epoch, sums } = this.position;
    const before = performance.now();
    const validation = await this.evaluate('validation');
    this.evaluationSeconds = (performance.now() - before) / 1000 / this.dataset.counts.validation;
    const layers = layerFigures(this.network, sums);
    const logitStd = sums.logitStd / sums.steps;
    const figures = [logitStd, validation.loss, ...layers.flatMap((l) => [l.gradientNorm, l.updateRatio])];
    if (!figures.every(Number.isFinite)) {
      throw new UserError(
        message('figuresNotFinite', { epoch }),
        message('lossNotFiniteAdvice', { learningRate: this.experiment.optimizer.learningRate }),
      );
    }
    this.emit({
      type: 'epoch',
      epoch,
      trainLoss: sums.loss / sums.examples,
      trainAccuracy: sums.correct / sums.examples,
      validationLoss: validation.loss,
      validationAccuracy: validation.accuracy,
      learningRate: this.experiment.optimizer.learningRate,
      seconds: sums.seconds + (performance.now() - before) / 1000,
      imagesPerSecond: sums.examples / sums.seconds,
      layers,
      logitStd,
    });
    const isBest = !this.position.best || validation.accuracy > this.position.best.validationAccuracy;
    if (isBest) this.position.best = { epoch, validationAccuracy: validation.accuracy };
    this.position.epoch += 1;
    this.position.step = 0;
    // The losses since the last step event belong to the next one, across the border of the epoch.
    this.position.sums = { ...emptySums(), windowLoss: sums.windowLoss, windowSteps: sums.windowSteps };
    const best = isBest ? epoch : undefined;
    if (this.position.epoch > this.experiment.epochs || this.checkpointDue()) await this.writeCheckpoint(best);
    else if (best !== undefined) {
      // The one before goes first, so that there are never two in memory.
      this.unwrittenBest = undefined;
      this.unwrittenBest = { epoch: best, state: await this.model.save(false) };
    }
  }

  private async test(): Promise<FinishedEvent> {
    this.surroundings.progress(message('testing'));
    const testedOnTestSet = this.dataset.counts.test > 0;
    const { loss, accuracy, confusion } = await this.evaluate(testedOnTestSet ? 'test' : 'validation');
    return {
      type: 'finished',
      testLoss: loss,
      testAccuracy: accuracy,
      testedOnTestSet,
      bestEpoch: this.position.best!.epoch,
      bestValidationAccuracy: this.position.best!.validationAccuracy,
      confusion,
      seconds: this.elapsed(),
    };
  }

  private async evaluate(part: Part): Promise<{ loss: number; accuracy: number; confusion: number[][] }> {
    const classes = this.dataset.classNames.length;
    const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
    const { outputs } = this.network;
    let loss = 0;
    let correct = 0;
    const batches = evaluationBatches(this.dataset, part, this.inputElements, this.evaluationBatch);
    for await (const batch of this.keptWhereUnreadable(batches)) {
      const { lossSum, logits } = await this.model.evaluate(batch);
      loss += lossSum;
      for (let i = 0; i < batch.size; i++) {
        const predicted = predictedClass(logits, i * outputs, outputs);
        confusion[batch.labels[i]!]![predicted]! += 1;
        if (predicted === batch.labels[i]) correct += 1;
      }
      await this.pause();
    }
    const count = this.dataset.counts[part];
    return { loss: loss / count, accuracy: correct / count, confusion };
  }

  /** Lets messages in, stops where asked to, and writes a checkpoint when one is due. */
  private async pause(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const { signal } = this.surroundings;
    if (!signal.aborted && !this.checkpointDue(checkpointSeconds)) return;
    await this.writeCheckpoint();
    signal.throwIfAborted();
  }

  /**
   * Whether a checkpoint would keep to its share of the time: where an epoch takes four seconds and AlexNet's 700 MB
   * two, they are not written after every epoch, and a killed run repeats more than one.
   * @param apart from the last one, at least, in seconds
   */
  private checkpointDue(apart = 0): boolean {
    const since = (performance.now() - this.lastCheckpointAt) / 1000;
    return since >= Math.max(apart, this.checkpointCost / checkpointShare);
  }

  /** @param best the epoch that has just ended, if it is the best so far */
  private async writeCheckpoint(best?: number): Promise<void> {
    this.folder.check();
    const before = performance.now();
    const { folder } = this.folder;
    const state = await this.model.save();
    if (best !== undefined) this.unwrittenBest = { epoch: best, state };
    // Before `last`, whose position names the best epoch.
    if (this.unwrittenBest) writeBest(folder, this.unwrittenBest.state, { epoch: this.unwrittenBest.epoch });
    this.unwrittenBest = undefined;
    writeLast(folder, state, { ...this.position, seconds: this.elapsed() });
    this.lastCheckpointAt = performance.now();
    this.checkpointCost = (this.lastCheckpointAt - before) / 1000;
  }

  private elapsed(): number {
    return this.position.seconds + (performance.now() - this.startedAt) / 1000;
  }

  private warn(text: Message): void {
    this.emit({ type: 'warning', message: text });
  }
}

function addDiagnostics(sums: EpochSums, figures: StepDiagnostics): void {
  const add = (into: number[], values: Float64Array, square: boolean) =>
    values.forEach((v, i) => (into[i] = (into[i] ?? 0) + (square ? v * v : v)));
  add(sums.gradientSquares, figures.gradientNorm, true);
  add(sums.updateRatios, figures.updateRatio, false);
  add(sums.deadShares, figures.deadShare, false);
  sums.logitStd += figures.logitStd;
}

/** One row per layer that is trained, in the network's order. */
function layerFigures(network: Network, sums: EpochSums): LayerFigures[] {
  const relus = network.nodes.flatMap((node, index) => (node.op.kind === 'relu' ? [index] : []));
  const owners = [...new Set(network.parameters.filter((p) => !p.frozen).map((p) => p.node))];
  return owners.map((owner) => {
    let squares = 0;
    let updateRatio = 0;
    network.parameters.forEach((p, i) => {
      if (p.node !== owner) return;
      squares += sums.gradientSquares[i] ?? 0;
      if (p.role === 'weight') updateRatio = (sums.updateRatios[i] ?? 0) / sums.steps;
    });
    const relu = relus.findIndex((index) => network.nodes[index]!.inputs[0] === owner);
    return {
      layer: network.nodes[owner]!.name,
      gradientNorm: Math.sqrt(squares / sums.steps),
      updateRatio,
      ...(relu >= 0 ? { deadShare: (sums.deadShares[relu] ?? 0) / sums.steps } : {}),
    };
  });
}
