/**
 * The trained network of a run as a file for other programs: an ONNX model, or a state dict for PyTorch. The terminal's
 * `export` calls it; the editor runs the terminal's.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { networkOf } from '../../core/experiment';
import { message, UserError } from '../../core/messages/message';
import { Network } from '../../core/networks/network';
import { readHistory, readRecord } from '../../disk/runs';
import { readTrained, Trained } from '../training/checkpoint';
import { normalizations } from '../data/dataset';
import { inferenceModel } from '../engines/onnx/inference';
import { NamedTensor, writeStateDict } from './pth';

export const exportFormats = ['onnx', 'pth'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/**
 * Exports the parameters that a run's test was made with: its last ones.
 * @param out the file to write
 * @throws UserError where the run has not finished, cannot be read, or the file cannot be written
 */
export function exportRun(runFolder: string, format: ExportFormat, out: string): void {
  const { experiment, convlab } = readRecord(runFolder);
  const { finished, started } = readHistory(runFolder);
  const run = path.basename(runFolder);
  if (!finished || !started) throw new UserError(message('runNotFinished', { run }), message('runNotFinishedAdvice'));
  const network = networkOf(experiment);
  const trained = readTrained(runFolder, network);
  if (format === 'pth') {
    writeWhole(out, (descriptor) => writeStateDict(descriptor, stateDictOf(network, trained, trained.updates)));
    return;
  }
  const { size, channels, normalize } = experiment.input;
  const { mean, std } = normalizations[normalize];
  const model = inferenceModel(network, trained.parameters, trained.buffers, {
    loss: experiment.loss,
    metadata: {
      experiment: experiment.id,
      network: experiment.network.name,
      run,
      convlab,
      classes: JSON.stringify(started.classNames),
      // Images are numbers from 0 to 1, channel by channel, minus the mean, over the standard deviation.
      mean: JSON.stringify(mean.slice(0, channels)),
      std: JSON.stringify(std.slice(0, channels)),
      size: String(size),
      fit: experiment.input.fit,
      test_accuracy: String(finished.testAccuracy),
    },
  });
  writeWhole(out, (descriptor) => fs.writeFileSync(descriptor, model));
}

/** Writes a file that appears when it is complete. @throws UserError where it cannot be written */
export function writeWhole(file: string, write: (descriptor: number) => void): void {
  const temporary = `${file}.tmp`;
  try {
    const descriptor = fs.openSync(temporary, 'w');
    try {
      write(descriptor);
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(message('exportNotWritable', { file, reason }), message('exportNotWritableAdvice'), {
      cause: error,
    });
  }
}

/**
 * A network's state dict in PyTorch's order, module by module: parameters, then buffers.
 * @param updates made so far, which PyTorch's batch norm counts as `num_batches_tracked`
 */
export function stateDictOf(
  network: Network,
  { parameters, buffers }: Pick<Trained, 'parameters' | 'buffers'>,
  updates: number,
): NamedTensor[] {
  return network.nodes.flatMap(({ name, op }, node) => {
    const own = (list: Network['parameters'] | Network['buffers'], tensors: Trained['parameters']): NamedTensor[] =>
      list.filter((p) => p.node === node).map((p) => ({ name: p.name, shape: p.shape, values: tensors.get(p.name)! }));
    const counter = { name: `${name}.num_batches_tracked`, shape: [], values: BigInt64Array.of(BigInt(updates)) };
    return [
      ...own(network.parameters, parameters),
      ...own(network.buffers, buffers),
      ...(op.kind === 'batchNorm' ? [counter] : []),
    ];
  });
}
