/** Cuts a dataset's part into batches, reading the next ones while the engine works on the one before. */
import { permutation, Purpose, streamKey } from '../../core/random';
import type { Batch } from '../engines/engine';
import type { Dataset } from './dataset';
import type { Part } from './split';

/**
 * The batches of one training epoch, in an order that is a function of seed and epoch. The last one may be smaller.
 * @param firstStep steps to leave out, for a run that goes on in mid-epoch
 */
export function trainingBatches(
  dataset: Dataset,
  inputElements: number,
  batchSize: number,
  seed: number,
  epoch: number,
  firstStep: number,
): AsyncGenerator<Batch> {
  const order = permutation(streamKey(seed, Purpose.order, epoch), dataset.counts.train);
  return batches(dataset, 'train', order, inputElements, batchSize, epoch, firstStep);
}

/** The examples of a part in their own order, for evaluation. */
export function evaluationBatches(
  dataset: Dataset,
  part: Part,
  inputElements: number,
  batchSize: number,
): AsyncGenerator<Batch> {
  const order = Uint32Array.from({ length: dataset.counts[part] }, (_, i) => i);
  return batches(dataset, part, order, inputElements, batchSize, 0, 0);
}

async function* batches(
  dataset: Dataset,
  part: Part,
  order: Uint32Array,
  inputElements: number,
  batchSize: number,
  epoch: number,
  firstStep: number,
): AsyncGenerator<Batch> {
  // One set of buffers is with the engine while the others are being filled.
  const { readAhead = 1 } = dataset;
  const buffers = Array.from({ length: readAhead + 1 }, () => ({
    images: new Float32Array(batchSize * inputElements),
    labels: new Int32Array(batchSize),
  }));
  const steps = Math.ceil(order.length / batchSize);
  const read = async (step: number): Promise<Batch> => {
    const indices = order.subarray(step * batchSize, (step + 1) * batchSize);
    const buffer = buffers[step % buffers.length]!;
    const images = buffer.images.subarray(0, indices.length * inputElements);
    const labels = buffer.labels.subarray(0, indices.length);
    await dataset.read(part, indices, epoch, images, labels);
    return { images, labels, size: indices.length };
  };
  const reading: Promise<Batch>[] = [];
  for (let next = firstStep, step = firstStep; step < steps; step++) {
    // The batch for the engine, and behind it those that are read ahead.
    for (; next < steps && next <= step + readAhead; next++) {
      const batch = read(next);
      // A reader that fails while the engine is busy is reported when its batch is asked for, not as unhandled.
      batch.catch(() => undefined);
      reading.push(batch);
    }
    yield await reading.shift()!;
  }
}
