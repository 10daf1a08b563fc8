/**
 * Native TensorFlow: the whole suite, the networks' figures, and which library it was. CONVLAB_TENSORFLOW names a folder
 * as `convlab setup tensorflow` makes it (ConvLab's storage, "tensorflow"); without it everything here is skipped.
 */
import { realpathSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../../src/networks/catalog';
import { initialBuffers, initialParameters } from '../../src/networks/network';
import { fillUniform, streamKey } from '../../src/random';
import { findInstallation, packageFolder, readRecord, tryOut } from '../../src/trainer/engines/tfjs/installation';
import { Tf } from '../../src/trainer/engines/tfjs/program';
import { tensorflowProvider } from '../../src/trainer/engines/tfjs/provider';
import { describeEngine } from './conformance';

const setup = process.env['CONVLAB_TENSORFLOW'];

describe('native TensorFlow', () => {
  if (setup === undefined) {
    it('the conformance suite and more', (context) => context.skip('CONVLAB_TENSORFLOW is not set'));
    return;
  }
  const record = readRecord(setup)!;

  describe('is what computes', () => {
    it('and names its library: the file that this process has mapped, of the version that was set up', async () => {
      expect(findInstallation()).toEqual({ folder: packageFolder(setup), record });
      expect(await tensorflowProvider.probe()).toMatchObject({ usable: true });
      const engine = await tensorflowProvider.open({});
      const { versions } = engine;
      await engine.dispose();
      expect(record.tensorflow).toMatch(/^\d+\.\d+\.\d+/);
      expect(versions).toMatchObject({
        '@tensorflow/tfjs-node-gpu': '4.22.0',
        libtensorflow: record.tensorflow,
        'libtensorflow file': record.library,
      });
      expect(path.basename(record.library)).toMatch(/^(lib)?tensorflow(_cc)?\./);
      const tf = createRequire(import.meta.url)(packageFolder(setup)) as Tf;
      expect(tf.getBackend()).toBe('tensorflow');
      if (process.platform !== 'linux') return;
      const mapped = readFileSync('/proc/self/maps', 'utf8');
      expect(mapped).toContain(realpathSync(record.library));
      expect(mapped).toContain(path.join(realpathSync(packageFolder(setup)), 'lib'));
    });

    it('and says the same in a process of its own', async () => {
      const trial = await tryOut(packageFolder(setup));
      expect(trial).toMatchObject({ tensorflow: record.tensorflow, library: record.library });
    });
  });

  describeEngine(tensorflowProvider, {
    goldenNetworks: ['alexnet', 'vgg16', 'resnet18', 'resnet50', 'alexnet-keras', 'vgg16-keras', 'resnet50-keras'],
  });

  it('trains 500 steps without growth of tensors or memory', async () => {
    const engine = await tensorflowProvider.open({});
    const tf = createRequire(import.meta.url)(packageFolder(setup)) as Tf;
    const network = buildNetwork('lenet5', [1, 32, 32], 10);
    const model = await engine.compile(network, {
      batchSize: 64,
      loss: 'cross_entropy',
      optimizer: { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
      seed: 1,
    });
    await model.load({ parameters: initialParameters(network, 1), buffers: initialBuffers(network) });
    const images = new Float32Array(64 * 32 * 32);
    fillUniform(images, streamKey(1, 1), 1);
    const batch = { images, labels: Int32Array.from({ length: 64 }, (_, i) => i % 10), size: 64 };
    const seen: { tensors: number; bytes: number; resident: number }[] = [];
    for (let step = 0; step < 500; step++) {
      await model.trainStep(batch, { epoch: 1, step }, 1e-3);
      if (step === 0 || step % 100 === 99) {
        const { numTensors, numBytes } = tf.memory();
        seen.push({ tensors: numTensors, bytes: numBytes, resident: process.memoryUsage().rss });
      }
    }
    await engine.dispose();
    const [first, , middle] = seen as [(typeof seen)[0], unknown, (typeof seen)[0]];
    const last = seen.at(-1)!;
    expect(last.tensors).toBe(first.tensors);
    expect(last.bytes).toBe(first.bytes);
    // One step's outputs are 3.7 MB: 300 steps that kept as little as a thirtieth of theirs would exceed this.
    expect(last.resident - middle.resident).toBeLessThan(30e6);
  });
});
