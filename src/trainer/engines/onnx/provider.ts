/**
 * The embedded engine: ONNX Runtime on the processor, which comes inside npm packages: as native code, and as WebAssembly
 * where that cannot be used. It is loaded when the engine is opened, never before. choose.ts lists `onnxProvider` among the
 * engines.
 */
import { cpus } from 'node:os';
import { Message, message, UserError } from '../../../core/messages/message';
import { engineOf } from '../contract';
import { Availability, Engine, EngineOptions, EngineProvider, Optimization } from '../engine';
import { machineMemory } from '../memory';
import { defaultThreads } from '../processors';
import { reasonOf } from '../nativeCode';
import { OnnxModel } from './model';
import { NativeLibrary, nativeLibrary, openNative, openWeb, requestedRuntime, Runtime, RuntimeName } from './runtime';
import type { Failure } from './trial';

const optimizations: readonly Optimization[] = ['winograd', 'fused-operators'];

/** The provider; `library` is other than the default only in tests. */
export function onnxProviderOf(library: NativeLibrary = nativeLibrary): EngineProvider {
  return {
    name: 'onnx',

    async probe(): Promise<Availability> {
      const requested = requestedRuntime({});
      const failure = requested === undefined ? await library.failure() : undefined;
      const runtime = requested ?? (failure ? 'web' : 'native');
      return { usable: true, device: device(runtime, defaultThreads()), notes: notesOn(requested, failure) };
    },

    async open(options: EngineOptions): Promise<Engine> {
      const { runtime, notes } = await openRuntime(library, options);
      return engineOf({
        name: 'onnx',
        device: device(runtime.name, runtime.threads),
        versions: runtime.versions,
        optimizations: optimizations.filter((optimization) => !options.without?.includes(optimization)),
        notes,
        build: (network, modelOptions) =>
          new OnnxModel(runtime, network, modelOptions, options.memory ?? machineMemory(), options.without),
      });
    },
  };
}

export const onnxProvider: EngineProvider = onnxProviderOf();

/** Native where it can be used, else WebAssembly; one that was asked for is never replaced. */
async function openRuntime(
  library: NativeLibrary,
  options: EngineOptions,
): Promise<{ runtime: Runtime; notes: readonly Message[] }> {
  const threads = options.threads ?? defaultThreads();
  const requested = requestedRuntime(options);
  if (requested === 'web') return { runtime: await openWeb(threads), notes: notesOn(requested, undefined) };
  let failure = await library.failure();
  if (!failure) {
    try {
      return { runtime: await openNative(library, threads), notes: notesOn(requested, undefined) };
    } catch (error) {
      failure = [message('onnxNativeNotLoaded', { reason: reasonOf(error) })];
    }
  }
  if (requested === 'native') throw new UserError(...failure);
  return { runtime: await openWeb(threads), notes: notesOn(undefined, failure) };
}

/** What is to be said of the choice between the two: nothing where it is the usual one. */
function notesOn(requested: RuntimeName | undefined, failure: Failure | undefined): Message[] {
  if (requested) return [message('onnxRuntimeAsked', { runtime: requested })];
  return failure ? [...failure, message('onnxOnWebAssembly')] : [];
}

function device(runtime: RuntimeName, threads: number): Engine['device'] {
  const processor = cpus()[0]?.model.trim() ?? process.arch;
  return { kind: 'cpu', name: runtime === 'web' ? `WebAssembly, ${processor}` : processor, threads };
}
