/** The numerical libraries as the conformance suite must reach them: what they hold, and how they fail without memory. */
import type { InferenceSession as Session } from 'onnxruntime-node';
import type { OrtApi } from '../../src/trainer/engines/onnx/runtime';
import type { Tf } from '../../src/trainer/engines/tfjs/api';
import type { LibraryUnderTest } from './conformance';

/**
 * ONNX Runtime, whose sessions are counted from now on.
 * @param words of the error with which it opens none for want of memory
 */
export function ortLibrary({ InferenceSession }: OrtApi, words: string): LibraryUnderTest {
  const create = InferenceSession.create.bind(InferenceSession) as (...given: unknown[]) => Promise<Session>;
  let held = 0;
  let starving = false;
  const counted = async (...given: unknown[]) => {
    if (starving) throw new Error(words);
    const session = await create(...given);
    held++;
    const release = session.release.bind(session);
    session.release = () => (held--, release());
    return session;
  };
  (InferenceSession as { create: unknown }).create = counted;
  return {
    held: () => held,
    starve() {
      starving = true;
      return () => void (starving = false);
    },
  };
}

/**
 * TensorFlow.js, whatever its backend: nothing can be written to it for want of memory.
 * @param failsFrom the first write that fails, counted from 0
 */
export function tfjsLibrary(tf: Tf, words = 'Array buffer allocation failed', failsFrom = 0): LibraryUnderTest {
  return {
    held: () => tf.engine().state.numTensors,
    starve() {
      const backend = tf.backend();
      const { write } = backend;
      let writes = 0;
      backend.write = (...given) => {
        if (writes++ >= failsFrom) throw new RangeError(words);
        return write.apply(backend, given);
      };
      return () => void (backend.write = write);
    },
  };
}
