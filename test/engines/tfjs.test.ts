/** The TensorFlow.js engine on tfjs's backend in plain JavaScript: slow, but the same program as on native TensorFlow. */
import { describe, expect, it } from 'vitest';
import { initialBuffers, initialParameters } from '../../src/networks/network';
import { EngineProvider } from '../../src/trainer/engines/engine';
import { tfjsEngine } from '../../src/trainer/engines/tfjs/model';
import { everyLayer } from './cases';
import { describeEngine } from './conformance';
import { loadTfjsCpu } from './tfjsCpu';

const tf = await loadTfjsCpu();

const device = { kind: 'cpu', name: 'JavaScript' } as const;

const provider: EngineProvider = {
  name: 'tensorflow',
  probe: async () => ({ usable: true, device }),
  async open() {
    return tfjsEngine(tf, {
      name: 'tensorflow',
      device,
      versions: { '@tensorflow/tfjs-core': tf.version_core },
      memory: 2 ** 30,
    });
  },
};

describeEngine(provider);
