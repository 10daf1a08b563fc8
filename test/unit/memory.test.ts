/** How a batch is divided by the memory there is, and what a graph's values take of it. */
import { describe, expect, it } from 'vitest';
import { message, UserError } from '../../src/core/messages/message';
import { buildNetwork } from '../../src/core/networks/catalog';
import { machineMemory, passSize } from '../../src/trainer/engines/memory';
import { peakBytes } from '../../src/trainer/engines/onnx/liveness';
import type { NodeSpec } from '../../src/trainer/engines/onnx/proto';
import { computationError } from '../../src/trainer/engines/step';

const gibibyte = 2 ** 30;

describe('the size of a pass', () => {
  const plain = buildNetwork('vgg16', [3, 32, 32], 1);
  const normalized = buildNetwork('resnet18', [3, 32, 32], 1);
  /** 2 GiB for the parameters and a quarter for each example. */
  const bytesOf = (size: number) => (2 + size / 4) * gibibyte;
  const machine = (total: number, available = total) => ({
    total: total * gibibyte,
    available: available * gibibyte,
  });

  it.each([
    ['is the whole batch where that is small', plain, 16, machine(64), 16],
    ['is halved above the comfortable 7 GiB, where that changes nothing', plain, 32, machine(64), 16],
    ['is halved until it takes half of the machine', plain, 32, machine(10), 8],
    ['is halved until it takes what is available', plain, 32, machine(64, 4), 4],
    ['of a network with batch norm stays whole while it fits', normalized, 32, machine(64, 12), 32],
    ['of an odd batch is rounded up', plain, 33, machine(64), 17],
  ])('%s', (_, network, batchSize, memory, size) => {
    expect(passSize(network, batchSize, bytesOf, memory)).toEqual({ microBatch: size, warnings: [] });
  });

  it('is divided with a warning where batch norm will feel it', () => {
    const { microBatch, warnings } = passSize(normalized, 32, bytesOf, machine(64, 8));
    expect(microBatch).toBe(16);
    const args = { batchSize: 32, microBatch: 16, whole: '10240', available: '8192' };
    expect(warnings).toEqual([{ id: 'batchNormDivided', args }]);
  });

  it('is never tiny, and says when even that does not fit', () => {
    const { microBatch, warnings } = passSize(plain, 32, bytesOf, machine(2));
    expect(microBatch).toBe(4);
    expect(warnings).toEqual([{ id: 'memoryShort', args: { needed: '3072', available: '2048' } }]);
    expect(passSize(plain, 2, bytesOf, machine(1)).microBatch).toBe(2);
  });
});

it('the machine’s memory is told in bytes, of which no more is available than there is', () => {
  const { total, available } = machineMemory();
  expect(total).toBeGreaterThan(2 ** 28);
  expect(available).toBeGreaterThan(2 ** 20);
  expect(available).toBeLessThanOrEqual(total);
});

describe('what the values of a graph take at once', () => {
  const node = (op: string, inputs: readonly string[], ...outputs: readonly string[]): NodeSpec => ({
    name: outputs[0]!,
    op,
    domain: '',
    inputs,
    outputs,
    attributes: {},
  });
  const peak = (nodes: readonly NodeSpec[], sizes: Record<string, number>, elsewhere: readonly string[] = []) =>
    peakBytes(nodes, new Map(Object.entries(sizes)), new Set(elsewhere));

  it('is an input and an output of each node: what came before is freed', () => {
    const chain = [node('Conv', ['x'], 'a'), node('Conv', ['a'], 'b'), node('Conv', ['b'], 'c')];
    expect(peak(chain, { a: 10, b: 7, c: 5 })).toBe(17);
  });

  it('counts a value until its last reader', () => {
    const kept = [
      node('Conv', ['x'], 'a'),
      node('Conv', ['a'], 'b'),
      node('Conv', ['b'], 'c'),
      node('Gemm', ['a', 'c'], 'd'),
    ];
    expect(peak(kept, { a: 10, b: 7, c: 5, d: 1 })).toBe(22);
  });

  it('counts a view once, and an element-wise result that is written over its input not at all', () => {
    const views = [
      node('Conv', ['x'], 'a'),
      node('Reshape', ['a'], 'v'),
      node('Relu', ['v'], 'r'),
      node('Conv', ['r'], 'b'),
    ];
    expect(peak(views, { a: 10, v: 10, r: 10, b: 3 })).toBe(13);
    // Somebody else still reads the view: the result needs a place of its own.
    expect(peak([...views, node('Gemm', ['a', 'b'], 'c')], { a: 10, v: 10, r: 10, b: 3, c: 1 })).toBe(23);
  });

  it('leaves out what lies with the caller, and frees what nobody reads', () => {
    const given = [node('Conv', ['x'], 'a', 'unread'), node('Conv', ['a'], 'out')];
    expect(peak(given, { a: 10, unread: 4, out: 100 }, ['out'])).toBe(14);
  });
});

describe('a want of memory', () => {
  it.each([
    ['TensorFlow', 'OOM when allocating tensor with shape[512,4096]'],
    ['ONNX Runtime', 'Failed to allocate memory for requested buffer of size 411041792'],
    ['C++', 'std::bad_alloc'],
    ['C++ on Windows', 'bad allocation'],
    ['JavaScript', 'Array buffer allocation failed'],
    ['WebAssembly', 'WebAssembly.Memory(): could not allocate memory'],
    ['WebAssembly’s addresses', "WebAssembly.Memory(): Property 'initial': value 70000 is above the upper bound 65536"],
  ])('is known by the words of %s', (_, words) => {
    expect(computationError(new Error(words), 8)).toMatchObject({
      userMessage: { id: 'engineOutOfMemory', args: { batchSize: 8 } },
    });
  });

  it('is not seen in other failures, nor in what is a sentence already', () => {
    const other = new Error('Non-zero status code returned while running Conv node.');
    const sentence = new UserError(message('onnxWebMemory', { network: 'vgg16', size: 2, needed: 'out of memory' }));
    expect(computationError(other, 8)).toBe(other);
    expect(computationError(sentence, 8)).toBe(sentence);
  });
});
