/**
 * Bundles the extension, the trainer process, the terminal program and the panel into dist/. Flags: --watch, and
 * --production for what is shipped: small, and without source maps. scripts/package.mjs calls `bundle` itself.
 */
import * as esbuild from 'esbuild';
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

/** What stays outside the bundles: the editor's own module, and packages with native code. */
const external = ['vscode', 'onnxruntime-node', 'onnxruntime-web', 'sharp', '@tensorflow/*', 'webgpu'];
const node = {
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  // Zod asks for it to find out whether it runs on Cloudflare; in VS Code's extension host that is logged as an error.
  define: { navigator: 'undefined' },
};
const page = { platform: 'browser', format: 'iife', target: 'chrome128' };
const bundles = {
  'extension.js': { ...node, entryPoints: ['src/extension.ts'] },
  'trainer.js': { ...node, entryPoints: ['src/trainer/main.ts'] },
  'images.js': { ...node, entryPoints: ['src/trainer/data/worker.ts'] },
  'cli.js': { ...node, entryPoints: ['src/terminal/cli.ts'], banner: { js: '#!/usr/bin/env node' } },
  // In one piece, because Node would take tfjs-core's CommonJS file, which has no gradients.
  'tfjsWebgpu.js': {
    ...node,
    define: {},
    entryPoints: ['src/trainer/engines/tfjs/webgpuLibrary.ts'],
    mainFields: ['module', 'main'],
    // Named by tfjs-core for versions of Node without fetch.
    external: ['node-fetch'],
  },
  // An `import` of a style sheet in a page makes its own .css beside it.
  'panel.js': { ...page, entryPoints: ['src/webview/panel.ts'] },
  'comparison.js': { ...page, entryPoints: ['src/webview/comparison.ts'] },
  'examples.js': { ...page, entryPoints: ['src/webview/examples.ts'] },
};

/**
 * @param {{ outdir?: string, production?: boolean, watch?: boolean }} options
 * @returns {Promise<string[]>} the source files that went into the bundles, relative to the repository
 */
export async function bundle({ outdir = 'dist', production = false, watch = false } = {}) {
  const contexts = await Promise.all(
    Object.entries(bundles)
      .filter(([, { entryPoints }]) => existsSync(path.join(import.meta.dirname, entryPoints[0])))
      .map(([name, options]) =>
        esbuild.context({
          absWorkingDir: import.meta.dirname,
          bundle: true,
          logLevel: 'warning',
          legalComments: 'none',
          minify: production,
          sourcemap: !production,
          metafile: true,
          external,
          ...options,
          outfile: path.join(outdir, name),
        }),
      ),
  );
  if (watch) {
    await Promise.all(contexts.map((context) => context.watch()));
    return [];
  }
  const results = await Promise.all(contexts.map((context) => context.rebuild()));
  await Promise.all(contexts.map((context) => context.dispose()));
  return [...new Set(results.flatMap((result) => Object.keys(result.metafile.inputs)))];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await bundle({ watch: process.argv.includes('--watch'), production: process.argv.includes('--production') });
}
