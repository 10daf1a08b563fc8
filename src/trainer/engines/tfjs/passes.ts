/** A batch as the passes over the network that a step or an evaluation makes of it. model.ts calls. */
import { elements, Network } from '../../../core/networks/network';
import type { Batch, ModelOptions, StepPosition } from '../engine';
import { dropoutMasks } from '../step';
import type { Values } from './nodeBackend';

/** Examples of a batch that pass through the network together. */
export interface Pass {
  readonly size: number;
  readonly images: Float32Array;
  /** Class indices, or for one logit 0 and 1 as floats. */
  readonly labels: Int32Array | Float32Array;
  /** By the dropout node's ordinal. */
  readonly masks: ReadonlyMap<number, Float32Array>;
}

/** What of a pass is another in each step. */
export const changing = ({ images, labels, masks }: Pass): Values[] => [images, labels, ...masks.values()];

/** Parts of a batch of at most `microBatch` examples. */
export function* partsOf(
  { inputShape }: Network,
  batch: Batch,
  microBatch: number,
): Generator<{ start: number; size: number; images: Float32Array }> {
  const width = elements(inputShape);
  for (let start = 0; start < batch.size; start += microBatch) {
    const size = Math.min(microBatch, batch.size - start);
    yield { start, size, images: batch.images.subarray(start * width, (start + size) * width) };
  }
}

/** The passes of a batch in training mode. */
export function passesOf(
  network: Network,
  { loss, seed }: ModelOptions,
  batch: Batch,
  at: StepPosition,
  microBatch: number,
): Pass[] {
  const masks = dropoutMasks(network, seed, at, batch.size);
  return [...partsOf(network, batch, microBatch)].map(({ start, size, images }) => {
    const labels = batch.labels.subarray(start, start + size);
    return {
      size,
      images,
      labels: loss === 'bce_with_logits' ? Float32Array.from(labels) : Int32Array.from(labels),
      masks: new Map(
        [...masks].map(([ordinal, mask]) => {
          const width = mask.length / batch.size;
          return [ordinal, mask.subarray(start * width, (start + size) * width)] as const;
        }),
      ),
    };
  });
}
