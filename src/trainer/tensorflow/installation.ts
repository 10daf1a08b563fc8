/**
 * Where native TensorFlow is on this machine: in ConvLab's own storage, which setup.ts fills, or in a node_modules folder.
 * Says what of it is missing, and tries it out in a process of its own. Used by provider.ts and setup.ts.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { Message } from '../../core/messages/message';
import { readJson } from '../../disk/json';
import { storageFolder } from '../../disk/places';
import { texts } from '../../core/messages/texts';
import { runProgram } from '../programs';

export const packageName = '@tensorflow/tfjs-node-gpu';
/** The version that ConvLab is written against and sets up. */
export const packageVersion = '4.22.0';

/** Written by setup.ts at the very end, beside the node_modules that it made. */
export const recordFile = 'convlab-tensorflow.json';

const messageSchema = z.object({
  id: z.string().refine((id) => id in texts),
  args: z.record(z.string(), z.union([z.string(), z.number()])),
});

const recordSchema = z.object({
  /** 'npm': the TensorFlow that the package downloads; 'python': one that Python has, whose files stay where they are. */
  source: z.enum(['npm', 'python']),
  /** TensorFlow's own version, such as 2.21.0. */
  tensorflow: z.string(),
  /** Absolute path of the library that was loaded when the installation was tried out. */
  library: z.string(),
  /** The interpreter whose TensorFlow it is. */
  python: z.string().optional(),
  /** Why TensorFlow did not use the GPU that was there when it was set up. */
  noGpu: z.object({ reason: messageSchema, action: messageSchema }).optional(),
});
export type SetupRecord = Omit<z.infer<typeof recordSchema>, 'noGpu'> & {
  readonly noGpu?: { readonly reason: Message; readonly action: Message };
};

export interface Installation {
  /** The package's folder. */
  readonly folder: string;
  /** Absent where npm alone installed it. */
  readonly record?: SetupRecord;
}

/** What a setup makes inside a storage folder. */
export const setupFolder = (storage = storageFolder()): string => join(storage, 'tensorflow');

/** The package inside what a setup made. */
export const packageFolder = (setup: string): string => join(setup, 'node_modules', ...packageName.split('/'));

/**
 * The installation to use: the set-up folder that CONVLAB_TENSORFLOW names, the one in ConvLab's storage, or the package in
 * a node_modules folder above ConvLab. Undefined where there is none. Loads nothing.
 */
export function findInstallation(): Installation | undefined {
  for (const setup of [process.env['CONVLAB_TENSORFLOW'], setupFolder()]) {
    const record = setup && readRecord(setup);
    if (record) return { folder: packageFolder(setup), record };
  }
  try {
    return { folder: dirname(createRequire(__filename).resolve(`${packageName}/package.json`)) };
  } catch {
    return undefined;
  }
}

/** The record of a set-up folder, or undefined where there is none that can be read. */
export function readRecord(setup: string): SetupRecord | undefined {
  try {
    return recordSchema.parse(readJson(join(setup, recordFile))) as SetupRecord;
  } catch {
    return undefined;
  }
}

/**
 * A file without which the installation is of no use and that is not there: the addon (lib/napi-v8/tfjs_binding.node), or
 * TensorFlow itself (deps/lib, or Python's library). Undefined when all is in place.
 */
export function missingFile({ folder, record }: Installation): string | undefined {
  const entries = (path: string) => (existsSync(path) ? readdirSync(path) : []);
  const lib = join(folder, 'lib');
  if (!entries(lib).some((version) => existsSync(join(lib, version, 'tfjs_binding.node')))) {
    return join('lib', 'napi-v8', 'tfjs_binding.node');
  }
  if (record?.source === 'python') return existsSync(record.library) ? undefined : record.library;
  const libraries = join('deps', 'lib');
  if (!entries(join(folder, libraries)).some((file) => /tensorflow/.test(file))) {
    return join(libraries, 'libtensorflow');
  }
  return undefined;
}

export const versionOf = (folder: string): string =>
  (readJson(join(folder, 'package.json')) as { version: string }).version;

/**
 * Puts back what tfjs-node 4.22 calls of Node's own module "util": Node 23 removed one, later ones warn of the other.
 * Whoever
 * loads the package runs this first: provider.ts in the trainer, `tryOut` as text in a process of its own, so it must not
 * use anything around it.
 */
export function restoreUtil(util: Record<string, unknown>): void {
  util['isNullOrUndefined'] = (value: unknown) => value === null || value === undefined;
  util['isArray'] = Array.isArray;
}

export interface Trial {
  /** TensorFlow's version. */
  readonly tensorflow: string;
  /** Absolute path of TensorFlow's library. */
  readonly library: string;
  /** Whether TensorFlow computes on a GPU. */
  readonly gpu: boolean;
  /** What TensorFlow logged on standard error. */
  readonly log: string;
}

/** Loading 1 GB of library from a cold disk takes seconds; a GPU's first initialisation up to a minute. */
const trialTimeoutMs = 180_000;

const trialScript = `
  (${restoreUtil.toString()})(require('node:util'));
  const tf = require(process.argv[1]);
  tf.ready().then(() => {
    const product = tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6, 7, 8], [2, 2])).dataSync();
    if (String([...product]) !== '19,22,43,50') throw new Error('a product of matrices came out as ' + product);
    const { binding, isUsingGpuDevice } = tf.backend();
    const library = (${loadedLibrary.toString()})(require('node:fs'));
    console.log('\\n' + JSON.stringify({ tensorflow: binding.TF_Version, gpu: isUsingGpuDevice, library }));
  });
`;

/**
 * The file of TensorFlow that this process has loaded, by the system's own account; '' where it has none. Also runs as
 * text (see `tryOut`), so it must not use anything around it.
 */
export function loadedLibrary(fs: { readFileSync(file: string, encoding: 'utf8'): string }): string {
  let objects: string[];
  if (process.platform === 'linux') {
    objects = fs
      .readFileSync('/proc/self/maps', 'utf8')
      .split('\n')
      .map((line) => line.slice(line.indexOf('/')));
  } else {
    // Addresses of network peers are looked up for a report unless it is told otherwise, which may take seconds.
    (process.report as { excludeNetwork?: boolean }).excludeNetwork = true;
    objects = (process.report.getReport() as unknown as { sharedObjects: string[] }).sharedObjects;
  }
  const named = (name: RegExp) => objects.find((object) => name.test(object));
  return named(/libtensorflow_cc[^\\/]*$/) ?? named(/libtensorflow\.[^\\/]*$/) ?? named(/[\\/]tensorflow\.dll$/i) ?? '';
}

/**
 * Loads the package in a process of its own, because a library that does not suit the processor ends the process that
 * loads it, and because only another process can read what TensorFlow writes to standard error.
 *
 * @throws Error with the end of that process's log when it does not come to a result
 */
export async function tryOut(folder: string, signal?: AbortSignal): Promise<Trial> {
  const { status, out, log } = await runProgram(process.execPath, ['-e', trialScript, folder], {
    // TensorFlow has fallen silent about the libraries that it misses, unless asked (tsl/platform/default/dso_loader.cc).
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', TF_CPP_MIN_LOG_LEVEL: '0', TF_CPP_VMODULE: 'dso_loader=1' },
    cwd: folder,
    timeoutMs: trialTimeoutMs,
    signal,
  });
  const last = out.trim().split('\n').at(-1) ?? '';
  if (status === 0 && last.startsWith('{')) return { ...(JSON.parse(last) as Omit<Trial, 'log'>), log };
  const failure = /^\w*Error: .*/m.exec(log)?.[0] ?? log.trim().split('\n').at(-1);
  throw new Error(
    failure || (status === 'SIGILL' ? 'SIGILL: an instruction that this processor lacks' : String(status)),
  );
}
