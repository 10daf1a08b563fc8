/**
 * tfjs-core with its gradients and its backend in plain JavaScript, as one CommonJS bundle: tfjs-core's own CommonJS file
 * leaves the gradients out, and they exist only as ES modules that Node cannot load from that package.
 */
import { build } from 'esbuild';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tf } from '../../src/trainer/engines/tfjs/api';

/**
 * Bundles TensorFlow.js as Node can load it.
 * @param entry a source file, or the contents of one
 * @returns the exports of the bundle, and its file, which lies in a folder of its own until `remove` is called
 */
export async function bundleTfjs<Library>(
  entry: { readonly file: string } | { readonly contents: string },
): Promise<{ library: Library; file: string; remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'convlab-tfjs-'));
  const file = join(folder, 'tfjs.cjs');
  await build({
    ...('file' in entry
      ? { entryPoints: [entry.file] }
      : { stdin: { contents: entry.contents, resolveDir: import.meta.dirname } }),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    mainFields: ['module', 'main'],
    outfile: file,
    // tfjs-core names it for versions of Node without fetch.
    external: ['node-fetch'],
    logLevel: 'error',
  });
  return {
    library: createRequire(import.meta.url)(file) as Library,
    file,
    remove: () => rmSync(folder, { recursive: true }),
  };
}

/** The API with the CPU backend set. */
export async function loadTfjsCpu(): Promise<Tf> {
  const { library: tf, remove } = await bundleTfjs<Tf>({
    contents: `
      export * from '@tensorflow/tfjs-core';
      import '@tensorflow/tfjs-core/dist/register_all_gradients';
      import '@tensorflow/tfjs-backend-cpu';
    `,
  });
  remove();
  await tf.setBackend('cpu');
  await tf.ready();
  return tf;
}
