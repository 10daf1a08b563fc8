/** Cuts a dataset's part into batches, reading the next while the engine works on the one before. */
import { permutation, Purpose, streamKey } from '../../random';
import type { Batch } from '../engines/engine';
import type { Dataset, Part } from './dataset';

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
  // Two sets of buffers: one is with the engine while the other is being filled.
  const buffers = [0, 1].map(() => ({
    images: new Float32Array(batchSize * inputElements),
    labels: new Int32Array(batchSize),
  }));
  const steps = Math.ceil(order.length / batchSize);
  const read = async (step: number): Promise<Batch> => {
    const indices = order.subarray(step * batchSize, (step + 1) * batchSize);
    const buffer = buffers[step % 2]!;
    const images = buffer.images.subarray(0, indices.length * inputElements);
    const labels = buffer.labels.subarray(0, indices.length);
    await dataset.read(part, indices, epoch, images, labels);
    return { images, labels, size: indices.length };
  };
  if (firstStep >= steps) return;
  let next = read(firstStep);
  for (let step = firstStep; step < steps; step++) {
    const batch = await next;
    if (step + 1 < steps) {
      next = read(step + 1);
      // A reader that fails while the engine is busy is reported when its batch is asked for, not as unhandled.
      next.catch(() => undefined);
    }
    yield batch;
  }
}
