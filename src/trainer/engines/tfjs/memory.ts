/** What a step takes of a device's memory, and the passes that fit. model.ts asks when it is made. */
import { elements, Network, parameterCount } from '../../../core/networks/network';
import { message, UserError } from '../../../core/messages/message';
import type { TfjsEngineOptions } from './options';

/**
 * What a step holds at its largest, in sizes of the network's outputs (all nodes of one example) and of its parameters.
 * Measured as tf.memory().numBytes on the JavaScript backend: 1.9 to 2.2 outputs (LeNet-5, AlexNet, ResNet-18 and -50; a
 * third is kept for what the libraries allocate themselves), and 6.6 parameters (AlexNet, while Adam updates its largest
 * matrix).
 */
const outputsHeld = 3;
const parametersHeld = 7;

/** The largest pass that fits the memory and the device, so that the passes of a full batch are of nearly equal size. */
export function defaultMicroBatch(
  network: Network,
  batchSize: number,
  { memory, largestTensor }: TfjsEngineOptions,
): number {
  const fixed = stepBytes(network, 0);
  const largest = Math.max(...network.nodes.map((node) => 4 * elements(node.shape)));
  const fits = Math.min((memory - fixed) / (stepBytes(network, 1) - fixed), (largestTensor ?? Infinity) / largest);
  return Math.ceil(batchSize / Math.ceil(batchSize / Math.max(1, Math.floor(fits))));
}

/** Bytes that a step takes with passes of a size. */
export function stepBytes(network: Network, size: number): number {
  const values = network.nodes.reduce((sum, node) => sum + elements(node.shape), 0);
  return 4 * (parametersHeld * parameterCount(network) + outputsHeld * size * values);
}

/** @throws UserError when one parameter, or one output for a single example, is larger than the device takes */
export function checkLargestTensor(network: Network, { largestTensor = Infinity, device }: TfjsEngineOptions): void {
  for (const { name, shape } of [...network.parameters, ...network.nodes]) {
    const bytes = 4 * elements(shape);
    if (bytes <= largestTensor) continue;
    const megabytes = (size: number) => Math.ceil(size / 2 ** 20);
    throw new UserError(
      message('tensorTooLarge', {
        network: network.name,
        tensor: name,
        needed: megabytes(bytes),
        device: device.name,
        limit: Math.floor(largestTensor / 2 ** 20),
      }),
      message('tensorTooLargeAdvice'),
    );
  }
}
