/** Bundles the extension, the trainer process, the terminal program and the panel into dist/. Flags: --watch, --minify. */
import * as esbuild from 'esbuild';
import { existsSync } from 'node:fs';

const watch = process.argv.includes('--watch');
const minify = process.argv.includes('--minify');

/** What stays outside the bundles: the editor's own module, and packages with native code. */
const external = ['vscode', 'onnxruntime-node', '@tensorflow/*'];
const node = { platform: 'node', format: 'cjs', target: 'node20' };
const builds = [
  { ...node, entryPoints: ['src/extension.ts'], outfile: 'dist/extension.js' },
  { ...node, entryPoints: ['src/trainer/main.ts'], outfile: 'dist/trainer.js' },
  { ...node, entryPoints: ['src/trainer/cli.ts'], outfile: 'dist/cli.js', banner: { js: '#!/usr/bin/env node' } },
  {
    platform: 'browser',
    format: 'iife',
    target: 'chrome128',
    entryPoints: ['src/webview/panel.ts'],
    outfile: 'dist/panel.js',
  },
].filter((build) => existsSync(build.entryPoints[0]));

const contexts = await Promise.all(
  builds.map((build) =>
    esbuild.context({ bundle: true, logLevel: 'warning', legalComments: 'none', minify, external, ...build }),
  ),
);
if (watch) {
  await Promise.all(contexts.map((context) => context.watch()));
} else {
  await Promise.all(contexts.map((context) => context.rebuild()));
  await Promise.all(contexts.map((context) => context.dispose()));
}
