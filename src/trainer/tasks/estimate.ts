/**
 * Estimates how long experiments would take here: the pace of an earlier run where there is one, else measured speeds,
 * measuring first where that is asked for, plus what reading the data, starting and writing checkpoints cost. `main.ts`
 * calls it for the terminal before a run and for the editor's choice of a preset.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseResolved, ResolvedExperiment } from '../../core/experiment';
import {
  checkpointBytesWritten,
  paceFromSpeeds,
  paceOfRun,
  runSeconds,
  shapeOf,
  startFromSpeeds,
  wellKnown,
} from '../../core/estimates';
import { UserError } from '../../core/messages/message';
import type { DataPlaces, Estimate, EstimateRequest, Machine } from '../../core/contracts/tasks';
import { readHistory, readRecord } from '../../disk/runs';
import type { Dataset } from '../data/dataset';
import { openDataset } from '../data/open';
import { openEngine } from '../engines/choose';
import { machineOf, measureShape, Measuring } from './measure';
import { Speeds } from './speeds';
import type { TaskSurroundings } from './task';

/** At most so many of an experiment's runs are looked at, newest first. */
const runsLookedAt = 10;
/** Reading is timed for about this long, in seconds. */
const readingSeconds = 0.2;

/**
 * @throws UserError where no engine can be opened, the signal's reason where it is aborted; an experiment whose data or network
 * fails is told of without a figure, because training it will say why
 */
export async function estimate(
  request: EstimateRequest,
  surroundings: TaskSurroundings<'estimate'> & Measuring,
): Promise<undefined> {
  const { threads } = request;
  const { signal, update } = surroundings;
  const experiments = request.experiments.map((e) => parseResolved(e, e?.id ?? 'experiment'));
  const { engine } = await openEngine(request.engine, { threads }, surroundings);
  // Since the process began: a run's trainer will need as long.
  const opening = performance.now() / 1000;
  try {
    const machine = machineOf(engine, surroundings.version);
    update({ type: 'machine', machine });
    const speeds = new Speeds(machine, surroundings.cache);
    const unmeasured: (() => Promise<void>)[] = [];
    for (const [index, experiment] of experiments.entries()) {
      const shape = shapeOf(experiment);
      let data: DataCosts;
      try {
        data = await timeData(experiment, request, signal);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        update({ type: 'estimate', estimate: { index } });
        continue;
      }
      const run = earlierPace(experiment, request.runsFolders, machine);
      const tell = () =>
        update({ type: 'estimate', estimate: { index, ...figure(experiment, run, data, speeds, opening) } });
      if (run?.evaluate !== undefined || wellKnown(shape, speeds.all) || !request.measure) {
        tell();
        continue;
      }
      unmeasured.push(async () => {
        try {
          // The one measured before may have told enough about this one.
          if (!wellKnown(shape, speeds.all)) await measureShape(engine, shape, speeds, surroundings);
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
        }
        tell();
      });
    }
    for (const measure of unmeasured) await measure();
  } finally {
    await engine.dispose();
  }
}

/** What an experiment's data cost. Seconds. */
interface DataCosts {
  readonly counts: Dataset['counts'];
  /** Finding and verifying it. */
  readonly opening: number;
  /** Per example. */
  readonly reading: number;
  /** Whether it is read while the engine computes. */
  readonly beside: boolean;
}

/** Opens an experiment's dataset and reads a little of it. @throws UserError, the signal's reason */
async function timeData(experiment: ResolvedExperiment, places: DataPlaces, signal: AbortSignal): Promise<DataCosts> {
  const begin = performance.now();
  const dataset = await openDataset(experiment, {
    ...places,
    unchecked: true,
    unfetched: true,
    progress: () => undefined,
    signal,
  });
  try {
    const opening = (performance.now() - begin) / 1000;
    const { counts } = dataset;
    const { size, channels } = experiment.input;
    const batch = Math.min(experiment.batchSize, counts.train);
    const images = new Float32Array(batch * channels * size * size);
    const labels = new Int32Array(batch);
    const indices = Uint32Array.from({ length: batch }, (_, i) => i);
    let beside = false;
    const read = async (epoch: number) => {
      const reading = dataset.read('train', indices, epoch, images, labels);
      beside = reading !== undefined;
      const from = performance.now();
      await reading;
      return (performance.now() - from) / 1000;
    };
    // The first reading compiles and fills caches; what it takes longer is decoding, which a run begins with.
    const first = await read(1);
    const from = performance.now();
    let batches = 0;
    while (performance.now() - from < readingSeconds * 1000 || batches < 2) await read(2 + batches++);
    const reading = (performance.now() - from) / 1000 / (batches * batch);
    const decoded = dataset.split ? counts.train + counts.validation + counts.test : 0;
    const decoding = Math.max(0, first / batch - reading) * decoded;
    return { counts, opening: opening + decoding, reading, beside };
  } finally {
    await dataset.close?.();
  }
}

/** The pace of the newest run of this experiment that can tell one. */
function earlierPace(
  experiment: ResolvedExperiment,
  runsFolders: readonly string[],
  machine: Machine,
): ReturnType<typeof paceOfRun> {
  const folders = runsFolders.flatMap((runs) => {
    const names = fs.existsSync(runs) ? fs.readdirSync(runs) : [];
    return names.filter((name) => name.includes(experiment.id)).map((name) => path.join(runs, name));
  });
  // Their names begin with the time.
  folders.sort((a, b) => (path.basename(a) < path.basename(b) ? 1 : -1));
  let partial: ReturnType<typeof paceOfRun>;
  let looked = 0;
  for (const folder of folders) {
    if (looked >= runsLookedAt) break;
    try {
      if (readRecord(folder).experiment.id !== experiment.id) continue;
      looked++;
      const pace = paceOfRun(readHistory(folder), experiment, machine);
      if (pace?.evaluate !== undefined) return pace;
      partial ??= pace;
    } catch {
      // Not a run, or one that cannot be read.
    }
  }
  return partial;
}

function figure(
  experiment: ResolvedExperiment,
  run: ReturnType<typeof paceOfRun>,
  data: DataCosts,
  speeds: Speeds,
  opening: number,
): Pick<Estimate, 'seconds' | 'basis'> {
  const shape = shapeOf(experiment);
  const measured = paceFromSpeeds(shape, speeds.all);
  const withData = (seconds: number) => (data.beside ? Math.max(seconds, data.reading) : seconds + data.reading);
  const train = run?.train ?? (measured && withData(measured.train));
  // A run too short for a validation: a forward pass is about a third of a step.
  const evaluate = run?.evaluate ?? (measured && withData(measured.evaluate)) ?? (train && train / 3);
  if (train === undefined || evaluate === undefined) return {};
  const seconds = runSeconds(experiment.epochs, data.counts, {
    start: opening + data.opening + startFromSpeeds(shape, speeds.all),
    train,
    evaluate,
    checkpoint: checkpointBytesWritten(shape) * (speeds.checkpointSecondsPerByte ?? 0),
  });
  return { seconds, basis: run ? 'run' : 'speed' };
}
