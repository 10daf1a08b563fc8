/**
 * Any GPU as an engine, with CUDA or without: TensorFlow.js's WebGPU backend on Dawn, Chromium's WebGPU, which the optional
 * package `webgpu` brings to Node. Says by name what is missing, and loads both only when it is chosen. choose.ts lists
 * `webgpuProvider` among the engines.
 */
/// <reference types="@webgpu/types" />
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Message, message, UserError } from '../../../core/messages/message';
import type { Availability, Engine, EngineProvider } from '../engine';
import { reasonOf } from '../nativeCode';
import { Adapter, describeAdapter, isSoftware, Search, searchAdapter, usableMemory } from './adapter';
import { tfjsEngine } from './engine';

/** TensorFlow.js and its WebGPU backend, as webgpuLibrary.ts bundles them. */
type Library = typeof import('./webgpuLibrary');

/** Dawn's module. An instance keeps the process alive for as long as something refers to it. */
interface Dawn {
  create(options: readonly string[]): GPU;
  readonly globals: Readonly<Record<string, unknown>>;
}

/** Where the parts are; other than the defaults only in tests. */
export interface WebgpuParts {
  /** Folder of the package `webgpu`, or undefined where it is not installed. */
  folder(): string | undefined;
  /** The bundle of webgpuLibrary.ts. */
  library(): string;
  /** As Dawn names its builds: 'linux-x64', 'darwin-universal'. */
  readonly platform: string;
  search(index: string): Promise<Search>;
}

const installed: WebgpuParts = {
  folder() {
    try {
      return dirname(createRequire(__filename).resolve('webgpu/package.json'));
    } catch {
      return undefined;
    }
  },
  library: () => join(__dirname, 'tfjsWebgpu.js'),
  platform: process.platform === 'darwin' ? 'darwin-universal' : `${process.platform}-${process.arch}`,
  search: searchAdapter,
};

/** The platforms that the package `webgpu` has builds for. */
const builds = ['darwin-universal', 'linux-arm64', 'linux-x64', 'win32-arm64', 'win32-x64'];

interface Found {
  readonly adapter: Adapter;
  readonly folder: string;
}

export function webgpuProviderOf(changed: Partial<WebgpuParts> = {}): EngineProvider {
  const parts = { ...installed, ...changed };
  const find = async (): Promise<Found | Extract<Availability, { usable: false }>> => {
    const { platform } = parts;
    const not = (reason: Message, action?: Message) => ({ usable: false, reason, action }) as const;
    if (!builds.includes(platform)) return not(message('webgpuNoBuild', { platform, known: builds.join(', ') }));
    const folder = parts.folder();
    if (folder === undefined) return not(message('webgpuNotInstalled'), message('webgpuInstall'));
    const file = join('dist', platform, 'dawn.node');
    if (!existsSync(join(folder, file))) {
      return not(message('webgpuIncomplete', { folder, file }), message('webgpuInstall'));
    }
    const search = await parts.search(indexOf(folder));
    return search.adapter ? { adapter: search.adapter, folder } : not(search.reason, search.action);
  };
  return {
    name: 'webgpu',
    async probe() {
      const found = await find();
      return 'usable' in found ? found : { usable: true, device: deviceOf(found.adapter) };
    },
    async open() {
      const found = await find();
      if ('usable' in found) throw new UserError(found.reason, found.action);
      return load(found, parts.library());
    },
  };
}

export const webgpuProvider: EngineProvider = webgpuProviderOf();

const indexOf = (folder: string): string => pathToFileURL(join(folder, 'index.js')).href;

const deviceOf = (adapter: Adapter): Engine['device'] => ({
  kind: isSoftware(adapter) ? 'cpu' : 'gpu',
  name: describeAdapter(adapter),
});

/**
 * The limits to raise from WebGPU's defaults to what the adapter has: those that tfjs asks for itself, and the number of
 * tensors that one kernel may read.
 */
const raised = [
  'maxBufferSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
] as const;

async function load({ adapter: expected, folder }: Found, libraryFile: string): Promise<Engine> {
  try {
    const dawn = (await import(/* @vite-ignore */ indexOf(folder))) as Dawn;
    // The backend looks for WebGPU's classes and constants, and for navigator.gpu, where a browser has them.
    Object.assign(globalThis, dawn.globals);
    const gpu = dawn.create([]);
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) throw new Error('no adapter');
    const device = await adapter.requestDevice({
      requiredLimits: Object.fromEntries(raised.map((limit) => [limit, adapter.limits[limit]])),
    });
    const tf = createRequire(libraryFile)(libraryFile) as Library;
    return await engineOn(tf, gpu, device, expected, folder);
  } catch (error) {
    throw new UserError(message('webgpuNotLoaded', { reason: reasonOf(error) }), undefined, { cause: error });
  }
}

async function engineOn(tf: Library, gpu: GPU, device: GPUDevice, adapter: Adapter, folder: string): Promise<Engine> {
  const { name } = deviceOf(adapter);
  const takeFromNavigator = putIntoNavigator(gpu);
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  tf.registerBackend('webgpu', () => backendOn(tf, device));
  await tf.setBackend('webgpu');
  await tf.ready();
  return tfjsEngine(tf, {
    name: 'webgpu',
    device: deviceOf(adapter),
    versions: { webgpu: versionOf(folder), '@tensorflow/tfjs-backend-webgpu': tf.version_core },
    memory: await usableMemory(adapter),
    largestTensor: Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize),
    trouble: watch(device, name),
    adam: tf.adamByKernels,
    close() {
      tf.removeBackend('webgpu');
      device.destroy();
      takeFromNavigator();
    },
  });
}

/**
 * tfjs's backend without the kernels that it takes where a product or convolution fills few workgroups. One of them, which
 * splits the sum, gives wrong numbers for a transposed second factor (tfjs 4.22: [64, 4096] by [4, 4096] transposed), and
 * adds with atomics, so that the rounding of a sum depends on the order in which workgroups happen to finish.
 */
function backendOn(tf: Library, device: GPUDevice): InstanceType<Library['WebGPUBackend']> {
  const backend = new tf.WebGPUBackend(device);
  backend.thresholdToIncreaseWorkgroups = 0;
  return backend;
}

/** Puts `gpu` where browsers have it, and returns what takes it away again: a reference to it keeps the process alive. */
function putIntoNavigator(gpu: GPU): () => void {
  const global = globalThis as { navigator?: { gpu?: GPU } };
  // Node has a navigator of its own from version 21 on.
  if (!global.navigator) Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  Object.defineProperty(global.navigator!, 'gpu', { value: gpu, configurable: true });
  return () => void delete global.navigator!.gpu;
}

/**
 * Listens to the device for what tfjs does not look at: an invalid command, memory that ran out, a device that is gone. The
 * function returned tells of the first of them, and of nothing as long as all is well. WebGPU delivers the errors of earlier
 * commands before it resolves a read of their results, so asking after every read misses none.
 */
function watch(device: GPUDevice, name: string): (thrown?: unknown) => Promise<Error | undefined> {
  let trouble: Error | undefined;
  device.onuncapturederror = (event) => {
    event.preventDefault();
    const { error } = event;
    trouble ??=
      error instanceof GPUOutOfMemoryError
        ? new Error(`out of memory: ${error.message}`)
        : new UserError(
            message('webgpuInvalid', { device: name, reason: error.message.split('\n')[0]! }),
            message('webgpuInvalidAdvice'),
          );
  };
  const lost = device.lost.then(({ reason, message: detail }) => {
    trouble ??= new UserError(
      message('webgpuLost', { device: name, reason: detail || reason }),
      message('webgpuLostAdvice'),
    );
  });
  return async (thrown) => {
    // A read from a device that is gone may fail before the device says so.
    if (thrown !== undefined && !trouble) await Promise.race([lost, new Promise((done) => setTimeout(done, 200))]);
    return trouble;
  };
}

function versionOf(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}
