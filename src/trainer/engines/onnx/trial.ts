/**
 * Tries ONNX Runtime's native code in a process of its own before it is offered: an old VC++ runtime, or an instruction
 * that the processor lacks, ends the process that computes with it. That it works is kept in the cache folder for as long as
 * neither the installation nor the machine changes; that it does not is asked again, for it may have been cured.
 * runtime.ts asks it.
 */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { cpus, release } from 'node:os';
import * as path from 'node:path';
import { Message, message } from '../../../core/messages/message';
import { makeFolder, writeAtomically } from '../../../disk/files';
import { cacheFolder } from '../../../disk/places';
import { crashOf, cureOf, onnxRuntimeNeeds, reasonOf, System, thisSystem } from '../nativeCode';
import { runProgram } from '../../programs';
import { Graph } from './graph';

/** Why native code cannot be used, and what would cure it. */
export type Failure = readonly [Message, ...Message[]];

/** The operators that the time of a step goes into, by two threads. All of the result's numbers are 18. */
function stepOfTrial(): Uint8Array {
  const graph = new Graph('trial');
  const x = graph.input('x', [1, 2, 4, 4]);
  const kernel = graph.floats(new Float32Array(36).fill(1), [2, 2, 3, 3]);
  const y = graph.node('Conv', [x, kernel], [1, 2, 2, 2], { attributes: { kernel_shape: [3, 3] } });
  const rows = graph.reshape(graph.unary('Relu', y), [4, 2]);
  graph.output(graph.gemm(rows, graph.floats(new Float32Array(4).fill(0.5), [2, 2])));
  return graph.encode();
}

const script = `
const options = {
  executionProviders: ['cpu'], intraOpNumThreads: 2, interOpNumThreads: 1, graphOptimizationLevel: 'disabled',
  logSeverityLevel: 3,
};
(async () => {
  const ort = require(process.argv[1]);
  if (ort.env) ort.env.logLevel = 'error';
  const session = await ort.InferenceSession.create(Buffer.from(process.argv[2], 'base64'), options);
  const x = new ort.Tensor('float32', new Float32Array(32).fill(1), [1, 2, 4, 4]);
  const { data } = Object.values(await session.run({ x }))[0];
  if (String(data) !== String(Array(8).fill(18))) throw new Error('a convolution came out as ' + data);
  await session.release();
  console.log('computed');
})().catch((error) => {
  console.log(JSON.stringify(String(error && error.message || error)));
  process.exitCode = 1;
});`;

/** Loading it from a cold disk, past an antivirus, takes seconds. What has not answered by then has not crashed. */
const patienceMs = 60_000;

/** @param folder of the package onnxruntime-node, or of another in its place in tests */
export async function tryNative(folder: string, system: System = thisSystem()): Promise<Failure | undefined> {
  const fault = await whatFails(folder);
  if (!fault) return undefined;
  const cure = cureOf(onnxRuntimeNeeds, system);
  return cure ? [fault, cure] : [fault];
}

async function whatFails(folder: string): Promise<Message | undefined> {
  let end;
  try {
    end = await runProgram(process.execPath, ['-e', script, folder, Buffer.from(stepOfTrial()).toString('base64')], {
      cwd: folder,
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', ORT_DISABLE_TELEMETRY: '1' },
      timeoutMs: patienceMs,
    });
  } catch {
    // No process could be started, which says nothing of the library.
    return undefined;
  }
  const { status, out, log } = end;
  const crash = crashOf(status);
  if (crash) return message('onnxNativeCrashes', { how: crash });
  if (status === 'timeout' || (status === 0 && out.includes('computed'))) return undefined;
  const told = out.split('\n').find((line) => line.startsWith('"'));
  const reason = reasonOf(told ? JSON.parse(told) : log) || `exit status ${status}`;
  return message('onnxNativeNotLoaded', { reason });
}

/** Of this process: the trial is one for all who ask. */
const trials = new Map<string, Promise<Failure | undefined>>();

/**
 * {@link tryNative}, or what was kept of it.
 * @param attempt other than the default only in tests
 */
export function triedNative(
  folder: string,
  cache = cacheFolder(),
  attempt: (folder: string) => Promise<Failure | undefined> = tryNative,
): Promise<Failure | undefined> {
  const passed = path.join(cache, 'native', `onnx-${fingerprint(folder)}`);
  let trial = trials.get(passed);
  if (!trial) {
    trial = existsSync(passed) ? Promise.resolve(undefined) : attempt(folder).then((failure) => keep(passed, failure));
    trials.set(passed, trial);
  }
  return trial;
}

function keep(passed: string, failure: Failure | undefined): Failure | undefined {
  if (failure) return failure;
  try {
    makeFolder(path.dirname(passed));
    writeAtomically(passed, '');
  } catch {
    // Without a writable cache folder every start tries for itself.
  }
  return undefined;
}

/** What decides whether native code works: the files, Node, processor and system, and on Windows Microsoft's runtime. */
function fingerprint(folder: string): string {
  const { platform, arch, execPath, version } = process;
  const build = path.join(folder, 'bin', 'napi-v6', platform, arch);
  const system = path.join(process.env['SystemRoot'] ?? 'C:\\Windows', 'System32');
  const files = [
    path.join(folder, 'package.json'),
    path.join(build, 'onnxruntime_binding.node'),
    ...(platform === 'win32' ? [path.join(system, 'msvcp140.dll'), path.join(system, 'vcruntime140.dll')] : []),
  ].map((file) => {
    const stat = statSync(file, { throwIfNoEntry: false });
    return [file, stat?.size, stat?.mtimeMs];
  });
  const machine = [execPath, version, process.versions['electron'], release(), cpus()[0]?.model];
  return createHash('sha256')
    .update(JSON.stringify([files, machine]))
    .digest('hex')
    .slice(0, 16);
}
