/**
 * Native TensorFlow as an engine: finds the package @tensorflow/tfjs-node-gpu that `convlab setup tensorflow` or npm
 * installed, says precisely what is missing when it cannot be used, and loads it only when it is chosen. choose.ts lists
 * `tensorflowProvider` among the engines.
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem } from 'node:os';
import { join } from 'node:path';
import util from 'node:util';
import { message, UserError } from '../../../core/messages/message';
import { Availability, Engine, EngineOptions, EngineProvider } from '../engine';
import { whyNoGpu } from '../../tensorflow/gpuLog';
import {
  findInstallation,
  Installation,
  loadedLibrary,
  missingFile,
  packageName,
  restoreUtil,
  tryOut,
  versionOf,
} from '../../tensorflow/installation';
import { fusedKernels } from './kernels';
import { tfjsEngine } from './engine';
import { NodeBackend, nodeBackend } from './nodeBackend';
import type { Tf } from './api';
import { findProgram } from '../../programs';

/** The provider of native TensorFlow; the parameters are other than the defaults only in tests. */
export function tensorflowProviderOf(locate = findInstallation, findGpu = nvidiaGpu): EngineProvider {
  const probe = async (): Promise<Availability> => {
    const installation = locate();
    if (!installation) {
      return { usable: false, reason: message('tensorflowNotSetUp'), action: message('tensorflowSetUp') };
    }
    const { folder, record } = installation;
    const file = missingFile(installation);
    if (file !== undefined) {
      const reason = message(record ? 'tensorflowGone' : 'tensorflowIncomplete', { folder, file });
      return { usable: false, reason, action: message('tensorflowSetUp') };
    }
    const gpu = await findGpu();
    if (gpu && record?.noGpu) return { usable: false, ...record.noGpu };
    return { usable: true, device: gpu ? { kind: 'gpu', name: gpu.name } : processor() };
  };
  return {
    name: 'tensorflow',
    probe,
    async open(options) {
      const availability = await probe();
      if (!availability.usable) throw new UserError(availability.reason, availability.action);
      return load(locate()!, options, await findGpu());
    },
  };
}

export const tensorflowProvider: EngineProvider = tensorflowProviderOf();

async function load(installation: Installation, options: EngineOptions, gpu: Gpu | undefined): Promise<Engine> {
  const { folder, record } = installation;
  prepareProcess(options);
  let tf: Tf;
  try {
    // Not import(): bundlers would look for the package, which most installations do not have.
    tf = createRequire(join(folder, 'package.json'))(folder) as Tf;
    await tf.ready();
  } catch (error) {
    throw new UserError(
      message('tensorflowNotLoaded', { folder, reason: error instanceof Error ? error.message : String(error) }),
      message('tensorflowSetUpAgain'),
      { cause: error },
    );
  }
  // Properties of tfjs-node's backend (nodejs_kernel_backend.ts): whether TensorFlow found a CUDA device, and its C API.
  const { isUsingGpuDevice, binding }: Partial<NodeBackend> = nodeBackend(tf);
  const onGpu = isUsingGpuDevice === true;
  const tensorflow = binding?.TF_Version ?? '?';
  // A graphics processor whose driver does not answer may belong to somebody else, so TensorFlow may go on without it.
  const idle = onGpu ? undefined : (gpu ?? pciGpu());
  const why = idle && whyNoGpu(await trialLog(folder), idle.name, tensorflow, record?.python);
  if (why && gpu) throw new UserError(why.reason, why.action);
  return tfjsEngine(tf, {
    name: 'tensorflow',
    device: onGpu ? { kind: 'gpu', name: gpu?.name ?? 'CUDA' } : processor(options.threads),
    versions: {
      [packageName]: versionOf(folder),
      '@tensorflow/tfjs-core': tf.version_core,
      libtensorflow: tensorflow,
      'libtensorflow file': loadedLibrary(fs),
    },
    warnings: why && [why.reason, why.action],
    ...(binding && { kernels: fusedKernels(tf), graphs: true }),
    // A fifth is left to the libraries' workspaces and to whatever else runs.
    memory: 0.8 * (onGpu ? (gpu?.freeBytes ?? 4 * 2 ** 30) : freemem()),
  });
}

/** What TensorFlow says of itself, in another process: this one's standard error is not for it to read. */
const trialLog = (folder: string): Promise<string> =>
  tryOut(folder).then(
    (trial) => trial.log,
    () => '',
  );

/**
 * What must be done before the library is loaded, in this one place:
 * - what Node 23 removed and tfjs-node 4.22 calls is put back;
 * - TensorFlow reads the size of its thread pool from TF_NUM_INTRAOP_THREADS when it starts; tfjs-node has no setting;
 * - TensorFlow takes a GPU's whole memory unless TF_FORCE_GPU_ALLOW_GROWTH says otherwise; the desktop may need some;
 * - TensorFlow's notes about itself, two on every start, are not for the run's log.
 */
export function prepareProcess(options: EngineOptions): void {
  restoreUtil(util as unknown as Record<string, unknown>);
  if (options.threads !== undefined) process.env['TF_NUM_INTRAOP_THREADS'] = String(options.threads);
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '1';
}

const processor = (threads = availableParallelism()): Engine['device'] => ({
  kind: 'cpu',
  name: cpus()[0]?.model ?? process.arch,
  threads,
});

export interface Gpu {
  readonly name: string;
  readonly freeBytes: number;
}

/** Which of NVIDIA's GPUs the user leaves visible; 'none' for none of them. */
function visibleGpus(): string | undefined {
  const visible = process.env['CUDA_VISIBLE_DEVICES'];
  return visible === '' || visible?.startsWith('-') ? 'none' : visible;
}

/**
 * An NVIDIA graphics processor on the PCI bus, whether it has a driver or not. Linux alone tells.
 * @param devices sysfs's folder of them; another only in tests
 */
export function pciGpu(devices = '/sys/bus/pci/devices'): { readonly name: string } | undefined {
  if (visibleGpus() === 'none' || !fs.existsSync(devices)) return undefined;
  for (const device of fs.readdirSync(devices)) {
    const read = (file: string) => {
      const path = join(devices, device, file);
      return fs.existsSync(path) ? fs.readFileSync(path, 'utf8').trim() : '';
    };
    // Class 03: display controllers.
    if (read('vendor') === '0x10de' && read('class').startsWith('0x03')) return { name: `NVIDIA ${read('device')}` };
  }
  return undefined;
}

/** The NVIDIA GPU that its driver reports first, among those that CUDA_VISIBLE_DEVICES leaves visible. */
export async function nvidiaGpu(): Promise<Gpu | undefined> {
  const visible = visibleGpus();
  if (visible === 'none') return undefined;
  const first = visible?.split(',')[0];
  const query = [...(first ? [`--id=${first}`] : []), '--query-gpu=name,memory.free', '--format=csv,noheader,nounits'];
  // By its whole path: a bare name could be a program of the workspace.
  const program = findProgram('nvidia-smi');
  if (program === undefined) return undefined;
  try {
    const { stdout } = await util.promisify(execFile)(program, query, { timeout: 5000, windowsHide: true });
    const [name, free] = stdout.split('\n')[0]!.split(', ');
    const mebibytes = Number(free);
    if (!name || !Number.isFinite(mebibytes)) return undefined;
    return { name, freeBytes: mebibytes * 2 ** 20 };
  } catch {
    return undefined;
  }
}
