/**
 * What a run starts from where it does not start from scratch: another run's parameters, a file of them, or ImageNet's.
 * `run.ts` finds the source before anything else, records it with the run, and reads it into the new network.
 */
import * as path from 'node:path';
import { networkOf, ResolvedExperiment } from '../../core/experiment';
import { Message, message, UserError } from '../../core/messages/message';
import { networks } from '../../core/networks/catalog';
import {
  elements,
  initialBuffers,
  initialParameters,
  Network,
  parameterCount,
  Shape,
  Tensors,
} from '../../core/networks/network';
import type { WeightsSource, WeightsStart } from '../../core/contracts/events';
import { listRuns, readHistory, readRecord } from '../../disk/runs';
import { readTrained, trainedDigest } from '../training/checkpoint';
import { digestOf } from './download';
import { imagenetFile, ImagenetSurroundings } from './imagenet';
import { StateDict } from './pth';

/** What finding a source needs from the process it happens in. */
export interface Finding extends ImagenetSurroundings {
  /** The folder of the new run's neighbours, in which runs are named. */
  readonly runsFolder: string;
}

/** Named tensors in PyTorch's layout, read one at a time. */
interface Weights {
  readonly names: readonly string[];
  shape(name: string): Shape | undefined;
  read(name: string): Float32Array;
}

/**
 * Finds what an experiment starts from and holds it to the experiment's network.
 * @returns undefined for a start from scratch
 * @throws UserError where there is none, or it does not fit
 */
export async function findStart(experiment: ResolvedExperiment, finding: Finding): Promise<WeightsStart | undefined> {
  const { weights } = experiment.network;
  const network = networkOf(experiment);
  if (weights === 'scratch') return undefined;
  finding.progress(message('findingWeights'));
  if (weights === 'imagenet') {
    const { file, sha256 } = await imagenetFile(experiment.network.name, finding);
    const fit = withFile(file, (opened) => fitting(opened, network, file));
    const first = message('startedFromImagenet', { file: path.basename(file) });
    return { source: { kind: 'imagenet', sha256 }, told: [first, ...told(network, fit)] };
  }
  if ('file' in weights) {
    const { file } = weights;
    const { fit, prefix } = withFile(file, (opened) => {
      const found = fitting(opened, network, file);
      // Before there is a run: a loss that is no number would say nothing of the file.
      for (const { name, shape } of [...network.parameters, ...network.buffers])
        if (opened.shape(name)?.join() === shape.join()) checked(opened.read(name), shape, name, file);
      return { fit: found, prefix: opened.prefix };
    });
    const named = prefix === '' ? [] : [message('startedPrefix', { prefix })];
    const source: WeightsSource = { kind: 'file', file, sha256: await digestOf(file, finding.signal) };
    return { source, told: [message('startedFromFile', { file }), ...named, ...told(network, fit)] };
  }
  const run = 'run' in weights ? weights.run : newestRun(weights.experiment, finding.runsFolder);
  const folder = path.join(finding.runsFolder, run);
  const record = readRecord(folder);
  const { finished } = readHistory(folder);
  if (!finished) throw new UserError(message('runNotFinished', { run }), message('runNotFinishedAdvice'));
  const theirs = record.experiment.network.name;
  if (theirs !== experiment.network.name) {
    const [its, ours] = [theirs, experiment.network.name].map((name) => networks[name].title) as [string, string];
    throw new UserError(message('startOtherNetwork', { run, theirs: its, ours }), message('startMisfitAdvice'));
  }
  const { epoch = 'last' } = weights;
  const fit = fitting(shapesOf(networkOf(record.experiment)), network, run);
  const source: WeightsSource = { kind: 'run', run, epoch, sha256: trainedDigest(folder, epoch, finished.bestEpoch) };
  const at = epoch === 'best' ? finished.bestEpoch : record.experiment.epochs;
  return {
    source,
    told: [message('startedFromRun', { run, epoch: at }), ...told(network, fit)],
  };
}

function newestRun(experiment: string, runsFolder: string): string {
  const found = listRuns(runsFolder).find((run) => run.state === 'finished' && run.record.experiment.id === experiment);
  if (found) return found.name;
  throw new UserError(
    message('startNoRun', { experiment, folder: runsFolder }),
    message('startNoRunAdvice', { experiment }),
  );
}

function told(network: Network, { replaced }: Fit): Message[] {
  const frozen = network.parameters.filter((p) => p.frozen).reduce((sum, p) => sum + elements(p.shape), 0);
  const count = (n: number) => n.toLocaleString('en');
  const { outputs } = network;
  return [
    ...(replaced ? [message('startedNewLayer', { layer: replaced.layer, outputs, before: replaced.outputs })] : []),
    ...(frozen ? [message('startedFrozen', { frozen: count(frozen), all: count(parameterCount(network)) })] : []),
  ];
}

/**
 * The state that training begins with: the source's tensors, or, without one, all drawn from the seed, as is a last layer
 * of another size than the source's.
 * @param runsFolder where a source that is a run lies
 * @throws UserError where the source is gone or no longer what it was when the run started
 */
export async function initialState(
  network: Network,
  { seed, network: { name } }: Pick<ResolvedExperiment, 'seed' | 'network'>,
  source: WeightsSource | undefined,
  finding: Finding,
): Promise<{ parameters: Tensors; buffers: Tensors }> {
  if (!source) return { parameters: initialParameters(network, seed), buffers: initialBuffers(network) };
  const changed = (name: string) =>
    new UserError(message('startChanged', { source: name }), message('startChangedAdvice'));
  if (source.kind !== 'run') {
    const { file, sha256 } =
      source.kind === 'imagenet'
        ? await imagenetFile(name, finding)
        : { file: source.file, sha256: await digestOf(source.file, finding.signal) };
    if (sha256 !== source.sha256) throw changed(file);
    return withFile(file, (weights) => filled(weights, network, file, seed));
  }
  const folder = path.join(finding.runsFolder, path.basename(source.run));
  const theirs = networkOf(readRecord(folder).experiment);
  const { parameters, buffers, sha256 } = readTrained(folder, theirs, source.epoch);
  if (sha256 !== source.sha256) throw changed(source.run);
  const read = (name: string) => parameters.get(name) ?? buffers.get(name)!;
  return filled({ ...shapesOf(theirs), read }, network, source.run, seed);
}

/** A network's tensors without their values. */
function shapesOf(network: Network): Omit<Weights, 'read'> {
  const shapes = new Map([...network.parameters, ...network.buffers].map(({ name, shape }) => [name, shape] as const));
  return { names: [...shapes.keys()], shape: (name) => shapes.get(name) };
}

/** How weights fit a network: entirely, or but for the last layer, whose number of outputs is another. */
interface Fit {
  readonly replaced?: { readonly layer: string; readonly outputs: number };
}

/** @param source for the sentence. @throws UserError that names the tensor that does not fit */
function fitting(weights: Omit<Weights, 'read'>, network: Network, source: string): Fit {
  const own = [...network.parameters, ...network.buffers];
  const misfit = (problem: Message) => new UserError(problem, message('startMisfitAdvice'));
  const last = network.nodes.length - 1;
  let replaced: Fit['replaced'];
  for (const { name, shape, node } of own) {
    const theirs = weights.shape(name);
    if (!theirs) throw misfit(message('startTensorMissing', { source, tensor: name, holds: listed(weights) }));
    if (theirs.join() === shape.join()) continue;
    // Of the last layer only the number of outputs may be another: what it is fed must be the same.
    if (node !== last || theirs.slice(1).join() !== shape.slice(1).join() || theirs.length !== shape.length) {
      const [found, needed] = [theirs, shape].map((s) => s.join('×')) as [string, string];
      throw misfit(message('startTensorShape', { source, tensor: name, found, needed }));
    }
    replaced = { layer: network.nodes[last]!.name, outputs: theirs[0]! };
  }
  const known = new Set(own.map(({ name }) => name));
  // PyTorch counts the batches that batch norm has seen; nothing is computed from it.
  const stranger = weights.names.find((name) => !known.has(name) && !name.endsWith('.num_batches_tracked'));
  if (stranger) throw misfit(message('startTensorStrange', { source, tensor: stranger }));
  return { replaced };
}

function filled(
  weights: Weights,
  network: Network,
  source: string,
  seed: number,
): { parameters: Tensors; buffers: Tensors } {
  const { replaced } = fitting(weights, network, source);
  const last = network.nodes.length - 1;
  const parameters = initialParameters(network, seed, ({ node }) => replaced !== undefined && node === last);
  for (const { name, shape } of network.parameters) {
    if (!parameters.has(name)) parameters.set(name, checked(weights.read(name), shape, name, source));
  }
  return {
    parameters,
    buffers: new Map(
      network.buffers.map(({ name, shape }) => [name, checked(weights.read(name), shape, name, source)]),
    ),
  };
}

/** The first tensors with their shapes, for a sentence. */
function listed(weights: Omit<Weights, 'read'>): string {
  const first = weights.names.slice(0, 4).map((name) => `${name} (${weights.shape(name)!.join('×')})`);
  return `${first.join(', ')}${weights.names.length > first.length ? ', …' : ''}`;
}

/** @throws UserError where a value is not finite */
function checked(values: Float32Array, shape: Shape, tensor: string, source: string): Float32Array {
  if (values.length !== elements(shape)) throw new Error(`read ${values.length} values of ${shape.join('×')}`);
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) {
    const value = String(values[at]);
    throw new UserError(
      message('startTensorNotFinite', { source, tensor, value }),
      message('startTensorNotFiniteAdvice'),
    );
  }
  return values;
}

function withFile<T>(file: string, use: (weights: StateDict) => T): T {
  const weights = StateDict.open(file);
  try {
    return use(weights);
  } finally {
    weights.close();
  }
}
