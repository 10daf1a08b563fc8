/**
 * The training steps that the benchmarks time: what the course trains, with random images and labels, on an engine in this
 * process or in bench/step.py and bench/keras_step.py; and children that take turns. Most programs of bench/ call it.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { buildNetwork, NetworkName } from '../../src/core/networks/catalog';
import { elements, initialBuffers, initialParameters, Network } from '../../src/core/networks/network';
import { fillUniform, streamKey, word } from '../../src/core/random';
import { Batch, Engine, Model, ModelOptions } from '../../src/trainer/engines/engine';

export interface Workload {
  readonly batch: number;
  readonly channels: number;
  /** Pixels of an image's side. */
  readonly size: number;
  readonly outputs: number;
  /** How many steps make a stable median in reasonable time. */
  readonly steps: number;
}

/** Keras's networks have no PyTorch beside them to be measured against. */
export const workloads = {
  lenet5: { batch: 64, channels: 1, size: 32, outputs: 10, steps: 1200 },
  alexnet: { batch: 32, channels: 3, size: 224, outputs: 1, steps: 8 },
  resnet18: { batch: 32, channels: 3, size: 224, outputs: 1, steps: 4 },
  vgg16: { batch: 32, channels: 3, size: 224, outputs: 1, steps: 3 },
  resnet50: { batch: 32, channels: 3, size: 224, outputs: 1, steps: 3 },
} satisfies Partial<Record<NetworkName, Workload>>;
export type Measured = keyof typeof workloads;

export function networkOf(name: Measured): Network {
  const { channels, size, outputs } = workloads[name];
  return buildNetwork(name, [channels, size, size], outputs);
}

export function optionsOf(name: Measured): ModelOptions {
  const { batch, outputs } = workloads[name];
  return {
    batchSize: batch,
    // Whole batches, however much memory there is.
    microBatch: batch,
    loss: outputs === 1 ? 'bce_with_logits' : 'cross_entropy',
    optimizer: { name: 'adam', learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    seed: 1,
  };
}

/** The same images and labels for every step. */
export function batchOf(name: Measured): Batch {
  const { batch: size, outputs } = workloads[name];
  const images = new Float32Array(size * elements(networkOf(name).inputShape));
  fillUniform(images, streamKey(1, 1), 1);
  const labels = Int32Array.from({ length: size }, (_, i) => word(streamKey(2), i) % (outputs === 1 ? 2 : outputs));
  return { images, labels, size };
}

export async function loadInitial(model: Model): Promise<void> {
  const { network } = model;
  await model.load({ parameters: initialParameters(network, 1), buffers: initialBuffers(network) });
}

/** @returns seconds of each step */
export async function timeSteps(model: Model, batch: Batch, steps: number): Promise<number[]> {
  const seconds: number[] = [];
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    await model.trainStep(batch, { epoch: 1, step }, 1e-4);
    seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}

/** What a child process tells of the steps that it timed. */
export interface Timing {
  /** Of each step. */
  readonly seconds: readonly number[];
  /** Bytes, of the process. */
  readonly peakMemory: number;
  /** Examples to a pass, of ConvLab. */
  readonly microBatch?: number;
}

/** Times a network's steps on an engine of this process. */
export async function timeTraining(
  engine: Engine,
  name: Measured,
  steps: number,
  options = optionsOf(name),
): Promise<Timing> {
  const model = await engine.compile(networkOf(name), options);
  await loadInitial(model);
  const seconds = await timeSteps(model, batchOf(name), steps);
  const { microBatch } = model;
  await model.dispose();
  return { seconds, peakMemory: peakMemory(), microBatch };
}

/** Images per second, without the first quarter of the steps, in which caches and shaders come to be. */
export const rateOf = (name: Measured, { seconds }: Timing): number =>
  workloads[name].batch / median(seconds.slice(Math.floor(seconds.length / 4)));

/** What bench/step.py and its like are called with. @param more arguments of their own */
export function scriptArguments(
  script: 'step.py' | 'keras_step.py',
  name: Measured,
  steps: number,
  threads: number,
  ...more: readonly string[]
): string[] {
  const { batch, size } = workloads[name];
  return [join(__dirname, '../../bench', script), name, ...[batch, size, steps, threads].map(String), ...more];
}

/** @throws Error that names what is unknown */
export function knownNetworks(names: readonly string[]): Measured[] {
  const known = Object.keys(workloads);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`There is no network ${unknown}; there are: ${known.join(', ')}.`);
  return names as Measured[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Three digits, or all before the point. */
export const digits = (x: number): string => (x >= 100 ? x.toFixed(0) : x.toPrecision(3));

/** “1.23 (1.10-1.31)”: median and range. */
export function spread(values: readonly number[], digits = 2): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} (${least.toFixed(digits)}-${most.toFixed(digits)})`;
}

/** Runs a program with glibc's allocator as shipped, or with tunables; its last line of output is JSON. */
export function child<Result>(command: string, args: readonly string[], tunables: string | undefined): Result {
  const env = { ...process.env };
  delete env['GLIBC_TUNABLES'];
  if (tunables) env['GLIBC_TUNABLES'] = tunables;
  const output = execFileSync(command, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  return JSON.parse(output.trim().split('\n').at(-1)!) as Result;
}

/** The largest resident memory that this process has had, in bytes. */
export const peakMemory = (): number => process.resourceUsage().maxRSS * 1024;
