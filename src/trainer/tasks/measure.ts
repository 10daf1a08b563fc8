/**
 * Measures how fast an engine trains and evaluates networks on this machine: real steps through `Engine.compile`, on
 * random images. `main.ts` calls {@link measureEngine} for `convlab engines --measure`, `estimate.ts` measures one shape.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { evaluationBatchSize } from '../../core/trainingRules';
import { multiplyAdds, paceFromSpeeds, Speed, wellKnown } from '../../core/estimates';
import { median } from '../../core/statistics';
import { message, UserError } from '../../core/messages/message';
import { buildNetwork, NetworkName, networks } from '../../core/networks/catalog';
import { elements, initialBuffers, Network, Tensors } from '../../core/networks/network';
import type { Machine, MeasureRequest, NetworkSpeed, StepShape } from '../../core/contracts/tasks';
import { fillUniform, Purpose, streamKey } from '../../core/random';
import { makeFolder } from '../../disk/files';
import { checkpointsFolder } from '../../disk/runs';
import { writeLast } from '../training/checkpoint';
import { EngineChoice, openEngine } from '../engines/choose';
import type { Engine } from '../engines/engine';
import { breathe, Stop } from '../stop';
import { Speeds } from './speeds';
import type { TaskSurroundings } from './task';

/** A measured step should take at most about this long, in seconds; a heavier network is measured at smaller batches. */
const longestStep = 2.5;
/** Steps are timed for at least this long, in seconds, and at least so many. */
const timedSeconds = 1;
const timedSteps = 3;
/** Compiling and filling memory for the first time make the first steps slow. */
const warmUpSteps = 2;
/** Batch of the first look at a network that may be heavy. */
const pilotBatch = 4;
/** Multiply-adds of a step that no machine needs a first look for. */
const lightStep = 3e8;

/** What a task that measures needs beside its surroundings. */
export interface Measuring extends Omit<EngineChoice, 'progress'> {
  /** Where the speeds are kept; default: the user's cache folder. */
  readonly cache?: string;
}

export const machineOf = (engine: Engine, version: string): Machine => ({
  engine: engine.name,
  device: engine.device.name,
  threads: engine.device.threads,
  versions: { ...engine.versions, convlab: version },
});

/** The networks of the course notes, which are measured unless others are named. */
export const notesNetworks: readonly NetworkName[] = ['lenet5', 'alexnet', 'vgg16', 'resnet18', 'resnet50'];

/** What is measured of a network without an experiment: the notes' size and batch, and a small size. */
export function usualShapes(network: NetworkName): StepShape[] {
  if (network === 'lenet5') return [{ network, channels: 1, size: 32, outputs: 10, batchSize: 64 }];
  return [64, 224].map((size) => ({ network, channels: 3, size, outputs: 1, batchSize: 32 }));
}

/** What measurements tell of a shape; undefined where nothing of its network has been measured. */
export function networkSpeed(shape: StepShape, speeds: readonly Speed[], cached: boolean): NetworkSpeed | undefined {
  const pace = paceFromSpeeds(shape, speeds);
  if (!pace) return undefined;
  const { train, evaluate, exact } = pace;
  return { shape, imagesPerSecond: 1 / train, evaluationImagesPerSecond: 1 / evaluate, exact, cached };
}

/**
 * Measures the usual shapes of each network, telling each speed as it is known; what was measured before is told from the
 * cache. A network that fails, for want of memory say, is told of and passed over.
 * @throws UserError where the engine cannot be opened, the signal's reason where it is aborted: what was measured is kept
 */
export async function measureEngine(
  request: MeasureRequest,
  surroundings: TaskSurroundings<'measure'> & Measuring,
): Promise<undefined> {
  const { threads } = request;
  const { update } = surroundings;
  const { engine } = await openEngine(request.engine, { threads }, surroundings);
  try {
    const machine = machineOf(engine, surroundings.version);
    update({ type: 'machine', machine });
    const speeds = new Speeds(machine, surroundings.cache);
    for (const network of request.networks ?? notesNetworks) {
      try {
        for (const shape of usualShapes(network)) {
          const cached = !request.again && wellKnown(shape, speeds.all);
          if (!cached) await measureShape(engine, shape, speeds, surroundings);
          update({ type: 'speed', speed: networkSpeed(shape, speeds.all, cached)! });
        }
      } catch (error) {
        if (error instanceof Stop) throw error;
        const reason =
          error instanceof UserError
            ? error.userMessage
            : message('unexpectedError', { reason: error instanceof Error ? error.message : String(error) });
        update({ type: 'unmeasured', network, reason });
      }
    }
  } finally {
    await engine.dispose();
  }
}

/**
 * Measures a shape and keeps the result. Where a step on the whole batch would take long, two smaller batches are measured
 * instead, from which the arithmetic of `estimates.ts` tells the whole.
 * @throws UserError where the engine fails, the signal's reason
 */
export async function measureShape(
  engine: Engine,
  shape: StepShape,
  speeds: Speeds,
  surroundings: Pick<TaskSurroundings<'measure'>, 'progress' | 'signal'>,
): Promise<void> {
  const { network, size, batchSize } = shape;
  surroundings.progress(message('measuringNetwork', { network: networks[network].title, size }));
  const measure = async (batch: number): Promise<number> => {
    const speed = await timeShape(engine, { ...shape, batchSize: batch }, surroundings.signal);
    speeds.add(speed);
    return speed.stepSeconds;
  };
  let batch = batchSize;
  if (batchSize > pilotBatch && multiplyAdds(shape) * batchSize > lightStep) {
    const perExample = (await measure(pilotBatch)) / pilotBatch;
    while (batch > 2 && perExample * batch > longestStep) batch = Math.ceil(batch / 2);
    // Two batches are needed to tell what grows with the batch.
    if (batch === pilotBatch) batch = pilotBatch / 2;
  }
  await measure(batch);
  if (speeds.checkpointSecondsPerByte === undefined) {
    makeFolder(speeds.folder);
    speeds.addCheckpoint(checkpointSecondsPerByte(speeds.folder));
  }
}

/** Times steps and evaluations of one shape at its batch. */
async function timeShape(engine: Engine, shape: StepShape, signal: AbortSignal): Promise<Speed> {
  const { network: name, channels, size, outputs, batchSize, microBatch, freeze } = shape;
  const network = buildNetwork(name, [channels, size, size], outputs, freeze);
  const inputElements = elements(network.inputShape);
  const seconds = async (work: () => Promise<unknown>): Promise<number> => {
    const before = performance.now();
    await work();
    // Messages come in between, as in the training loop; one may ask to stop.
    await breathe(signal);
    return (performance.now() - before) / 1000;
  };
  /** The first call, and the median of the settled ones. */
  const settle = async (work: (index: number) => Promise<unknown>): Promise<{ first: number; usual: number }> => {
    const begin = performance.now();
    const elapsed = () => (performance.now() - begin) / 1000;
    const first = await seconds(() => work(0));
    let index = 1;
    while (index < warmUpSteps && elapsed() < 2 * longestStep) await seconds(() => work(index++));
    const timed: number[] = [];
    const from = elapsed();
    do {
      timed.push(await seconds(() => work(index++)));
      // On a machine far slower than expected, one step has to tell.
      if (elapsed() > 4 * longestStep) break;
    } while (timed.length < timedSteps || elapsed() - from < timedSeconds);
    return { first, usual: median(timed) };
  };

  const begin = performance.now();
  const model = await engine.compile(network, {
    batchSize,
    loss: outputs === 1 ? 'bce_with_logits' : 'cross_entropy',
    optimizer: { name: 'adam', learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    seed: 1,
    microBatch: microBatch && Math.min(microBatch, batchSize),
  });
  try {
    await model.load({ parameters: plainParameters(network), buffers: initialBuffers(network) });
    const compiling = (performance.now() - begin) / 1000;
    const batchOf = (count: number) => {
      const images = new Float32Array(count * inputElements);
      fillUniform(images, streamKey(1, Purpose.init), 1);
      const labels = Int32Array.from({ length: count }, (_, i) => i % Math.max(2, outputs));
      return { images, labels, size: count };
    };
    const batch = batchOf(batchSize);
    const step = await settle((index) => model.trainStep(batch, { epoch: 1, step: index }, 1e-4));
    // As many as the loop evaluates at once, unless that takes long: a forward pass is less than a training step.
    const affordable = Math.floor((longestStep / step.usual) * batchSize);
    const usual = evaluationBatchSize(batchSize, inputElements);
    const evaluatedExamples = Math.min(usual, Math.max(batchSize, affordable));
    const images = batchOf(evaluatedExamples);
    const evaluation = await settle(() => model.evaluate(images));
    return {
      shape,
      stepSeconds: step.usual,
      evaluateSeconds: evaluation.usual,
      evaluatedExamples,
      startSeconds: compiling + Math.max(0, step.first - step.usual) + Math.max(0, evaluation.first - evaluation.usual),
      time: new Date().toISOString(),
    };
  } finally {
    await model.dispose();
  }
}

/**
 * Parameters of the usual sizes, a short stretch of random values over and over: drawing every one takes seconds for the
 * large networks and makes no step faster or slower.
 */
function plainParameters(network: Network): Tensors {
  const stretch = new Float32Array(2 ** 16);
  fillUniform(stretch, streamKey(1, Purpose.init), 1);
  return new Map(
    network.parameters.map(({ name, shape, init }) => {
      const values = new Float32Array(elements(shape));
      if (init.kind === 'constant') return [name, values.fill(init.value)] as const;
      const bound = init.kind === 'uniform' ? init.bound : init.std * Math.sqrt(3);
      const scaled = stretch.subarray(0, values.length).map((v) => v * bound);
      for (let at = 0; at < values.length; at += scaled.length) {
        values.set(scaled.subarray(0, values.length - at), at);
      }
      return [name, values] as const;
    }),
  );
}

/** Seconds per byte of writing a checkpoint in a folder, hash and disk together. @throws UserError */
function checkpointSecondsPerByte(folder: string): number {
  const megabytes = 16;
  const values = new Float32Array((megabytes * 2 ** 20) / 4);
  fillUniform(values, streamKey(1, Purpose.init), 1);
  const run = fs.mkdtempSync(path.join(folder, 'disk-'));
  try {
    fs.mkdirSync(path.join(run, checkpointsFolder));
    const state = { parameters: new Map([['values', values]]), buffers: new Map() };
    const seconds = [1, 2, 3].map(() => {
      const before = performance.now();
      writeLast(run, state, {});
      return (performance.now() - before) / 1000;
    });
    return median(seconds) / values.byteLength;
  } finally {
    fs.rmSync(run, { recursive: true, force: true });
  }
}
