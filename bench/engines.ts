/**
 * `npm run bench -- engines [network…] [--engine NAME]… [--steps N] [--pairs N] [--threads N]`: images per second of a
 * whole training step of each engine that works here, beside PyTorch (CONVLAB_PYTHON, or python3) and, for the engine
 * tensorflow, beside Keras on the very TensorFlow that the engine is linked to. Every process has the allocator settings
 * that ConvLab gives its own, and they take turns; a row gives medians, and medians and ranges of the ratios in pairs.
 * WebGPU is measured where its adapter is hardware, or when it is asked for.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { probeAll, providers } from '../src/trainer/engines/choose';
import type { EngineName } from '../src/trainer/engines/engine';
import { findInstallation } from '../src/trainer/tensorflow/installation';
import { allocatorTunables } from '../src/trainerClient';
import {
  child,
  digits,
  knownNetworks,
  Measured,
  median,
  rateOf,
  scriptArguments,
  spread,
  timeTraining,
  Timing,
  workloads,
} from './parts/workload';

/** One who trains: an engine of ConvLab, or a library beside it. */
interface Contestant {
  readonly title: string;
  readonly command: string;
  readonly arguments: (name: Measured, steps: number, threads: number) => readonly string[];
}

const measured: readonly Measured[] = ['lenet5', 'alexnet', 'resnet18'];

async function timeEngine(engineName: EngineName, name: Measured, steps: number, threads: number): Promise<void> {
  const engine = await providers.find((provider) => provider.name === engineName)!.open({ threads });
  console.log(JSON.stringify(await timeTraining(engine, name, steps)));
  await engine.dispose();
}

/** A Python that has this module, and its version. */
function library(python: string | undefined, module: string): string | undefined {
  if (python === undefined) return undefined;
  const query = `from importlib.metadata import version; print(version("${module}"))`;
  const found = spawnSync(python, ['-c', query], { encoding: 'utf8' });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

const script = (python: string, title: string, file: 'step.py' | 'keras_step.py'): Contestant => ({
  title,
  command: python,
  arguments: (name, steps, threads) => scriptArguments(file, name, steps, threads),
});

async function contestants(
  asked: readonly string[] | undefined,
): Promise<{ engines: Contestant[]; beside: Contestant[] }> {
  const engines: Contestant[] = [];
  for (const { provider, availability } of await probeAll()) {
    const { name } = provider;
    if (!availability.usable) console.log(`${name}: not available (${availability.reason.id})`);
    else if (asked ? asked.includes(name) : name !== 'webgpu' || availability.device.kind === 'gpu') {
      console.log(`${name}: ${availability.device.name}`);
      const own = (network: Measured, steps: number, threads: number) => [
        ...[__filename, '--child', name, network, '--steps', String(steps), '--threads', String(threads)],
      ];
      engines.push({ title: name, command: process.execPath, arguments: own });
    }
  }
  const beside: Contestant[] = [];
  const python = process.env['CONVLAB_PYTHON'] ?? 'python3';
  const torch = library(python, 'torch');
  if (torch !== undefined) beside.push(script(python, `PyTorch ${torch}`, 'step.py'));
  const tensorflow = findInstallation()?.record?.python;
  const keras = library(tensorflow, 'keras');
  if (keras !== undefined) beside.push(script(tensorflow!, `Keras ${keras}`, 'keras_step.py'));
  return { engines, beside };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      child: { type: 'string' },
      engine: { type: 'string', multiple: true },
      steps: { type: 'string' },
      pairs: { type: 'string', default: '3' },
      threads: { type: 'string', default: String(availableParallelism()) },
    },
  });
  const threads = Number(values.threads);
  const names = knownNetworks(positionals.length > 0 ? positionals : measured);
  if (values.child) return timeEngine(values.child as EngineName, names[0]!, Number(values.steps), threads);
  const { engines, beside } = await contestants(values.engine);
  console.log(`${threads} threads, Node ${process.version}`);
  for (const name of names) {
    compare(name, engines, beside, Number(values.steps ?? workloads[name].steps), Number(values.pairs), threads);
  }
}

function compare(
  name: Measured,
  engines: readonly Contestant[],
  beside: readonly Contestant[],
  steps: number,
  pairs: number,
  threads: number,
): void {
  const { batch, size } = workloads[name];
  const rate = (timing: Timing) => rateOf(name, timing);
  const all = [...engines, ...beside];
  const timings = all.map((): Timing[] => []);
  for (let pair = 0; pair < pairs; pair++) {
    all.forEach(({ command, arguments: of }, i) =>
      timings[i]!.push(child(command, of(name, steps, threads), allocatorTunables)),
    );
  }
  console.log(
    `${name}, ${batch} at ${size}`.padEnd(24) +
      'images/s  MiB, peak  ' +
      beside.map(({ title }) => `: ${title}`.padEnd(22)).join(''),
  );
  all.forEach(({ title }, i) => {
    const own = timings[i]!;
    const ratios = beside.map((_, k) => {
      const other = timings[engines.length + k]!;
      return i < engines.length ? spread(own.map((timing, pair) => rate(timing) / rate(other[pair]!))) : '';
    });
    const peak = median(own.map((timing) => timing.peakMemory / 2 ** 20)).toFixed(0);
    const cells = [digits(median(own.map(rate))).padStart(8), peak.padStart(9), ...ratios.map((r) => r.padEnd(20))];
    console.log(`  ${title.padEnd(22)}${cells.join('  ')}`.trimEnd());
  });
}

void main();
