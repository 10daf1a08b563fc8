/**
 * A run from its beginning to its end: opens engine, data and folder, has loop.ts train, tells how it ended and closes
 * all. tasks/train.ts calls it in the child process.
 */
import * as path from 'node:path';
import { datasetTitles, networkOf, ResolvedExperiment } from '../../core/experiment';
import { History } from '../../core/history';
import { Message, message, UserError } from '../../core/messages/message';
import { networks } from '../../core/networks/catalog';
import { Network, parameterCount } from '../../core/networks/network';
import { EngineUse, protocolVersion, RunEvent } from '../../core/contracts/events';
import { TrainRequest } from '../../core/contracts/tasks';
import { readHistory, RunFolder } from '../../disk/runs';
import { refuseSingleValues } from './batchNorm';
import { Checkpoints } from './cadence';
import { Checkpoint, checkDiskSpace, readNewest } from './checkpoint';
import { Loop, stepsPerEpoch } from './loop';
import { isPositionOf } from './position';
import { differences, optionsAsBefore } from './resumption';
import type { Position } from './statistics';
import type { Dataset } from '../data/dataset';
import { openDataset, OpenOptions } from '../data/open';
import { readSplit, writeSplit } from '../data/split';
import { ChosenEngine, EngineChoice, openEngine } from '../engines/choose';
import type { Engine, Model } from '../engines/engine';
import { Stop } from '../stop';
import { Finding, findStart, initialState } from '../weights/start';

/** What a checkpoint holds of a parameter: its value and both moments, and its value after the best epoch. */
const bytesPerParameter = 4 * (3 + 1);

/** What a run needs from the process it runs in. */
export interface Surroundings extends EngineChoice, Pick<OpenOptions, 'cacheBytes'> {
  /** ConvLab's own version, recorded with the run. */
  readonly version: string;
  /** Called after the events are on disk. */
  emit(events: readonly RunEvent[]): void;
  progress(message: Message): void;
  runFolder(folder: string): void;
  /** Told how long it can take from a request to stop until all is written, in seconds. */
  stopTakes?(seconds: number): void;
  /** Looked at after every step and every evaluated batch; its reason is a `Stop`. */
  readonly signal: AbortSignal;
}

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
  let position: Readonly<Position> | undefined;
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
      signal: surroundings.signal,
    };
    // A run that goes on has recorded what it started from, and reads it only where it has no checkpoint yet.
    const start = request.resume === undefined ? await findStart(experiment, finding) : undefined;
    surroundings.progress(message('openingEngine'));
    const opened = await openEngineOf(request, surroundings);
    engine = opened.engine;
    surroundings.progress(message('loadingData', { dataset: datasetTitles[experiment.dataset.name] }));
    const stored = request.resume === undefined ? undefined : readSplit(request.resume);
    const earlier = request.resume === undefined ? undefined : readHistory(request.resume).started;
    dataset = await openDataset(experiment, {
      ...request,
      stored,
      testDrawn: earlier === undefined || earlier.testDrawn === true,
      cacheBytes: surroundings.cacheBytes,
      progress: surroundings.progress,
      signal: surroundings.signal,
    });

    const network = networkOf(experiment);
    const { batchSize, loss, optimizer, seed, microBatch } = experiment;
    // Runs of earlier versions that began so go on.
    const isNew = request.resume === undefined;
    if (isNew) refuseSingleValues(network, dataset.counts.train, batchSize, microBatch);
    let before = new History();
    if (request.resume) ({ folder, before } = openForResuming(request.resume, experiment));
    else folder = RunFolder.create(request.runsFolder, experiment, surroundings.version, start);
    surroundings.runFolder(folder.folder);
    if (dataset.split && !stored) writeSplit(folder.folder, dataset.split);

    checkDiskSpace(folder.folder, network);
    surroundings.progress(message('compilingNetwork', { network: networks[experiment.network.name].title }));
    // A run that goes on keeps the passes that it began with: with others its figures would differ.
    const passes = before.started?.microBatch ?? microBatch;
    model = await engine.compile(network, { batchSize, loss, optimizer, seed, microBatch: passes });
    if (isNew) refuseSingleValues(network, dataset.counts.train, batchSize, model.microBatch);

    const use: EngineUse = {
      engine: engine.name,
      engineReasons: opened.reasons,
      device: engine.device.name,
      threads: engine.device.threads,
      versions: { convlab: surroundings.version, node: process.versions.node, ...engine.versions },
      ...(opened.leftOut.length > 0 && { leftOut: opened.leftOut }),
    };
    if (!before.started) {
      emit({
        type: 'started',
        protocol: protocolVersion,
        time: new Date().toISOString(),
        experiment,
        ...use,
        parameterCount: parameterCount(network),
        stepsPerEpoch: stepsPerEpoch(dataset.counts.train, batchSize),
        microBatch: model.microBatch,
        examples: dataset.counts,
        testDrawn: dataset.testDrawn,
        classNames: dataset.classNames,
        data: dataset.provenance,
        startedFrom: folder.record.start?.told,
      });
    }
    for (const warning of [...opened.warnings, ...dataset.warnings, ...(model.warnings ?? [])])
      emit({ type: 'warning', message: warning });
    const source = folder.record.start?.source;
    const checkpoint =
      request.resume === undefined
        ? undefined
        : reachedBy(folder, network, stepsPerEpoch(dataset.counts.train, batchSize), before, use, emit);
    await model.load(checkpoint?.state ?? (await initialState(network, experiment, source, finding)));
    const checkpoints = new Checkpoints(folder, model, parameterCount(network) * bytesPerParameter);
    const around = { ...surroundings, emit, stopTakes: whenLonger(surroundings.stopTakes) };
    const loop = new Loop(experiment, network, model, dataset, checkpoints, around, checkpoint?.position);
    position = loop.position;
    const result = await loop.train();
    folder.writeResult(result);
    emit(result);
  } catch (error) {
    if (!(error instanceof Stop)) throw reportFailure(error, surroundings, emit);
    // Before the loop there is no step, nor perhaps a folder to tell it in.
    const { epoch, step } = position ?? { epoch: 1, step: 0 };
    emit({ type: 'stopped', reason: error.by, epoch, step });
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
  const { keepEngine, resume, threads } = request;
  const before = resume === undefined ? undefined : readHistory(resume).lastUse;
  const kept = keepEngine ? before?.engine : undefined;
  if (kept === undefined) {
    const { engine } = request;
    const options = engine === 'auto' ? { threads } : optionsAsBefore(engine, { threads }, before);
    return openEngine(engine, options, surroundings);
  }
  try {
    const opened = await openEngine(kept, optionsAsBefore(kept, { threads }, before), surroundings);
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

/**
 * The newest whole checkpoint of a run that goes on; undefined where it begins anew. Tells where it stands, and puts back what
 * its events have lost, as far as the checkpoint knows it.
 * @param before what its events still tell
 */
function reachedBy(
  runFolder: RunFolder,
  network: Network,
  steps: number,
  before: History,
  use: EngineUse,
  emit: (event: RunEvent) => void,
): Checkpoint<Position> | undefined {
  const { folder, record } = runFolder;
  const { epochs } = record.experiment;
  const isPosition = (value: unknown) => isPositionOf(value, epochs, steps);
  const { checkpoint, damage } = readNewest<Position>(folder, network, isPosition);
  const { epoch, step, told = [], beside } = checkpoint?.position ?? { epoch: 1, step: 0 };
  const changed = beside && runFolder.changedSince(beside);
  if (changed?.experiment) {
    const file = path.join(folder, 'run.json');
    throw new UserError(message('runExperimentAltered', { file }), message('runExperimentAlteredAdvice'));
  }
  emit({ type: 'resumed', time: new Date().toISOString(), epoch, step, ...use });
  if (damage.length > 0) {
    const text = checkpoint
      ? message('checkpointFallback', { reason: damage.join(' '), epoch, step })
      : message('checkpointRestart');
    emit({ type: 'warning', message: text });
  }
  const known = new Set(before.epochs.map((event) => event.epoch));
  const missing = Array.from({ length: epoch - 1 }, (_, i) => i + 1).filter((each) => !known.has(each));
  const restored = told.filter((event) => missing.includes(event.epoch));
  restored.forEach(emit);
  const lost = missing.filter((each) => !restored.some((event) => event.epoch === each));
  if (restored.length > 0) emit({ type: 'warning', message: message('eventsRestored', { count: restored.length }) });
  if (lost.length > 0) emit({ type: 'warning', message: message('eventsLost', { epochs: lost.join(', ') }) });
  if (changed?.events && restored.length + lost.length === 0)
    emit({ type: 'warning', message: message('eventsAltered') });
  if (checkpoint) for (const text of differences(before.lastUse, use)) emit({ type: 'warning', message: text });
  return checkpoint;
}

/** Passes on what is considerably more than what was passed on before. */
function whenLonger(tell: (seconds: number) => void = () => undefined): (seconds: number) => void {
  let told = 0;
  return (seconds) => {
    if (seconds > 1.2 * told) tell((told = seconds));
  };
}
