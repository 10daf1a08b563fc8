/** Many steps one after another: the embedded engine takes no more memory for the last than for the first few. */
import { expect, it } from 'vitest';
import { buildNetwork } from '../../src/core/networks/catalog';
import { elements, initialBuffers, initialParameters } from '../../src/core/networks/network';
import { fillUniform, streamKey } from '../../src/core/random';
import { onnxProvider } from '../../src/trainer/engines/onnx/provider';

const mebibyte = 2 ** 20;

it('ResNet-18 on small images holds what it held after warming up', async () => {
  const network = buildNetwork('resnet18', [3, 32, 32], 1);
  const batchSize = 8;
  const engine = await onnxProvider.open({});
  const model = await engine.compile(network, {
    batchSize,
    microBatch: batchSize,
    loss: 'bce_with_logits',
    optimizer: { name: 'adam', learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    seed: 1,
  });
  await model.load({ parameters: initialParameters(network, 1), buffers: initialBuffers(network) });
  const images = new Float32Array(batchSize * elements(network.inputShape));
  const train = async (from: number, to: number) => {
    for (let step = from; step < to; step++) {
      fillUniform(images, streamKey(1, step), 1);
      const labels = Int32Array.from({ length: batchSize }, (_, i) => (i + step) % 2);
      await model.trainStep({ images, labels, size: batchSize }, { epoch: 1, step }, 1e-4);
    }
    return process.memoryUsage.rss();
  };
  const [warm, steps] = [30, 150];
  const before = await train(0, warm);
  const after = await train(warm, warm + steps);
  await engine.dispose();
  // Each step computes 43 MB of gradients and several of activations, of which the first convolution's output alone is
  // 0.5 MiB: any of them kept would show as 75 MiB or more. What waits for the garbage collector is kilobytes a step.
  expect((after - before) / mebibyte).toBeLessThan(40);
});
