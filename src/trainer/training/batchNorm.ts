/**
 * Refuses settings with which batch norm would meet one value per channel, as PyTorch does: whatever the image, it then
 * passes on the same value, and nothing is learned. run.ts asks before a new run begins.
 */
import { message, UserError } from '../../core/messages/message';
import { elements, Network } from '../../core/networks/network';

/**
 * @param examples training images of an epoch
 * @param passes images that pass through the network at once
 * @throws UserError that names the layer
 */
export function refuseSingleValues(network: Network, examples: number, batchSize: number, passes = batchSize): void {
  // In a layer of several pixels even one image gives several values per channel.
  const layer = network.nodes.find(
    ({ op, shape }) => op.kind === 'batchNorm' && !op.frozen && elements(shape.slice(1)) === 1,
  );
  if (!layer) return;
  const largest = Math.min(passes, batchSize, examples);
  if (largest === 1) {
    throw new UserError(message('batchNormSingle', { layer: layer.name }), message('batchNormSingleAdvice'));
  }
  // A whole batch, and the last one of an epoch; each leaves a rest for its last pass.
  const batches = [...(examples >= batchSize ? [batchSize] : []), examples % batchSize];
  if (!batches.some((size) => size % largest === 1)) return;
  const figures = { layer: layer.name, examples, batchSize, passes: largest };
  throw new UserError(
    largest < batchSize ? message('batchNormSinglePass', figures) : message('batchNormSingleLast', figures),
    message('batchNormSingleLastAdvice'),
  );
}
