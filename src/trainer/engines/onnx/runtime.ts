/**
 * The libraries that run the engine's graphs: onnxruntime-node, which is native code, and where it has no build or does
 * not load, onnxruntime-web, the same library as WebAssembly. provider.ts opens one of them; model.ts makes its sessions and
 * runs them through it.
 */
import type * as Ort from 'onnxruntime-node';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { Message, message, UserError } from '../../../core/messages/message';
import type { EngineOptions } from '../engine';
import { reasonOf } from '../nativeCode';
import { Graph } from './graph';
import { Failure, triedNative } from './trial';

export type RuntimeName = NonNullable<EngineOptions['runtime']>;
export type OrtApi = typeof Ort;
type Tensors = Record<string, Ort.Tensor>;

/** What a training step holds, as a model of how a library allocates. */
export interface StepMemory {
  /** Bytes before it trains. */
  readonly process: number;
  /** So many copies of the parameters. */
  readonly parameters: number;
  /** So many times what the graph's values take at once, for allocators leave gaps. */
  readonly values: number;
  /** Bytes that can be addressed; default: as many as there are. */
  readonly bytes?: number;
}

export interface Runtime {
  readonly name: RuntimeName;
  readonly ort: OrtApi;
  /** Threads that compute. */
  readonly threads: number;
  /** By package name. */
  readonly versions: Readonly<Record<string, string>>;
  readonly memory: StepMemory;
  createSession(model: Uint8Array): Promise<Ort.InferenceSession>;
  /** Computes the outputs named in `fetches` into the buffers of the tensors given there. */
  run(session: Ort.InferenceSession, feeds: Tensors, fetches: Tensors): Promise<void>;
}

/** How the native library is found and loaded; other than the default only in tests. */
export interface NativeLibrary {
  /** Why it cannot be used here, by its files and by a trial in a process of its own. Loads nothing into this one. */
  failure(): Promise<Failure | undefined>;
  load(): Promise<OrtApi>;
}

export const nativeLibrary: NativeLibrary = {
  async failure() {
    const missing = missingBuild(process.platform, process.arch);
    return missing ? [missing] : triedNative(packageFolder());
  },
  load: async () => {
    // It would keep a device's number and a queue of events in the user's cache folder, and look its collector's name up.
    process.env['ORT_DISABLE_TELEMETRY'] = '1';
    const module = (await import('onnxruntime-node')) as OrtApi & { default?: OrtApi };
    const ort = module.default ?? module;
    // The sessions' own level says nothing of what the library writes to stderr outside them, or before there are any.
    ort.env.logLevel = 'error';
    return ort;
  },
};

const packageFolder = (): string => dirname(createRequire(__filename).resolve('onnxruntime-node/package.json'));

/** Why onnxruntime-node has no native code for a platform; undefined where its file is in place. */
export function missingBuild(platform: string, arch: string): Message | undefined {
  const machine = `${platform}-${arch}`;
  try {
    const bin = join(packageFolder(), 'bin');
    const found = readdirSync(bin).some((version) =>
      existsSync(join(bin, version, platform, arch, 'onnxruntime_binding.node')),
    );
    return found ? undefined : message('onnxNoNativeBuild', { machine });
  } catch {
    return message('onnxNoNativeBuild', { machine });
  }
}

/**
 * The runtime that is asked for by name, else by the environment variable CONVLAB_ONNX_RUNTIME.
 * @throws UserError for a value of the variable that names none
 */
export function requestedRuntime(options: EngineOptions): RuntimeName | undefined {
  const name = options.runtime ?? (process.env['CONVLAB_ONNX_RUNTIME'] || undefined);
  if (name === undefined || name === 'native' || name === 'web') return name;
  throw new UserError(message('onnxRuntimeUnknown', { name }));
}

type SessionOptions = Ort.InferenceSession.SessionOptions;

const computedAsWritten: SessionOptions = {
  executionMode: 'sequential',
  // graph.ts writes the graph as it is to be computed, its order above all.
  graphOptimizationLevel: 'disabled',
  // A plan of the memory would be a second block beside the one that the first, unplanned step leaves behind.
  enableMemPattern: false,
  logSeverityLevel: 3,
};

/**
 * The parameters, their moments and gradients, and as much again while ONNX Runtime computes these. Chosen so that no
 * measured process takes more: VGG-16 by 8, 16 and 32, AlexNet, ResNet-18 and ResNet-50 by 32 at 224 pixels, ResNet-18 at
 * 64 pixels. They took 0.73 to 0.93 of it.
 */
const nativeMemory: StepMemory = { process: 300e6, parameters: 8, values: 2 };

/** @param more what a session is to do besides, such as write a profile */
export async function openNative(library: NativeLibrary, threads: number, more: SessionOptions = {}): Promise<Runtime> {
  const ort = await library.load();
  const sessionOptions = {
    ...computedAsWritten,
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    ...more,
  };
  return {
    name: 'native',
    ort,
    threads,
    versions: { 'onnxruntime-node': ort.env.versions.node ?? ort.env.versions.common },
    memory: nativeMemory,
    createSession: (model) => ort.InferenceSession.create(model, sessionOptions),
    async run(session, feeds, fetches) {
      await session.run(feeds, fetches);
    },
  };
}

/**
 * In its 32-bit addresses. Measured as the growth of the module's memory, which goes in steps of a fifth, over training
 * steps and an evaluation at 224 pixels: up to 1.7 times the values (VGG-16, ResNet-50), and up to 2.6 parameters (AlexNet),
 * which every run copies in and whose gradients it copies out.
 */
const webMemory: StepMemory = { process: 0, parameters: 3, values: 1.8, bytes: 2 ** 32 };

/** Threads of the WebAssembly module, which a process loads once and with which they start. */
let webThreads: number | undefined;

/** @throws UserError when the module does not load */
export async function openWeb(threads: number): Promise<Runtime> {
  try {
    const runtime = await loadWeb(threads);
    // The first session loads the module and starts the threads.
    const graph = new Graph('nothing');
    graph.output(graph.input('x', [1]));
    await (await runtime.createSession(graph.encode())).release();
    return runtime;
  } catch (error) {
    throw new UserError(message('onnxWebNotLoaded', { reason: reasonOf(error) }), undefined, { cause: error });
  }
}

async function loadWeb(threads: number): Promise<Runtime> {
  // As an ES module it has a copy of onnxruntime-common to itself, in which no other library is registered as a backend.
  const module = (await import('onnxruntime-web')) as unknown as OrtApi & { default?: OrtApi };
  const ort = module.default ?? module;
  webThreads ??= threads;
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = webThreads;
  ort.env.wasm.proxy = false;
  const sessionOptions = { ...computedAsWritten, executionProviders: ['wasm'] };
  return {
    name: 'web',
    ort,
    threads: webThreads,
    versions: { 'onnxruntime-web': ort.env.versions.web ?? ort.env.versions.common },
    memory: webMemory,
    createSession: (model) => ort.InferenceSession.create(model, sessionOptions),
    // Its outputs lie in the module's own memory: it can only hand out copies.
    async run(session, feeds, fetches) {
      const outputs = await session.run(feeds, Object.keys(fetches));
      for (const [name, { data }] of Object.entries(fetches)) {
        (data as Float32Array).set(outputs[name]!.data as Float32Array);
      }
    },
  };
}
