/**
 * TensorFlow.js as an engine, once it is loaded and its backend set: provider.ts does so with native TensorFlow,
 * webgpuProvider.ts on Dawn, the tests with the backend in plain JavaScript.
 */
import type { Engine } from '../engine';
import { engineOf } from '../contract';
import type { Tf } from './api';
import { TfjsModel } from './model';
import type { TfjsEngineOptions } from './options';

/** An engine over a TensorFlow.js whose backend is set and ready. */
export function tfjsEngine(tf: Tf, options: TfjsEngineOptions): Engine {
  const { name, device, versions, trouble, close } = options;
  return engineOf({
    ...{ name, device, versions, trouble, close },
    build: (network, modelOptions) => new TfjsModel(tf, network, modelOptions, options),
  });
}
