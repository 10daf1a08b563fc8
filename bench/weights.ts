/**
 * `npm run bench -- weights [--pairs N] [--network NAME]`: how fast a full-size file of weights is read into a network's state, and what
 * memory that takes (Linux), with PyTorch's torch.load of the same file beside it where CONVLAB_PYTHON names a Python with PyTorch.
 * Every reading happens in a process of its own, the two in turn; a file of PyTorch's is made for it, or of ConvLab's own.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../src/core/statistics';
import { buildNetwork, NetworkName } from '../src/core/networks/catalog';
import { initialBuffers, initialParameters, parameterCount } from '../src/core/networks/network';
import { digestOf } from '../src/trainer/weights/download';
import { stateDictOf, writeWhole } from '../src/trainer/weights/export';
import { StateDict, writeStateDict } from '../src/trainer/weights/pth';

const { values } = parseArgs({
  options: { pairs: { type: 'string', default: '5' }, file: { type: 'string' }, network: { type: 'string' } },
});

interface Reading {
  /** Seconds to read every tensor, and to take the file's SHA-256. */
  readonly read: number;
  readonly digest?: number;
  /** Growth of the process's largest resident set, in bytes. */
  readonly memory: number;
}

/** In the child: reads the file and prints what it took. */
async function readOnce(file: string, name: NetworkName): Promise<void> {
  const network = buildNetwork(name, [3, 224, 224], 1000);
  // getrusage's maximum would begin with that of the process that started this one.
  const largest = () => Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
  const memory = largest();
  let begin = performance.now();
  const weights = StateDict.open(file);
  const tensors = [...network.parameters, ...network.buffers].map((p) => weights.read(p.name));
  weights.close();
  const read = (performance.now() - begin) / 1000;
  const grown = largest() - memory;
  begin = performance.now();
  await digestOf(file, new AbortController().signal);
  const digest = (performance.now() - begin) / 1000;
  if (tensors.length === 0) throw new Error('nothing was read');
  console.log(JSON.stringify({ read, digest, memory: grown } satisfies Reading));
}

const pytorchScript = `
import json, re, sys, time, torch
largest = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024
memory = largest()
begin = time.perf_counter()
weights = torch.load(sys.argv[1], weights_only=True)
# Every number is touched, as ConvLab's reading does.
total = sum(t.sum().item() for t in weights.values() if t.is_floating_point())
print(json.dumps({"read": time.perf_counter() - begin, "memory": largest() - memory}))
`;

function child(program: string, args: readonly string[]): Reading {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Reading;
}

function bench(name: NetworkName, legacy: boolean, pairs: number): void {
  const python = process.env['CONVLAB_PYTHON'];
  const network = buildNetwork(name, [3, 224, 224], 1000);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-bench-'));
  try {
    const file = path.join(folder, 'weights.pth');
    const state = { parameters: initialParameters(network, 1), buffers: initialBuffers(network) };
    writeWhole(file, (descriptor) => writeStateDict(descriptor, stateDictOf(network, state, 0)));
    if (legacy) {
      if (!python) return;
      const script = 'import sys, torch; w = torch.load(sys.argv[1]); torch.save(w, sys.argv[1], _use_new_zipfile_serialization=False)'; // prettier-ignore
      const { status, stderr } = spawnSync(python, ['-c', script, file], { encoding: 'utf8' });
      if (status !== 0) throw new Error(stderr);
    }
    const ours: Reading[] = [];
    const theirs: Reading[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      ours.push(child(process.execPath, [process.argv[1]!, '--file', file, '--network', name]));
      if (python) theirs.push(child(python, ['-c', pytorchScript, file]));
    }
    const bytes = fs.statSync(file).size;
    const middle = (of: readonly Reading[], value: (r: Reading) => number) => median(of.map(value));
    const megabytes = (n: number) => `${Math.round(n / 1e6)} MB`;
    const kind = legacy ? 'format before 1.6' : 'zip';
    console.log(`${name}, ${kind}: ${megabytes(bytes)}, ${parameterCount(network).toLocaleString('en')} parameters`);
    const line = (who: string, of: readonly Reading[]) =>
      console.log(
        `  ${who.padEnd(8)} read in ${middle(of, (r) => r.read).toFixed(2)} s, ` +
          `resident set + ${megabytes(middle(of, (r) => r.memory))} (${(middle(of, (r) => r.memory) / bytes).toFixed(2)} × the file)`,
      );
    line('ConvLab', ours);
    console.log(`           SHA-256 in ${middle(ours, (r) => r.digest!).toFixed(2)} s`);
    if (theirs.length > 0) line('PyTorch', theirs);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const names = ['alexnet', 'vgg16', 'resnet18', 'resnet50'] as const;
if (values.file !== undefined) {
  void readOnce(values.file, values.network as NetworkName);
} else {
  for (const name of names.filter((n) => (values.network ?? n) === n)) {
    for (const legacy of [false, true]) bench(name, legacy, Number(values.pairs));
  }
}
