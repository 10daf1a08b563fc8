/** The embedded engine, on ONNX Runtime's CPU kernels. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { buildNetwork } from '../../src/core/networks/catalog';
import { initialBuffers, initialParameters, NetworkBuilder } from '../../src/core/networks/network';
import { fillUniform, streamKey } from '../../src/core/random';
import { onnxProvider } from '../../src/trainer/engines/onnx/provider';
import { nativeLibrary } from '../../src/trainer/engines/onnx/runtime';
import { describeEngine } from './conformance';
import { ortLibrary } from './libraries';

const library = ortLibrary(await nativeLibrary.load(), 'std::bad_alloc');

describeEngine(onnxProvider, {
  library,
  goldenNetworks: ['alexnet', 'vgg16', 'resnet18', 'resnet50', 'alexnet-tf', 'vgg16-tf', 'resnet50-keras'],
});
// Every rule again without what the self-check can switch off.
describeEngine(onnxProvider, { library, engine: { without: ['winograd', 'fused-operators'] } });

it('divides a batch where memory is short, to the same step', async () => {
  const network = buildNetwork('alexnet', [3, 224, 224], 1);
  const images = new Float32Array(8 * 3 * 224 * 224);
  fillUniform(images, streamKey(1, 2), 1);
  const batch = { images, labels: Int32Array.from({ length: 8 }, (_, i) => i % 2), size: 8 };
  const step = async (available: number) => {
    const engine = await onnxProvider.open({ memory: { total: 2 ** 36, available } });
    const optimizer = { name: 'adam', learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
    const model = await engine.compile(network, { batchSize: 8, loss: 'bce_with_logits', optimizer, seed: 1 });
    await model.load({ parameters: initialParameters(network, 1), buffers: initialBuffers(network) });
    const { microBatch, warnings } = model;
    const { loss, logits } = await model.gradients(batch, { epoch: 1, step: 0 });
    await engine.dispose();
    return { microBatch, warnings, loss, logits };
  };
  const whole = await step(2 ** 36);
  const divided = await step(2.49e9);
  expect([whole.microBatch, whole.warnings]).toEqual([8, []]);
  expect([divided.microBatch, divided.warnings]).toEqual([4, []]);
  // The order of summation differs, in float32: some 1e-7 of the largest logit.
  divided.logits.forEach((logit, i) => expect(logit).toBeCloseTo(whole.logits[i]!, 6));
  expect(divided.loss).toBeCloseTo(whole.loss, 6);
});

it.each([
  ['larger than a WebAssembly memory can be', undefined],
  ['more than the system gives', 'WebAssembly.Memory(): could not allocate memory'],
])('says that memory ran out where parameters are %s', async (_, words) => {
  const engine = await onnxProvider.open({ memory: { total: 2 ** 40, available: 2 ** 40 } });
  // 2³⁰ parameters, which are reckoned with and never drawn; or a few.
  const side = words === undefined ? 2 ** 15 : 2;
  const net = new NetworkBuilder('square', [side, 1, 1]);
  net.linear('fc', net.flatten('flatten', net.input), side);
  const optimizer = { name: 'adam', learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
  const options = { batchSize: 1, loss: 'cross_entropy', optimizer, seed: 1 } as const;
  if (words !== undefined) {
    const refuse = function () {
      throw new RangeError(words);
    };
    const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new () => object } };
    const spy = vi.spyOn(WebAssembly, 'Memory').mockImplementation(refuse as never);
    onTestFinished(() => spy.mockRestore());
  }
  await expect(engine.compile(net.build(), options)).rejects.toMatchObject({
    userMessage: { id: 'engineOutOfMemory', args: { batchSize: 1 } },
  });
  await engine.dispose();
});
