/**
 * Native TensorFlow as an engine: finds the optional package @tensorflow/tfjs-node-gpu, says precisely what is missing when
 * it cannot be used, and loads it only when it is chosen. Used by ../choose.ts.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem } from 'node:os';
import { dirname, join } from 'node:path';
import util from 'node:util';
import { message, UserError } from '../../../messages';
import { Availability, Engine, EngineOptions, EngineProvider } from '../engine';
import { tfjsEngine } from './model';
import { Tf } from './program';

const packageName = '@tensorflow/tfjs-node-gpu';

/** Folder of the installed package, or undefined. Loads nothing. */
function installedFolder(): string | undefined {
  try {
    return dirname(createRequire(__filename).resolve(`${packageName}/package.json`));
  } catch {
    return undefined;
  }
}

/** ConvLab's own folder, beside whose node_modules the package would be found. */
function ownFolder(): string {
  let folder = dirname(__filename);
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/** The provider of native TensorFlow; `locate` and `findGpu` are other than the defaults only in tests. */
export function tensorflowProviderOf(locate = installedFolder, findGpu = nvidiaGpu): EngineProvider {
  const probe = async (): Promise<Availability> => {
    const folder = locate();
    if (folder === undefined)
      return { usable: false, reason: message('tensorflowNotInstalled', { folder: ownFolder() }) };
    const missing = missingFile(folder);
    if (missing !== undefined) {
      return { usable: false, reason: message('tensorflowIncomplete', { folder, file: missing }) };
    }
    const gpu = await findGpu();
    return { usable: true, device: gpu ? { kind: 'gpu', name: gpu.name } : processor() };
  };
  return {
    name: 'tensorflow',
    probe,
    async open(options) {
      const availability = await probe();
      if (!availability.usable) throw new UserError(availability.reason);
      return load(locate()!, options, await findGpu());
    },
  };
}

export const tensorflowProvider: EngineProvider = tensorflowProviderOf();

async function load(folder: string, options: EngineOptions, gpu: Gpu | undefined): Promise<Engine> {
  prepareProcess(options);
  let tf: Tf;
  try {
    // Not import(): bundlers would look for the package, which most installations do not have.
    tf = createRequire(join(folder, 'package.json'))(folder) as Tf;
    await tf.ready();
  } catch (error) {
    throw new UserError(
      message('tensorflowNotLoaded', { folder, reason: error instanceof Error ? error.message : String(error) }),
      message('tensorflowNotLoadedAdvice'),
      { cause: error },
    );
  }
  // A property of tfjs-node's backend (nodejs_kernel_backend.ts): whether TensorFlow found a CUDA device.
  const onGpu = (tf.backend() as unknown as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === true;
  if (gpu && !onGpu)
    throw new UserError(message('tensorflowNoCuda', { gpu: gpu.name }), message('tensorflowNoCudaAdvice'));
  return tfjsEngine(tf, {
    name: 'tensorflow',
    device: onGpu ? { kind: 'gpu', name: gpu?.name ?? 'CUDA' } : processor(options.threads),
    versions: { [packageName]: versionOf(folder), '@tensorflow/tfjs-core': tf.version_core },
    // A fifth is left to the libraries' workspaces and to whatever else runs.
    memory: 0.8 * (onGpu ? (gpu?.freeBytes ?? 4 * 2 ** 30) : freemem()),
  });
}

/**
 * What must be done before the library is loaded, in this one place:
 * - tfjs-node 4.22 calls util.isNullOrUndefined and util.isArray, which Node deprecated and, from version 23 on, removes;
 *   they are put back where they are missing.
 * - TensorFlow reads the size of its thread pool from TF_NUM_INTRAOP_THREADS when it starts; tfjs-node has no setting.
 * - TensorFlow takes a GPU's whole memory unless TF_FORCE_GPU_ALLOW_GROWTH says otherwise; the desktop may need some.
 */
export function prepareProcess(options: EngineOptions): void {
  const restored: Record<string, unknown> = util as unknown as Record<string, unknown>;
  restored['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  restored['isArray'] ??= Array.isArray;
  if (options.threads !== undefined) process.env['TF_NUM_INTRAOP_THREADS'] = String(options.threads);
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
}

/**
 * The part of the package that its install script downloads and that is not there: the addon
 * (lib/napi-v8/tfjs_binding.node) or TensorFlow itself (deps/lib). Undefined when both are in place.
 */
function missingFile(folder: string): string | undefined {
  const entries = (path: string) => (existsSync(path) ? readdirSync(path) : []);
  const lib = join(folder, 'lib');
  if (!entries(lib).some((version) => existsSync(join(lib, version, 'tfjs_binding.node')))) {
    return join('lib', 'napi-v8', 'tfjs_binding.node');
  }
  const libraries = join('deps', 'lib');
  if (!entries(join(folder, libraries)).some((file) => /tensorflow/.test(file)))
    return join(libraries, 'libtensorflow');
  return undefined;
}

function versionOf(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}

const processor = (threads = availableParallelism()): Engine['device'] => ({
  kind: 'cpu',
  name: cpus()[0]?.model ?? process.arch,
  threads,
});

interface Gpu {
  readonly name: string;
  readonly freeBytes: number;
}

/** The first NVIDIA GPU that its driver reports, unless CUDA_VISIBLE_DEVICES hides them all. */
async function nvidiaGpu(): Promise<Gpu | undefined> {
  if (['', '-1'].includes(process.env['CUDA_VISIBLE_DEVICES'] ?? 'all')) return undefined;
  const query = ['--query-gpu=name,memory.free', '--format=csv,noheader,nounits'];
  try {
    const { stdout } = await util.promisify(execFile)('nvidia-smi', query, { timeout: 5000, windowsHide: true });
    const [name, free] = stdout.split('\n')[0]!.split(', ');
    const mebibytes = Number(free);
    if (!name || !Number.isFinite(mebibytes)) return undefined;
    return { name, freeBytes: mebibytes * 2 ** 20 };
  } catch {
    return undefined;
  }
}
