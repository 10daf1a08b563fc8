/** `npm run bench -- NAME …`: bundles bench/NAME.ts into dist/bench/ and runs it with the remaining arguments. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import * as esbuild from 'esbuild';

const [name, ...rest] = process.argv.slice(2);
if (name === undefined || !/^[\w-]+$/.test(name) || !existsSync(`bench/${name}.ts`)) {
  const names = readdirSync('bench').filter((file) => file.endsWith('.ts'));
  console.error(`Usage: npm run bench -- ${names.map((file) => file.slice(0, -3)).join('|')} …`);
  process.exit(2);
}
const outfile = `dist/bench/${name}.js`;
await esbuild.build({
  // The worker of the data pipeline is looked for beside the program that uses it.
  entryPoints: { [name]: `bench/${name}.ts`, images: 'src/trainer/data/worker.ts' },
  outdir: 'dist/bench',
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['onnxruntime-node', 'onnxruntime-web', 'sharp', '@tensorflow/*', 'webgpu'],
  logLevel: 'warning',
});
process.exit(spawnSync(process.execPath, [outfile, ...rest], { stdio: 'inherit' }).status ?? 1);
