/**
 * Setting native TensorFlow up, with stand-ins for npm, Python and the compiler that do what they are told and nothing on
 * the network. The real ones are used by test/engines/tensorflow.test.ts and by .ci/run.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { english, UserError } from '../../src/core/messages/message';
import { missingFile, packageFolder, readRecord, setupFolder } from '../../src/trainer/tensorflow/installation';
import { findProgram } from '../../src/trainer/programs';
import { removeTensorflow, setUpTensorflow } from '../../src/trainer/tensorflow/setup';

/** What the stand-ins read; each test changes some of it. */
const usual = {
  /** Of npm: 'fine', what it writes to standard error before it fails, or 'hangs'. */
  install: 'fine',
  rebuild: 'fine',
  /** What the binding that npm downloads reports, and the one that the compiler builds. */
  npmBinding: { TF_Version: '2.9.1', gpu: false },
  builtBinding: { TF_Version: '2.21.0', gpu: false },
  /** The package that Python finds; null for none. */
  tensorflow: null as string | null,
  compiler: 'fine',
};

const fakePackage = `
const { readFileSync } = require('node:fs');
const binding = JSON.parse(readFileSync(__dirname + '/lib/napi-v8/tfjs_binding.node', 'utf8'));
if (binding.broken) throw new Error(binding.broken);
console.error('log of', binding.TF_Version);
const tensor = (values) => ({ dataSync: () => values });
exports.ready = async () => undefined;
exports.tensor2d = tensor;
exports.matMul = () => tensor([19, 22, 43, 50]);
exports.backend = () => ({ binding, isUsingGpuDevice: binding.gpu });
`;

const npm = `
const told = (what) => {
  if (what === 'hangs') return setInterval(() => undefined, 1000);
  if (what !== 'fine') { console.error(what); process.exit(1); }
};
const package = process.cwd() + '/node_modules/@tensorflow/tfjs-node-gpu';
const write = (file, text) => { fs.mkdirSync(path.dirname(file), { recursive: true }); fs.writeFileSync(file, text); };
if (process.argv[2] === 'install') {
  told(behaviour.install);
  const { dependencies } = JSON.parse(fs.readFileSync('package.json', 'utf8'));
  const version = dependencies['@tensorflow/tfjs-node-gpu'];
  write(package + '/package.json', JSON.stringify({ version, main: 'index.js' }));
  write(package + '/index.js', ${JSON.stringify(fakePackage)});
} else if (!told(behaviour.rebuild)) {
  write(package + '/deps/lib/libtensorflow.so', '');
  write(package + '/lib/napi-v8/tfjs_binding.node', JSON.stringify(behaviour.npmBinding));
}
`;

const python = `console.log(JSON.stringify({ folder: behaviour.tensorflow, prefix: '/nowhere' }));`;

const compiler = `
if (behaviour.compiler !== 'fine') { console.error(behaviour.compiler); process.exit(1); }
fs.writeFileSync(process.argv[process.argv.indexOf('-o') + 1], JSON.stringify({ ...behaviour.builtBinding, args: process.argv.slice(2) }));
`;

let folder: string;
let storage: string;
let setup: string;

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-setup-'));
  storage = path.join(folder, 'storage');
  setup = setupFolder(storage);
  vi.stubEnv('PATH', path.join(folder, 'bin'));
  for (const name of ['CXX', 'VIRTUAL_ENV', 'CONDA_PREFIX', 'CONVLAB_TENSORFLOW']) vi.stubEnv(name, undefined);
  for (const [name, source] of Object.entries({ npm, python3: python, 'c++': compiler }))
    program(`bin/${name}`, source);
  behave({});
  onTestFinished(() => {
    vi.unstubAllEnvs();
    fs.rmSync(folder, { recursive: true, force: true });
  });
});

function program(name: string, source: string): string {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const behaviour = JSON.stringify(path.join(folder, 'behaviour.json'));
  const head = `#!${process.execPath}\nconst fs = require('node:fs'), path = require('node:path');\nconst behaviour = JSON.parse(fs.readFileSync(${behaviour}, 'utf8'));\n`;
  fs.writeFileSync(file, head + source, { mode: 0o755 });
  return file;
}

function behave(changes: Partial<typeof usual>): void {
  fs.writeFileSync(path.join(folder, 'behaviour.json'), JSON.stringify({ ...usual, ...changes }));
}

/** A TensorFlow as pip lays it out. @param without a file to leave out */
function pipTensorflow(without?: string): string {
  const made = path.join(folder, 'site-packages', 'tensorflow');
  const ending = process.platform === 'darwin' ? '.2.dylib' : '.so.2';
  for (const file of [
    `libtensorflow_cc${ending}`,
    `libtensorflow_framework${ending}`,
    'include/tensorflow/c/eager/c_api.h',
  ]) {
    if (file === without) continue;
    fs.mkdirSync(path.dirname(path.join(made, file)), { recursive: true });
    fs.writeFileSync(path.join(made, file), '');
  }
  return made;
}

const stages: string[] = [];
function run(options: Partial<Parameters<typeof setUpTensorflow>[0]> = {}): Promise<string[]> {
  stages.length = 0;
  const progress = ({ id }: { id: string }) => {
    if (stages.at(-1) !== id) stages.push(id);
  };
  const signal = new AbortController().signal;
  return setUpTensorflow({ storage, signal, progress, findGpu: async () => undefined, ...options }).then((messages) =>
    messages.map(english),
  );
}

const failureOf = async (promise: Promise<unknown>): Promise<string> => {
  const failure: unknown = await promise.then(
    () => 'nothing failed',
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(UserError);
  return (failure as UserError).message;
};

// The stand-ins start by their first line, which Windows does not read.
describe.skipIf(process.platform === 'win32')('setting TensorFlow up', () => {
  const gpu = async () => ({ name: 'Test GPU', freeBytes: 1 });

  it('takes the TensorFlow that npm’s package downloads', async () => {
    behave({ tensorflow: pipTensorflow() });
    expect(await run()).toEqual([expect.stringContaining('TensorFlow 2.9.1 is set up and computes on: CPU')]);
    expect(stages).toEqual(['setupPackage', 'setupDownload', 'setupTrial']);
    expect(readRecord(setup)).toMatchObject({ source: 'npm', tensorflow: '2.9.1' });
    expect(missingFile({ folder: packageFolder(setup), record: readRecord(setup) })).toBeUndefined();
    expect(fs.readdirSync(storage)).toEqual(['tensorflow']);
  });

  it('links to the TensorFlow of the Python asked for, and downloads none', async () => {
    behave({ tensorflow: pipTensorflow(), rebuild: 'hangs' });
    const messages = await run({ python: path.join(folder, 'bin', 'python3') });
    expect(messages).toEqual([expect.stringContaining('TensorFlow 2.21.0 is set up')]);
    expect(stages).toEqual(['setupPython', 'setupPackage', 'setupLink', 'setupTrial']);
    expect(readRecord(setup)).toMatchObject({ source: 'python', python: path.join(folder, 'bin', 'python3') });
    const binding = path.join(packageFolder(setup), 'lib/napi-v8/tfjs_binding.node');
    const { args } = JSON.parse(fs.readFileSync(binding, 'utf8')) as { args: string[] };
    const site = path.join(folder, 'site-packages', 'tensorflow');
    expect(args).toContain(`-Wl,-rpath,${site}`);
    expect(args).toContain(`-I${path.join(site, 'include')}`);
  });

  it('links to a Python’s where the download fails: a name on the PATH, or a trusted environment', async () => {
    const rebuild = 'Error: getaddrinfo ENOTFOUND storage.googleapis.com';
    behave({ tensorflow: pipTensorflow(), rebuild });
    await run();
    expect(stages).toEqual(['setupPackage', 'setupDownload', 'setupPython', 'setupLink', 'setupTrial']);
    expect(readRecord(setup)?.python).toBe(path.join(folder, 'bin', 'python3'));

    fs.rmSync(path.join(folder, 'bin', 'python3'));
    program('work/.venv/bin/python', python);
    expect(await failureOf(run())).toContain('ENOTFOUND storage.googleapis.com');
    await run({ environments: [path.join(folder, 'work', 'venv'), path.join(folder, 'work', '.venv')] });
    expect(readRecord(setup)?.python).toBe(path.join(folder, 'work/.venv/bin/python'));
  });

  it('prefers the one that uses the GPU, and else says why none does', async () => {
    behave({ tensorflow: pipTensorflow(), builtBinding: { TF_Version: '2.21.0', gpu: true } });
    expect(await run({ findGpu: gpu })).toEqual([
      expect.stringContaining('TensorFlow 2.21.0 is set up and computes on: Test GPU'),
    ]);
    expect(fs.readdirSync(packageFolder(setup)).sort()).toEqual(['index.js', 'lib', 'package.json']);

    behave({ tensorflow: pipTensorflow() });
    const [done, reason, action] = await run({ findGpu: gpu });
    expect(done).toContain('TensorFlow 2.9.1 is set up and computes on: CPU');
    expect(reason).toBe('TensorFlow 2.9.1 does not use the GPU Test GPU: it was built without CUDA.');
    expect(action).toContain('CUDA 11.2');
    expect(readRecord(setup)).toMatchObject({ source: 'npm', noGpu: { reason: { id: 'tensorflowGpuBuild' } } });
    expect(fs.readdirSync(packageFolder(setup)).sort()).toEqual(['deps', 'index.js', 'lib', 'package.json']);
  });

  it.each<[string, Partial<typeof usual>, string | undefined, RegExp]>([
    ['npm', {}, 'npm', /^npm was not found on the PATH\. Install Node\.js/],
    ['the registry', { install: 'npm error code E404\nnpm error 404 Not Found' }, undefined, /404 Not Found.*registry/],
    [
      'the download',
      { rebuild: 'Error: getaddrinfo ENOTFOUND a.host' },
      undefined,
      /ENOTFOUND a\.host\)\. Set the environment variable TFJS_NODE_CDN_STORAGE/,
    ],
    [
      'a TensorFlow that runs',
      { npmBinding: { TF_Version: '', gpu: false, broken: 'wrong ELF class' } as never },
      undefined,
      /does not run here: Error: wrong ELF class\. Train with another engine/,
    ],
  ])('names what is missing, and leaves nothing behind: %s', async (_, behaviour, gone, sentence) => {
    behave(behaviour);
    if (gone) fs.rmSync(path.join(folder, 'bin', gone));
    expect(await failureOf(run())).toMatch(sentence);
    expect(fs.readdirSync(storage)).toEqual([]);
  });

  it.each<[string, Partial<typeof usual> & { without?: string }, string | undefined, RegExp]>([
    ['the interpreter', {}, 'python3', /^There is no Python interpreter at .*python3\. Name the interpreter/],
    ['TensorFlow', { tensorflow: null }, undefined, /has no TensorFlow\. Run “.*python3 -m pip install tensorflow”/],
    [
      'its headers',
      { without: 'include/tensorflow/c/eager/c_api.h' },
      undefined,
      /it has no include.tensorflow.c.eager.c_api\.h\. Run “.*--upgrade tensorflow”/,
    ],
    ['the compiler', {}, 'c++', /^A C\+\+ compiler is needed .* none was found on the PATH\. /],
    [
      'C++17',
      { compiler: 'a.cc:1:2: error: unknown standard\nmore' },
      undefined,
      /c\+\+ could not build the connection to TensorFlow: error: unknown standard/,
    ],
  ])('of a Python asked for, names what is missing: %s', async (_, { without, ...behaviour }, gone, sentence) => {
    behave({ tensorflow: pipTensorflow(without), ...behaviour });
    if (gone) fs.rmSync(path.join(folder, 'bin', gone));
    expect(await failureOf(run({ python: path.join(folder, 'bin', 'python3') }))).toMatch(sentence);
    expect(fs.readdirSync(storage)).toEqual([]);
  });

  it('cancelled at any stage ends what it started and leaves what was there', async () => {
    behave({ tensorflow: pipTensorflow() });
    await run({ python: path.join(folder, 'bin', 'python3') });
    const before = readRecord(setup);
    for (const stage of ['install', 'rebuild'] as const) {
      behave({ [stage]: 'hangs' });
      const controller = new AbortController();
      const wanted = stage === 'install' ? 'setupPackage' : 'setupDownload';
      const promise = run({
        signal: controller.signal,
        progress: ({ id }) => {
          if (id === wanted) setTimeout(() => controller.abort(), 200);
        },
      });
      await expect(promise).rejects.toMatchObject({ name: 'AbortError' });
      expect(readRecord(setup)).toEqual(before);
      expect(fs.readdirSync(storage)).toEqual(['tensorflow']);
    }
  });

  it('takes the place of an earlier one, and clears away what a killed one left', async () => {
    // The number of a process that is certainly gone.
    const left = path.join(storage, 'tensorflow.setup-4194999');
    const alive = path.join(storage, `tensorflow.setup-${process.ppid}`);
    [left, alive].forEach((each) => fs.mkdirSync(each, { recursive: true }));
    await run();
    behave({ npmBinding: { TF_Version: '2.9.2', gpu: false } });
    await run();
    expect(readRecord(setup)?.tensorflow).toBe('2.9.2');
    expect(fs.readdirSync(storage).sort()).toEqual(['tensorflow', path.basename(alive)]);
  });

  it('can be removed', async () => {
    expect(removeTensorflow(storage)).toBe(false);
    await run();
    expect(removeTensorflow(storage)).toBe(true);
    expect(fs.readdirSync(storage)).toEqual([]);
    expect(removeTensorflow(storage)).toBe(false);
  });

  it('needs a storage that can be written to', async () => {
    fs.writeFileSync(storage, '');
    expect(await failureOf(run())).toMatch(/cannot write to its storage .* \((EEXIST|ENOTDIR)\)/);
  });
});

describe.skipIf(process.platform === 'win32')('a program', () => {
  it('is taken from absolute folders of the PATH alone, so that none of a workspace is run', () => {
    const own = program('bin/tool', '');
    program('work/tool', '');
    vi.stubEnv(
      'PATH',
      ['.', path.relative('.', path.join(folder, 'work')), '', path.join(folder, 'bin')].join(path.delimiter),
    );
    expect(findProgram('tool')).toBe(own);
    expect(findProgram('absent', 'tool')).toBe(own);
    fs.chmodSync(own, 0o644);
    expect(findProgram('tool')).toBeUndefined();
  });
});
