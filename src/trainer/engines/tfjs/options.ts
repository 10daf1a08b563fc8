/** What a provider says of the TensorFlow.js that it has loaded. provider.ts and webgpuProvider.ts do; engine.ts takes it. */
import type { Message } from '../../../core/messages/message';
import type { EngineParts } from '../contract';
import type { UpdateKernels } from './adam';
import type { FusedKernels } from './kernels';

export interface TfjsEngineOptions
  extends Pick<EngineParts, 'name' | 'device' | 'versions' | 'trouble' | 'close'>, UpdateKernels {
  /** Bytes that a training step may fill; decides the default size of a pass. */
  readonly memory: number;
  /** Bytes of the largest tensor that the device takes; default: no limit. */
  readonly largestTensor?: number;
  /** What every run is to be told of the engine. */
  readonly warnings?: readonly Message[];
  /** Faster ways to the same results, where the backend has them. */
  readonly kernels?: FusedKernels;
  /** Whether a whole step can be one graph, which native TensorFlow alone has. */
  readonly graphs?: boolean;
}
