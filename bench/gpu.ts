/**
 * `npm run bench -- gpu [network…] [--write] [--pairs N] [--seconds N] [--software]`: on a machine with a GPU, holds WebGPU
 * (through Dawn) and, where CUDA is there, native TensorFlow to the conformance suite with every network's figures, and
 * times their training steps beside PyTorch's on the same GPU, in fp32 and with TF32 (the Python that CONVLAB_PYTHON names).
 * --write puts the result into docs/benchmarks.md. --software lets a software adapter stand in, to try this script out; its
 * figures cannot be written.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { english } from '../src/core/messages/message';
import { networks } from '../src/core/networks/catalog';
import type { EngineProvider } from '../src/trainer/engines/engine';
import { setupFolder } from '../src/trainer/tensorflow/installation';
import { tensorflowProvider } from '../src/trainer/engines/tfjs/provider';
import { webgpuProviderOf } from '../src/trainer/engines/tfjs/webgpuProvider';
import { Checked, Contestant, gpuSection, Race, withSection } from './parts/gpuReport';
import {
  child,
  knownNetworks,
  Measured,
  median,
  rateOf,
  scriptArguments,
  timeTraining,
  Timing,
  workloads,
} from './parts/workload';

const root = join(__dirname, '../..');
const providers: readonly EngineProvider[] = [
  webgpuProviderOf({ library: () => join(root, 'dist/tfjsWebgpu.js') }),
  tensorflowProvider,
];
/** How each engine's suite is told that it is to run. */
const suites: Readonly<Record<string, (device: string) => { file: string; env: Record<string, string> }>> = {
  webgpu: (device) => ({ file: 'test/engines/webgpu.test.ts', env: { CONVLAB_WEBGPU: device } }),
  tensorflow: () => ({
    file: 'test/engines/tensorflow.test.ts',
    env: { CONVLAB_TENSORFLOW: process.env['CONVLAB_TENSORFLOW'] ?? setupFolder() },
  }),
};

/** The child process: times the steps of one network on one engine, or tells what the engine is. */
async function inChild(engineName: string, name: Measured | undefined, steps: number): Promise<void> {
  const provider = providers.find((p) => p.name === engineName)!;
  const engine = await provider.open({});
  const { device, versions } = engine;
  const timing = name && (await timeTraining(engine, name, steps));
  await engine.dispose();
  console.log(JSON.stringify({ ...timing, device, versions }));
  // Dawn would keep the process alive.
  process.exit(0);
}

interface Usable {
  readonly name: string;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** Engines that compute on a GPU here, and a sentence on each that does not. */
async function findEngines(software: boolean): Promise<{ usable: Usable[]; unmeasured: string[] }> {
  const usable: Usable[] = [];
  const unmeasured: string[] = [];
  for (const provider of providers) {
    const { name } = provider;
    const availability = await provider.probe();
    if (!availability.usable) {
      unmeasured.push(`\`${name}\`. ${english(availability.reason)}`);
    } else if (availability.device.kind === 'cpu' && !(software && name === 'webgpu')) {
      unmeasured.push(`\`${name}\`, which would compute on the processor here (${availability.device.name}).`);
    } else {
      const { device, versions } = run<{ device: { name: string }; versions: Record<string, string> }>(name, []);
      usable.push({ name, device: device.name, versions });
    }
  }
  return { usable, unmeasured };
}

const run = <Result>(engine: string, args: readonly string[]): Result =>
  child<Result>(process.execPath, [__filename, '--child', engine, ...args], undefined);

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly title: string;
      readonly ancestorTitles: readonly string[];
      readonly status: string;
    }[];
  }[];
}

/** Runs the engine's part of the conformance suite, with every network's figures on a GPU. */
function check({ name, device, versions }: Usable): Checked {
  const folder = mkdtempSync(join(tmpdir(), 'convlab-gpu-'));
  try {
    const file = join(folder, 'report.json');
    const suite = suites[name]!(device);
    const vitest = ['run', '--project', 'engines', suite.file, '--reporter=default', '--reporter=json'];
    spawnSync(
      process.execPath,
      [join(root, 'node_modules/vitest/vitest.mjs'), ...vitest, `--outputFile.json=${file}`],
      {
        cwd: root,
        env: { ...process.env, ...suite.env },
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    );
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
    const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults);
    const golden = (status: string) =>
      tests
        .filter((test) => test.ancestorTitles.includes('the figures of PyTorch and Keras') && test.status === status)
        .map(({ title }) => title);
    return {
      engine: name,
      device,
      versions,
      passed: tests.filter(({ status }) => status === 'passed').length,
      failures: tests.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName),
      agree: golden('passed'),
      disagree: golden('failed'),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Pytorch {
  readonly python: string;
  readonly title: string;
  readonly device: string;
  /** Arguments of bench/step.py, and what they are called. */
  readonly modes: readonly { readonly mode: string; readonly title: string }[];
}

function findPytorch(software: boolean): Pytorch | string {
  const python = process.env['CONVLAB_PYTHON'] ?? 'python3';
  const script = [
    'import json, torch',
    'cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None',
    'mps = hasattr(torch.backends, "mps") and torch.backends.mps.is_available()',
    'print(json.dumps({"version": torch.__version__, "cuda": cuda, "mps": mps}))',
  ];
  const found = spawnSync(python, ['-c', script.join('\n')], { encoding: 'utf8' });
  if (found.status !== 0) return `PyTorch, which ${python} does not have (CONVLAB_PYTHON names another).`;
  const { version, cuda, mps } = JSON.parse(found.stdout) as { version: string; cuda: string | null; mps: boolean };
  const title = `PyTorch ${version}`;
  if (cuda !== null) {
    const modes = [
      { mode: 'cuda', title: `${title}, fp32` },
      { mode: 'cuda-tf32', title: `${title}, TF32` },
    ];
    return { python, title, device: cuda, modes };
  }
  if (mps) return { python, title, device: 'Metal', modes: [{ mode: 'mps', title: `${title}, fp32` }] };
  if (!software) return `${title}, which finds no GPU here.`;
  return { python, title, device: 'the processor', modes: [{ mode: 'cpu', title: `${title}, processor` }] };
}

/** How fast everyone trains a network, in processes that take turns. */
function race(name: Measured, engines: readonly Usable[], pytorch: Pytorch | undefined, pairs: number, time: number) {
  // Enough steps of the first engine for a stable median: compiling shaders falls in the pilot's first ones.
  const [, ...settled] = run<Timing>(engines[0]!.name, [name, '--steps', '4']).seconds;
  const steps = Math.min(2000, Math.max(4, Math.ceil(time / median(settled))));
  const rate = (timing: Timing) => rateOf(name, timing);
  const contestants: { title: string; own: boolean; rates: number[] }[] = [
    ...engines.map((engine) => ({ title: engine.name, own: true, rates: [] })),
    ...(pytorch?.modes ?? []).map(({ title }) => ({ title, own: false, rates: [] })),
  ];
  for (let pair = 0; pair < pairs; pair++) {
    engines.forEach((engine, i) => {
      contestants[i]!.rates.push(rate(run<Timing>(engine.name, [name, '--steps', String(steps)])));
    });
    pytorch?.modes.forEach(({ mode }, i) => {
      const args = scriptArguments('step.py', name, steps, cpus().length, mode);
      contestants[engines.length + i]!.rates.push(rate(child<Timing>(pytorch.python, args, undefined)));
    });
  }
  return {
    title: `${networks[name].title}, ${workloads[name].batch}`,
    contestants: contestants satisfies Contestant[],
  };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      child: { type: 'string' },
      steps: { type: 'string', default: '4' },
      pairs: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '5' },
      software: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      'without-suite': { type: 'boolean', default: false },
    },
  });
  if (values.child) return inChild(values.child, knownNetworks(positionals)[0], Number(values.steps));
  const { software, write } = values;
  if (write && (software || values['without-suite'])) {
    throw new Error('Only figures of a GPU that has passed the suite are for the page: leave out --write.');
  }
  // The engine's bundle of TensorFlow.js.
  spawnSync(process.execPath, ['esbuild.mjs'], { cwd: root, stdio: 'inherit' });
  const { usable, unmeasured } = await findEngines(software);
  unmeasured.forEach((sentence) => console.error(`Unmeasured: ${sentence}`));
  if (usable.length === 0) throw new Error('No engine finds a GPU here; nothing was measured.');
  const pytorch = findPytorch(software);
  if (typeof pytorch === 'string') unmeasured.push(pytorch);
  const opponent = typeof pytorch === 'string' ? undefined : pytorch;

  const checked = values['without-suite'] ? [] : usable.map(check);
  const names = knownNetworks(positionals.length > 0 ? positionals : Object.keys(workloads));
  const races: Race[] = [];
  for (const name of names) {
    console.error(`Timing ${networks[name].title}…`);
    races.push(race(name, usable, opponent, Number(values.pairs), Number(values.seconds)));
  }
  const section = gpuSection({
    machine: `${cpus()[0]?.model.trim() ?? process.arch}, Node ${process.versions.node}`,
    checked,
    pytorch: opponent && `${opponent.title} on ${opponent.device}`,
    races,
    unmeasured,
  });
  console.log(section);
  const failed = checked.some(({ failures }) => failures.length > 0);
  if (write) {
    const page = join(root, 'docs/benchmarks.md');
    writeFileSync(page, withSection(readFileSync(page, 'utf8'), section));
  }
  process.exit(failed ? 1 : 0);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
