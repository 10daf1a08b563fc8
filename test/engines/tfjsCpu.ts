/**
 * tfjs-core with its gradients and its backend in plain JavaScript, as one CommonJS bundle: tfjs-core's own CommonJS file
 * leaves the gradients out, and they exist only as ES modules that Node cannot load from that package.
 */
import { build } from 'esbuild';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tf } from '../../src/trainer/engines/tfjs/program';

/** The API with the CPU backend set. */
export async function loadTfjsCpu(): Promise<Tf> {
  const folder = mkdtempSync(join(tmpdir(), 'convlab-tfjs-'));
  try {
    const file = join(folder, 'tfjs.cjs');
    await build({
      stdin: {
        contents: `
          export * from '@tensorflow/tfjs-core';
          import '@tensorflow/tfjs-core/dist/register_all_gradients';
          import '@tensorflow/tfjs-backend-cpu';
        `,
        resolveDir: import.meta.dirname,
      },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      mainFields: ['module', 'main'],
      outfile: file,
      // tfjs-core names it for versions of Node without fetch.
      external: ['node-fetch'],
      logLevel: 'error',
    });
    const tf = createRequire(import.meta.url)(file) as Tf;
    await tf.setBackend('cpu');
    await tf.ready();
    return tf;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
