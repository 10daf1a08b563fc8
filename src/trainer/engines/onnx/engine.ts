/**
 * The embedded engine: ONNX Runtime on the processor, which comes inside the npm package `onnxruntime-node`. It is loaded
 * when the engine is opened, never before. choose.ts lists `onnxProvider` among the engines.
 */
import type * as Ort from 'onnxruntime-node';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

import { Availability, Engine, EngineOptions, EngineProvider, Optimization } from '../engine';
import { machineMemory } from '../memory';
import { OnnxModel, OrtApi } from './model';

const optimizations: readonly Optimization[] = ['winograd', 'fused-operators'];

export const onnxProvider: EngineProvider = {
  name: 'onnx',

  async probe(): Promise<Availability> {
    return { usable: true, device: device(physicalCores()) };
  },

  async open(options: EngineOptions): Promise<Engine> {
    const module = (await import('onnxruntime-node')) as OrtApi & { default?: OrtApi };
    const ort = module.default ?? module;
    const threads = options.threads ?? physicalCores();
    const sessionOptions: Ort.InferenceSession.SessionOptions = {
      executionProviders: ['cpu'],
      executionMode: 'sequential',
      // graph.ts writes the graph as it is to be computed, its order above all.
      graphOptimizationLevel: 'disabled',
      // A plan of the memory would be a second block beside the one that the first, unplanned step leaves behind.
      enableMemPattern: false,
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    };
    const models = new Set<OnnxModel>();
    return {
      name: 'onnx',
      device: device(threads),
      versions: { 'onnxruntime-node': ort.env.versions.node ?? ort.env.versions.common },
      optimizations: optimizations.filter((optimization) => !options.without?.includes(optimization)),
      async compile(network, modelOptions) {
        const model: OnnxModel = new OnnxModel(
          ort,
          network,
          modelOptions,
          sessionOptions,
          () => models.delete(model),
          options.memory ?? machineMemory(),
          options.without,
        );
        models.add(model);
        return model;
      },
      async dispose() {
        for (const model of [...models]) await model.dispose();
      },
    };
  },
};

function device(threads: number): Engine['device'] {
  return { kind: 'cpu', name: cpus()[0]?.model.trim() ?? process.arch, threads };
}

/** Cores without hyper-threading: a second thread on one core only takes the first one's cache. */
function physicalCores(): number {
  const logical = cpus().length;
  try {
    const cores = new Set<string>();
    let [chip, core] = ['', ''];
    for (const line of readFileSync('/proc/cpuinfo', 'utf8').split('\n')) {
      if (line.startsWith('physical id')) chip = line;
      if (line.startsWith('core id')) core = line;
      if (line === '' && core) cores.add(`${chip} ${core}`);
    }
    return cores.size > 0 ? Math.min(cores.size, logical) : logical;
  } catch {
    return logical;
  }
}
