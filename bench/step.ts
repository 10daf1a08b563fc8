/**
 * `npm run bench -- step [network…] [--steps N] [--pairs N] [--threads N] [--without-pytorch]`: images per second of a
 * whole training step, of ConvLab's embedded engine and of PyTorch (the Python that CONVLAB_PYTHON names, or python3) as
 * shipped and with the allocator settings that ConvLab gives its own process. Every figure comes from processes that take
 * turns, one pair after another, so that a change of the machine's pace meets them all; a row gives medians over the
 * pairs and the median and range of the ratios within pairs.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildNetwork } from '../src/networks/catalog';
import { elements, initialBuffers, initialParameters } from '../src/networks/network';
import { fillUniform, streamKey, word } from '../src/random';
import { onnxProvider } from '../src/trainer/engines/onnx/engine';
import { allocatorTunables } from '../src/trainerClient';

/**
 * What the course trains in PyTorch: batch, image size, logits; and how many steps make a stable median in reasonable
 * time. Keras's networks have no PyTorch beside them to be measured against.
 */
const settings = {
  lenet5: { batch: 64, channels: 1, size: 32, outputs: 10, steps: 1200 },
  alexnet: { batch: 32, channels: 3, size: 224, outputs: 1, steps: 8 },
  resnet18: { batch: 32, channels: 3, size: 224, outputs: 1, steps: 4 },
  vgg16: { batch: 32, channels: 3, size: 224, outputs: 1, steps: 3 },
  resnet50: { batch: 32, channels: 3, size: 224, outputs: 1, steps: 3 },
};
type Measured = keyof typeof settings;

interface Timing {
  readonly version: string;
  /** Seconds of each step after the first quarter. */
  readonly seconds: readonly number[];
  /** Bytes. */
  readonly peakMemory?: number;
}

/** The child process: times the steps of one network on the embedded engine. */
async function timeConvLab(name: Measured, steps: number, threads: number | undefined): Promise<Timing> {
  const { batch: size, channels, size: pixels, outputs } = settings[name];
  const network = buildNetwork(name, [channels, pixels, pixels], outputs);
  const engine = await onnxProvider.open({ threads });
  const model = await engine.compile(network, {
    batchSize: size,
    loss: outputs === 1 ? 'bce_with_logits' : 'cross_entropy',
    optimizer: { name: 'adam', learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    seed: 1,
  });
  await model.load({ parameters: initialParameters(network, 1), buffers: initialBuffers(network) });
  const images = new Float32Array(size * elements(network.inputShape));
  fillUniform(images, streamKey(1, 1), 1);
  const labels = Int32Array.from({ length: size }, (_, i) => word(streamKey(2), i) % (outputs === 1 ? 2 : outputs));
  const seconds: number[] = [];
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    await model.trainStep({ images, labels, size }, { epoch: 1, step }, 1e-4);
    seconds.push((performance.now() - start) / 1000);
  }
  const peakMemory = process.resourceUsage().maxRSS * 1024;
  await model.dispose();
  await engine.dispose();
  return {
    version: Object.values(engine.versions)[0]!,
    seconds: seconds.slice(Math.floor(steps / 4)),
    peakMemory,
  };
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

function child(command: string, args: readonly string[], tunables: string | undefined): Timing {
  const env = { ...process.env };
  delete env['GLIBC_TUNABLES'];
  if (tunables) env['GLIBC_TUNABLES'] = tunables;
  const output = execFileSync(command, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  return JSON.parse(output.trim().split('\n').at(-1)!) as Timing;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      child: { type: 'boolean', default: false },
      steps: { type: 'string' },
      pairs: { type: 'string', default: '3' },
      threads: { type: 'string' },
      'without-pytorch': { type: 'boolean', default: false },
    },
  });
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  if (values.child) {
    const timing = await timeConvLab(positionals[0] as Measured, Number(values.steps), threads);
    console.log(JSON.stringify(timing));
    return;
  }
  const names = positionals.length > 0 ? positionals : ['lenet5', 'alexnet', 'resnet18', 'vgg16'];
  const unknown = names.find((name) => !Object.hasOwn(settings, name));
  if (unknown !== undefined)
    throw new Error(`There is no network ${unknown}; there are: ${Object.keys(settings).join(', ')}.`);

  const python = process.env['CONVLAB_PYTHON'] ?? 'python3';
  const found = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  const pytorch = !values['without-pytorch'] && found.status === 0;
  const cores = threads ?? (await probedThreads());
  const engine = await onnxProvider.open({ threads: cores });
  const versions = Object.entries(engine.versions).map(([name, version]) => `${name} ${version}`);
  console.log(`${engine.device.name}, ${cores} threads; ${versions.join(', ')}, Node ${process.version}`);
  await engine.dispose();
  console.log(pytorch ? `PyTorch ${found.stdout.trim()}` : `PyTorch: not found (${python}); set CONVLAB_PYTHON`);
  console.log('network, batch        ConvLab   PyTorch as shipped   ratio (range)       PyTorch tuned   ratio (range)');

  for (const name of names as Measured[]) {
    const { batch, size, steps: usual } = settings[name];
    const steps = String(values.steps ?? usual);
    const rates: Record<'convlab' | 'shipped' | 'tuned', number[]> = { convlab: [], shipped: [], tuned: [] };
    let memory = 0;
    for (let pair = 0; pair < Number(values.pairs); pair++) {
      const rate = (timing: Timing) => batch / median(timing.seconds);
      const own = [__filename, '--child', name, '--steps', steps, '--threads', String(cores)];
      const timing = child(process.execPath, own, allocatorTunables);
      memory = Math.max(memory, timing.peakMemory!);
      rates.convlab.push(rate(timing));
      if (!pytorch) continue;
      const theirs = [join(__dirname, '../../bench/step.py'), name, String(batch), String(size), steps, String(cores)];
      rates.shipped.push(rate(child(python, theirs, undefined)));
      rates.tuned.push(rate(child(python, theirs, allocatorTunables)));
    }
    const digits = (x: number) => (x >= 100 ? x.toFixed(0) : x.toPrecision(3));
    const against = (other: readonly number[]): string => {
      if (other.length === 0) return 'not here'.padEnd(21) + ''.padEnd(20);
      const ratios = rates.convlab.map((own, i) => own / other[i]!);
      const range = `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)})`;
      return digits(median(other)).padEnd(21) + range.padEnd(20);
    };
    const head = `${name}, ${batch} at ${size}`.padEnd(22) + digits(median(rates.convlab)).padEnd(10);
    console.log(`${head}${against(rates.shipped)}${against(rates.tuned)}peak ${(memory / 2 ** 20).toFixed(0)} MiB`);
  }
}

async function probedThreads(): Promise<number> {
  const available = await onnxProvider.probe();
  return (available.usable && available.device.threads) || cpus().length;
}

void main();
