/** The embedded engine as WebAssembly, and when it is chosen: where ONNX Runtime's native code is missing or fails. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { buildNetwork } from '../../src/core/networks/catalog';
import { message } from '../../src/core/messages/message';
import { initialBuffers, initialParameters } from '../../src/core/networks/network';
import type { Batch, EngineOptions, ModelOptions } from '../../src/trainer/engines/engine';
import { onnxProvider, onnxProviderOf } from '../../src/trainer/engines/onnx/provider';
import { OnnxModel } from '../../src/trainer/engines/onnx/model';
import { missingBuild, NativeLibrary, nativeLibrary, openWeb } from '../../src/trainer/engines/onnx/runtime';
import { Failure, tryNative } from '../../src/trainer/engines/onnx/trial';
import { everyLayer } from './cases';
import { describeEngine } from './conformance';
import { ortLibrary } from './libraries';

const web: EngineOptions = { runtime: 'web', threads: 2 };
const library = ortLibrary((await openWeb(2)).ort, 'Can’t create a session. failed to allocate a buffer of size 64.');
const adam = { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
const modelOptions: ModelOptions = { batchSize: 32, loss: 'bce_with_logits', optimizer: adam, seed: 1 };

describe('as WebAssembly', () => {
  it('is onnxruntime-web that computes', async () => {
    const engine = await onnxProvider.open(web);
    expect(Object.keys(engine.versions)).toEqual(['onnxruntime-web']);
    expect(engine.device).toMatchObject({ kind: 'cpu', name: expect.stringContaining('WebAssembly'), threads: 2 });
    expect(engine.notes).toMatchObject([{ id: 'onnxRuntimeAsked', args: { runtime: 'web' } }]);
    await engine.dispose();
  });

  describeEngine(onnxProvider, { library, engine: web, goldenNetworks: ['resnet18'] });
});

describe('the choice between native code and WebAssembly', () => {
  afterEach(() => vi.unstubAllEnvs());
  const windows = { platform: 'win32', arch: 'x64', release: '10.0.19045' };
  const failing: NativeLibrary = {
    failure: async () => undefined,
    load: () => Promise.reject(new Error('libstdc++.so.6: version `GLIBCXX_3.4.30’ not found.\nRequire stack:')),
  };

  it('is native where there is a build', async () => {
    expect(missingBuild(process.platform, process.arch)).toBeUndefined();
    const engine = await onnxProvider.open({ threads: 1 });
    expect(Object.keys(engine.versions)).toEqual(['onnxruntime-node']);
    expect(engine.notes).toEqual([]);
    await engine.dispose();
  });

  it('is WebAssembly where there is none, and says so before anything is loaded', async () => {
    const provider = onnxProviderOf({ ...nativeLibrary, failure: async () => [missingBuild('darwin', 'x64')!] });
    const notes = [{ id: 'onnxNoNativeBuild', args: { machine: 'darwin-x64' } }, { id: 'onnxOnWebAssembly' }];
    const availability = await provider.probe();
    expect(availability).toMatchObject({
      usable: true,
      device: { name: expect.stringContaining('WebAssembly') },
      notes,
    });
    const engine = await provider.open({});
    expect(Object.keys(engine.versions)).toEqual(['onnxruntime-web']);
    expect(engine.notes).toMatchObject(notes);
    await engine.dispose();
  });

  it('is WebAssembly where native code does not load, with the loader’s own words', async () => {
    const engine = await onnxProviderOf(failing).open({});
    expect(Object.keys(engine.versions)).toEqual(['onnxruntime-web']);
    const reason = 'libstdc++.so.6: version `GLIBCXX_3.4.30’ not found';
    expect(engine.notes).toMatchObject([{ id: 'onnxNativeNotLoaded', args: { reason } }, { id: 'onnxOnWebAssembly' }]);
    await engine.dispose();
  });

  it('is WebAssembly where native code crashes, before it is offered, with what to install', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'convlab-native-'));
    const address = 'https://aka.ms/vs/17/release/vc_redist.x64.exe';
    const provider = (index: string) => {
      writeFileSync(join(folder, 'index.js'), index);
      return onnxProviderOf({ ...failing, failure: () => tryNative(folder, windows) });
    };
    try {
      const crashing = provider('process.abort();');
      const notes = [
        { id: 'onnxNativeCrashes', args: { how: 'SIGABRT' } },
        { id: 'installVcRuntime', args: { address } },
        { id: 'onnxOnWebAssembly' },
      ];
      const device = { name: expect.stringContaining('WebAssembly') };
      expect(await crashing.probe()).toMatchObject({ usable: true, device, notes });
      const engine = await crashing.open({ threads: 1 });
      expect(engine.device).toMatchObject(device);
      expect(engine.notes).toMatchObject(notes);
      await engine.dispose();
      const words = String.raw`The specified module could not be found.\r\n\\\\?\\C:\\a b\\onnxruntime_binding.node`;
      expect(await provider(`throw new Error("${words}");`).probe()).toMatchObject({
        notes: [
          { id: 'onnxNativeNotLoaded', args: { reason: 'The specified module could not be found' } },
          { id: 'installVcRuntime', args: { address } },
          { id: 'onnxOnWebAssembly' },
        ],
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is tried once in an installation: what passed is kept, what failed is tried again by the next process', async () => {
    const cache = mkdtempSync(join(tmpdir(), 'convlab-native-'));
    const folder = dirname(createRequire(__filename).resolve('onnxruntime-node/package.json'));
    try {
      let tried = 0;
      const attempt = (result: Failure | undefined) => async () => (tried++, result);
      const failure: Failure = [message('onnxNativeCrashes', { how: 'SIGSEGV' })];
      const again = async (result: Failure | undefined) => {
        vi.resetModules();
        const { triedNative } = await import('../../src/trainer/engines/onnx/trial');
        return triedNative(folder, cache, attempt(result));
      };
      expect(await again(failure)).toBe(failure);
      expect(await again(failure)).toBe(failure);
      expect(await again(undefined)).toBeUndefined();
      expect(tried).toBe(3);
      expect(await again(failure)).toBeUndefined();
      expect(tried).toBe(3);
      expect(await tryNative(folder)).toBeUndefined();
    } finally {
      rmSync(cache, { recursive: true });
    }
  });

  it('follows what is asked for, and replaces it by nothing', async () => {
    vi.stubEnv('CONVLAB_ONNX_RUNTIME', 'web');
    expect(await onnxProvider.probe()).toMatchObject({ device: { name: expect.stringContaining('WebAssembly') } });
    const engine = await onnxProvider.open({});
    expect(Object.keys(engine.versions)).toEqual(['onnxruntime-web']);
    await engine.dispose();
    await expect(onnxProviderOf(failing).open({ runtime: 'native' })).rejects.toThrow('GLIBCXX_3.4.30');
    vi.stubEnv('CONVLAB_ONNX_RUNTIME', 'wasm');
    await expect(onnxProvider.open({})).rejects.toThrow('CONVLAB_ONNX_RUNTIME is “wasm”; it must be native or web.');
  });
});

describe('WebAssembly’s 4 GiB', () => {
  it('hold VGG-16 at 224 pixels in several passes, and other networks as they are', async () => {
    const engine = await onnxProvider.open(web);
    const model = await engine.compile(buildNetwork('vgg16', [3, 224, 224], 1), modelOptions);
    expect(model.microBatch).toBeLessThan(32);
    expect(model.microBatch).toBeGreaterThan(1);
    const other = await engine.compile(buildNetwork('resnet18', [3, 224, 224], 1), modelOptions);
    expect(other.microBatch).toBe(32);
    await engine.dispose();
  });

  it('refuse what cannot fit, in a sentence', async () => {
    const engine = await onnxProvider.open(web);
    const large = buildNetwork('vgg16', [3, 1024, 1024], 1);
    await expect(engine.compile(large, { ...modelOptions, microBatch: 2 })).rejects.toThrow(
      /vgg16 with 2 images at a time needs about \d+\.\d GiB, more than the 4 GiB that WebAssembly can address/,
    );
    await engine.dispose();
  });

  it('hold one session where two would not fit, with the same result', async () => {
    const network = everyLayer();
    const runtime = await openWeb(2);
    const state = { parameters: initialParameters(network, 1), buffers: initialBuffers(network) };
    const width = network.inputShape.reduce((a, b) => a * b);
    const batchOf = (size: number): Batch => ({
      images: Float32Array.from({ length: size * width }, (_, i) => Math.sin(i)),
      labels: new Int32Array(size),
      size,
    });
    const train = async (bytes: number) => {
      let open = 0;
      let most = 0;
      const counted: typeof runtime = {
        ...runtime,
        memory: { process: 0, parameters: 1, values: 0, bytes },
        async createSession(graph) {
          const session = await runtime.createSession(graph);
          most = Math.max(most, ++open);
          const release = session.release.bind(session);
          session.release = () => (open--, release());
          return session;
        },
      };
      const options = { ...modelOptions, batchSize: 4, microBatch: 4, loss: 'cross_entropy' } as const;
      const model = new OnnxModel(counted, network, options, { total: Infinity, available: Infinity });
      await model.load(state);
      for (const [step, size] of [4, 3, 4, 3].entries()) await model.trainStep(batchOf(size), { epoch: 1, step }, 1e-3);
      const { parameters } = await model.save();
      await model.dispose();
      return { parameters, most, open };
    };
    const parameterBytes = 4 * [...state.parameters.values()].reduce((sum, values) => sum + values.length, 0);
    const roomy = await train(2 * parameterBytes);
    const tight = await train(2 * parameterBytes - 1);
    expect(roomy).toMatchObject({ most: 2, open: 0 });
    expect(tight).toMatchObject({ most: 1, open: 0 });
    expect(tight.parameters).toEqual(roomy.parameters);
  });
});
