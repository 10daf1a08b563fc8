/**
 * TensorFlow.js on WebGPU. The conformance suite and what else computes runs where CONVLAB_WEBGPU names the adapter that
 * must be there, in part or whole ('swiftshader'), so that nothing can stand in for it; what is said where something is
 * missing is tested everywhere.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { english, UserError } from '../../src/core/messages/message';
import { initialBuffers, initialParameters } from '../../src/core/networks/network';
import { fillUniform, streamKey } from '../../src/core/random';
import { openEngine } from '../../src/trainer/engines/choose';
import { Availability, Engine, EngineProvider, ModelOptions } from '../../src/trainer/engines/engine';
import { Adapter, describeAdapter, isSoftware, searchAdapter } from '../../src/trainer/engines/tfjs/adapter';
import { webgpuProvider, webgpuProviderOf } from '../../src/trainer/engines/tfjs/webgpuProvider';
import { everyLayer, networkOf } from './cases';
import { describeEngine } from './conformance';
import { tfjsLibrary } from './libraries';
import { referenceForward } from './reference';
import { bundleTfjs } from './tfjsCpu';

type Library = typeof import('../../src/trainer/engines/tfjs/webgpuLibrary');

const expectedAdapter = process.env['CONVLAB_WEBGPU'];

const folder = mkdtempSync(join(tmpdir(), 'convlab-webgpu-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sentences = (availability: Availability) => {
  if (availability.usable) throw new Error(`usable on ${availability.device.name}`);
  return [availability.reason, ...(availability.action ? [availability.action] : [])].map(english).join(' ');
};

describe('WebGPU that cannot be used', () => {
  it.each([
    [
      'has no build for the platform',
      { platform: 'freebsd-x64' },
      /^The package webgpu has no build for freebsd-x64; it has builds for .*linux-x64.*\.$/,
    ],
    [
      'is not installed',
      { platform: 'linux-x64', folder: () => undefined },
      /^The optional package webgpu is not installed\. Run “npm install webgpu@0\.6\.2” in ConvLab’s folder\.$/,
    ],
    [
      'is installed without its native code',
      { platform: 'linux-x64', folder: () => folder },
      /is incomplete: dist.linux-x64.dawn\.node is missing\. Run “npm install/,
    ],
  ])('because it %s', async (_, parts, sentence) => {
    const provider = webgpuProviderOf(parts);
    expect(sentences(await provider.probe())).toMatch(sentence);
    const failure: unknown = await provider.open({}).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as UserError).message).toMatch(sentence);
  });

  /** A module in Dawn's place. */
  const dawn = (name: string, create: string): string => {
    const file = join(folder, `${name}.mjs`);
    writeFileSync(file, `export const globals = {}; export const create = () => { ${create} };`);
    return pathToFileURL(file).href;
  };

  it.each([
    ['crashes', `process.kill(process.pid, 'SIGSEGV')`, /^The graphics driver crashed.*\(SIGSEGV\)\. Update/],
    [
      'does not answer',
      `for (;;);`,
      /^The graphics driver did not answer WebGPU within 1 seconds\. Update the GPU’s driver/,
    ],
    ['throws', `throw new Error('wrong ELF class')`, /^WebGPU could not be started: wrong ELF class$/],
    ['finds nothing', `return { requestAdapter: async () => null }`, /^WebGPU found no GPU.*\. \w+/],
  ])('because its driver %s, which harms only a child process', async (name, create, sentence) => {
    const search = () => searchAdapter(dawn(name, create), 1000);
    const reply = await search();
    expect(sentences({ usable: false, ...(reply as Extract<typeof reply, { reason: unknown }>) })).toMatch(sentence);
    // Asked once in the life of a process.
    expect(await search()).toBe(reply);
  });

  it('because it exits without a word, which is not told by the script that was run', async () => {
    const reply = await searchAdapter(dawn('silent', 'process.exit(7)'));
    expect(reply).toMatchObject({ reason: { id: 'webgpuNotLoaded', args: { reason: 'exit status 7' } } });
  });

  describe('inside VS Code', () => {
    /** A program that behaves as Code.exe does: it is Node, but for Dawn. */
    const editor = join(folder, 'editor.sh');
    const adapterOf = `return { requestAdapter: async () => ({ info: { vendor: 'x', architecture: '', device: '' },
      requestDevice: async () => ({ createBuffer: () => ({ mapAsync: async () => {}, getMappedRange: () => new ArrayBuffer(4) }) }),
    }) }`;
    const search = (name: string, create: string, other: string | undefined) =>
      searchAdapter(dawn(name, create), 20_000, { execPath: editor, electron: true, other: () => other });
    const inEditor = (act: string) =>
      `Object.assign(globals, { GPUBufferUsage: {}, GPUMapMode: {} }); if (process.env.AS_EDITOR) { ${act} } ${adapterOf}`;
    writeFileSync(editor, `#!/bin/sh\nAS_EDITOR=1 exec "${process.execPath}" "$@"\n`, { mode: 0o755 });
    const posix = it.skipIf(process.platform === 'win32');

    posix('a Node.js that is installed is advised once it has been tried', async () => {
      const reply = await search('inEditor', inEditor(`throw new Error('module not found')`), process.execPath);
      expect(reply).toMatchObject({
        reason: { id: 'webgpuElectronLoad' },
        action: { id: 'setNodeTo', args: { path: process.execPath } },
      });
    });

    posix('one that fares no better is not, and what it met is told instead', async () => {
      const reply = await search('inBoth', `throw new Error('no such driver')`, process.execPath);
      expect(reply).toMatchObject({ reason: { id: 'webgpuNotLoaded', args: { reason: 'no such driver' } } });
      expect((reply as { action?: unknown }).action).toBeUndefined();
    });

    posix('where there is none, it is to be installed', async () => {
      const reply = await search('nowhere', inEditor(`throw new Error('module not found')`), undefined);
      expect(reply).toMatchObject({ reason: { id: 'webgpuElectronLoad' }, action: { id: 'setNode' } });
    });
  });

  it('because Vulkan is not installed', async () => {
    const create = `console.error("Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file");
      return { requestAdapter: async () => null }`;
    const reply = await searchAdapter(dawn('vulkan', create));
    if (reply.adapter) throw new Error('found an adapter');
    const expected = process.platform === 'linux' ? 'webgpuNoVulkan' : 'webgpuNoAdapter';
    expect(reply.reason.id).toBe(expected);
    expect(reply.action).toBeDefined();
  });
});

describe('an adapter', () => {
  const adapter = (changed: Partial<Adapter>): Adapter => ({
    vendor: 'nvidia',
    architecture: 'turing',
    device: 'nvidia-geforce-rtx-2080',
    description: '550.54',
    isFallbackAdapter: false,
    ...changed,
  });

  it.each([
    [{}, false],
    [{ vendor: 'apple', architecture: 'metal-3', device: '', description: 'Metal driver on macOS 14' }, false],
    [{ vendor: 'intel', device: 'intel-r-uhd-graphics-620' }, false],
    [{ isFallbackAdapter: true }, true],
    [{ vendor: 'google', architecture: 'swiftshader' }, true],
    [{ vendor: 'mesa', device: 'llvmpipe-llvm-15-0-6-256-bits' }, true],
    [{ vendor: 'microsoft', device: 'microsoft-basic-render-driver' }, true],
  ])('%o is told from hardware: %s', (changed, software) => {
    expect(isSoftware(adapter(changed))).toBe(software);
  });

  it('has a name, whatever the driver tells', () => {
    expect(describeAdapter(adapter({}))).toBe('nvidia-geforce-rtx-2080, 550.54');
    expect(describeAdapter(adapter({ device: 'swiftshader-device-subzero-' }))).toMatch(
      /^swiftshader-device-subzero, /,
    );
    expect(describeAdapter(adapter({ device: '', description: '' }))).toBe('nvidia turing');
    expect(describeAdapter({ ...adapter({}), vendor: '', architecture: '', device: '', description: '' })).toBe('GPU');
  });

  it('in software is used when asked for, and never chosen by itself', async () => {
    const library = join(folder, 'package');
    mkdirSync(join(library, 'dist', 'linux-x64'), { recursive: true });
    writeFileSync(join(library, 'dist', 'linux-x64', 'dawn.node'), '');
    const of = (found: Partial<Adapter>) =>
      webgpuProviderOf({
        platform: 'linux-x64',
        folder: () => library,
        search: async () => ({ adapter: adapter(found) }),
      });
    const opened: string[] = [];
    const noting = (provider: EngineProvider): EngineProvider => ({
      ...provider,
      open: async () => {
        opened.push(provider.name);
        return { name: provider.name } as Engine;
      },
    });
    const onnx: EngineProvider = {
      name: 'onnx',
      probe: async () => ({ usable: true, device: { kind: 'cpu', name: 'CPU' } }),
      open: () => Promise.reject(new Error('not called')),
    };
    const choose = (request: 'auto' | 'webgpu', found: Partial<Adapter>) =>
      openEngine(request, {}, { providers: [noting(of(found)), noting(onnx)], checkEngine: async () => undefined });
    expect((await choose('auto', {})).reasons[0]!.id).toBe('engineChosenGpu');
    expect((await choose('auto', { isFallbackAdapter: true })).reasons.map((reason) => reason.id)).toEqual([
      'engineEmulates',
      'engineChosenOnnx',
    ]);
    await choose('webgpu', { isFallbackAdapter: true });
    expect(opened).toEqual(['webgpu', 'onnx', 'webgpu']);
  });
});

if (expectedAdapter === undefined) {
  it('WebGPU computes', (context) => context.skip('CONVLAB_WEBGPU does not name an adapter'));
} else {
  const {
    library: tf,
    file,
    remove,
  } = await bundleTfjs<Library>({ file: 'src/trainer/engines/tfjs/webgpuLibrary.ts' });
  afterAll(remove);
  const provider = webgpuProviderOf({ library: () => file });
  const software = /swiftshader|llvmpipe/.test(expectedAdapter);

  describe('WebGPU', () => {
    it(`is ${expectedAdapter}`, async () => {
      for (const each of [webgpuProvider, provider]) {
        const availability = await each.probe();
        if (!availability.usable) throw new Error(sentences(availability));
        expect(availability.device.name).toContain(expectedAdapter);
        expect(availability.device.kind).toBe(software ? 'cpu' : 'gpu');
      }
      const engine = await provider.open({});
      expect(engine.device.name).toContain(expectedAdapter);
      expect(tf.getBackend()).toBe('webgpu');
      expect(engine.versions).toEqual({ webgpu: '0.6.2', '@tensorflow/tfjs-backend-webgpu': '4.22.0' });
      await engine.dispose();
    });
  });

  // A software adapter takes minutes for each of them.
  describeEngine(provider, {
    library: tfjsLibrary(tf),
    goldenNetworks: software ? [] : ['alexnet', 'vgg16', 'resnet18', 'resnet50'],
  });

  describe('the WebGPU program', () => {
    const options: ModelOptions = {
      batchSize: 4,
      loss: 'cross_entropy',
      optimizer: { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
      seed: 1,
    };
    const network = everyLayer();
    const state = { parameters: initialParameters(network, 1), buffers: initialBuffers(network) };
    const images = new Float32Array(4 * 2 * 9 * 7);
    fillUniform(images, streamKey(1), 1);
    const batch = { images, labels: Int32Array.of(0, 1, 2, 3), size: 4 };

    // tfjs 4.22 has kernels of its own for products with few outputs and long sums, and one of them is wrong.
    it.each([
      [2048, 4],
      [2500, 64],
      [4096, 120],
      [4096, 1],
    ])('is right for a linear layer from %i to %i', async (inputs, outputs) => {
      const wide = networkOf('wide', [inputs, 1, 1], (net, x) => net.linear('fc', net.flatten('flat', x), outputs));
      const parameters = initialParameters(wide, 1);
      const wideImages = new Float32Array(4 * inputs);
      fillUniform(wideImages, streamKey(2), 1);
      const loss = outputs === 1 ? 'bce_with_logits' : 'cross_entropy';
      const wideBatch = { images: wideImages, labels: Int32Array.of(0, 1, 1, 0), size: 4 };
      const expected = referenceForward(wide, parameters, new Map(), wideBatch, { loss });
      const engine = await provider.open({});
      const model = await engine.compile(wide, { ...options, loss });
      await model.load({ parameters, buffers: new Map() });
      const { logits } = await model.evaluate(wideBatch);
      // Sums of up to 4096 products below 1/64 each: float32 is good to about 1e-6 of the logits, which are near 1.
      logits.forEach((logit, i) => expect(Math.abs(logit - expected.logits[i]!)).toBeLessThan(1e-5));
      await engine.dispose();
    });

    it('holds no more tensors or memory after 200 steps than after 20', async () => {
      const engine = await provider.open({});
      const model = await engine.compile(network, options);
      await model.load(state);
      const held = async (from: number, to: number) => {
        for (let step = from; step < to; step++) await model.trainStep(batch, { epoch: 1, step }, 1e-3);
        const { numTensors, numBytesAllocatedInGPU } = tf.memory() as unknown as Record<string, number>;
        return { numTensors, numBytesAllocatedInGPU };
      };
      const before = await held(0, 20);
      const residentBefore = process.memoryUsage().rss;
      expect(await held(20, 200)).toEqual(before);
      // A leaked step would cost at least its 40 or so buffers; what the collector has yet to collect is less than this.
      expect(process.memoryUsage().rss - residentBefore).toBeLessThan(64 * 2 ** 20);
      await engine.dispose();
    });

    /** The next device that is opened. Dawn's classes are there once an engine has been opened. */
    const spyOnDevice = async () => {
      await (await provider.open({})).dispose();
      const spy = vi.spyOn(GPUAdapter.prototype, 'requestDevice');
      return async () => {
        const device = await (spy.mock.results.at(-1)!.value as Promise<GPUDevice>);
        spy.mockRestore();
        return device;
      };
    };

    it('ends with a sentence when WebGPU refuses a command, not with wrong numbers', async () => {
      const device = await spyOnDevice();
      const engine = await provider.open({});
      const model = await engine.compile(network, options);
      await model.load(state);
      await model.trainStep(batch, { epoch: 1, step: 0 }, 1e-3);
      (await device()).createShaderModule({ code: 'no shader' });
      await expect(model.trainStep(batch, { epoch: 1, step: 1 }, 1e-3)).rejects.toThrow(
        /^WebGPU refused a computation on .*, so its results cannot be trusted: .*WGSL.* Train with the engine onnx/,
      );
      await expect(model.save()).rejects.toThrow('disposed');
      await engine.dispose();
    });

    it('ends with a sentence when the device is lost', async () => {
      const device = await spyOnDevice();
      const engine = await provider.open({});
      const model = await engine.compile(network, options);
      await model.load(state);
      const step = model.trainStep(batch, { epoch: 1, step: 0 }, 1e-3);
      (await device()).destroy();
      await expect(step).rejects.toThrow(/^The connection to .* was lost \(.*\)\. Resume the run/);
      await engine.dispose();
    });

    it('refuses a network with a tensor that the device does not take', async () => {
      const engine = await provider.open({});
      // 4 GiB for one weight; SwiftShader takes 1 GiB, and no known device more than 4.
      const huge = networkOf('huge', [1 << 15, 1, 1], (net, x) =>
        net.linear('fc', net.flatten('flat', x), (1 << 15) + 1),
      );
      await expect(engine.compile(huge, options)).rejects.toThrow(/^huge needs 4097 MB in one piece \(fc\.weight\)/);
      await engine.dispose();
    });
  });
}
