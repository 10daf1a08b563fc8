/** Files of weights: what PyTorch wrote is read, what ConvLab writes is read again, and hostile files are refused. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseExperiment, resolveExperiment } from '../../src/core/experiment';
import { UserError } from '../../src/core/messages/message';
import { elements } from '../../src/core/networks/network';
import { writeWhole } from '../../src/trainer/weights/export';
import { unpickle } from '../../src/trainer/weights/pickle';
import { StateDict, writeStateDict } from '../../src/trainer/weights/pth';
import { Finding, findStart } from '../../src/trainer/weights/start';
import { ZipWriter } from '../../src/trainer/weights/zip';
import { goldenNetwork, goldenParameters, readGolden } from '../engines/golden';

const golden = (name: string) => path.join(import.meta.dirname, '../golden', name);

let folder: string;
beforeAll(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-pth-'))));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

function withFile<T>(file: string, use: (weights: StateDict) => T): T {
  const weights = StateDict.open(file);
  try {
    return use(weights);
  } finally {
    weights.close();
  }
}

describe('a file that PyTorch wrote', () => {
  it.each(['lenet5.pth', 'lenet5-legacy.pth'])('%s gives LeNet-5’s parameters, bit for bit', (name) => {
    const network = goldenNetwork(readGolden('lenet5'));
    withFile(golden(name), (weights) => {
      expect(weights.names).toEqual(network.parameters.map((p) => p.name));
      for (const { name, shape } of network.parameters) expect(weights.shape(name)).toEqual(shape);
      const read = new Map(network.parameters.map((p) => [p.name, weights.read(p.name)]));
      expect(read).toEqual(goldenParameters(network));
    });
  });

  const expected = JSON.parse(fs.readFileSync(golden('tensors.json'), 'utf8')) as Record<
    string,
    { shape: number[]; values: (number | 'inf' | '-inf')[] }
  >;
  it.each(['tensors.pth', 'tensors-protocol4.pth', 'tensors-legacy.pth'])(
    '%s gives tensors of every type and layout as float32',
    (name) => {
      withFile(golden(name), (weights) => {
        expect(weights.names).toEqual(Object.keys(expected));
        for (const [key, { shape, values }] of Object.entries(expected)) {
          expect(weights.shape(key), key).toEqual(shape);
          const numbers = values.map((v) => (typeof v === 'number' ? v : v === 'inf' ? Infinity : -Infinity));
          expect([...weights.read(key)], key).toEqual(numbers.map(Math.fround));
        }
        expect(weights.shape('no such tensor')).toBeUndefined();
        expect(() => weights.read('no such tensor')).toThrow(UserError);
      });
    },
  );
});

describe('a file that ConvLab writes', () => {
  it('is read again, and holds what it was given', () => {
    const file = path.join(folder, 'Own weights é.pth');
    const tensors = [
      { name: 'conv.weight', shape: [2, 1, 3, 1], values: Float32Array.from([1, -2, 3.5, 0, 1e-40, -Infinity]) },
      { name: 'größe', shape: [1], values: Float32Array.of(7) },
      { name: 'steps', shape: [], values: BigInt64Array.of(-5n) },
    ];
    writeWhole(file, (descriptor) => writeStateDict(descriptor, tensors));
    withFile(file, (weights) => {
      expect(weights.names).toEqual(['conv.weight', 'größe', 'steps']);
      expect(weights.shape('conv.weight')).toEqual([2, 1, 3, 1]);
      expect(weights.read('conv.weight')).toEqual(tensors[0]!.values);
      expect([...weights.read('größe'), ...weights.read('steps')]).toEqual([7, -5]);
    });
    expect(fs.readdirSync(folder)).toEqual(['Own weights é.pth']);
  });

  it('is none where the folder does not exist', () => {
    const file = path.join(folder, 'nowhere', 'a.pth');
    expect(() => writeWhole(file, () => undefined)).toThrow(/nowhere.*could not be written: ENOENT/);
  });
});

/** The pickle part of a file of the older format, around a value given as instructions. */
function legacy(value: string, keys = '].', storages: Buffer = Buffer.alloc(0)): Buffer {
  const magic = Buffer.from([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]);
  const version = Buffer.from([0x80, 2, 0x4d, 0xe9, 0x03, 0x2e]);
  const machine = Buffer.concat([Buffer.from('}'), text('little_endian'), Buffer.from([0x88, 0x73, 0x2e])]);
  return Buffer.concat([magic, version, machine, Buffer.from(value, 'latin1'), Buffer.from(keys, 'latin1'), storages]);
}

function text(value: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(value));
  return Buffer.concat([Buffer.from('X'), length, Buffer.from(value)]);
}

const word = (value: string) => text(value).toString('latin1');
const int = (value: number) => {
  const four = Buffer.alloc(4);
  four.writeInt32LE(value);
  return `J${four.toString('latin1')}`;
};
const long = (value: bigint) => {
  const eight = Buffer.alloc(8);
  eight.writeBigInt64LE(value);
  return `\x8a\x08${eight.toString('latin1')}`;
};
/** A dictionary of one tensor, from the instructions that make its parts. */
const oneTensor = (parts: { length?: string; offset?: string; shape?: string; stride?: string; type?: string }) =>
  `}${word('w')}ctorch._utils\n_rebuild_tensor_v2\n((${word('storage')}c${parts.type ?? 'torch\nFloatStorage'}\n${word('0')}${word('cpu')}` +
  `${parts.length ?? int(4)}tQ${parts.offset ?? int(0)}(${parts.shape ?? int(4)}t(${parts.stride ?? int(1)}t\x89}tRs.`;
const fourFloats = Buffer.concat([
  Buffer.from(BigInt64Array.of(4n).buffer),
  Buffer.from(Float32Array.of(1, 2, 3, 4).buffer),
]);
const oneKey = `](${word('0')}e.`;

describe('a checkpoint around a state dict', () => {
  const open = (bytes: Buffer) => {
    const file = path.join(folder, 'around.pth');
    fs.writeFileSync(file, bytes);
    return withFile(file, (weights) => ({
      prefix: weights.prefix,
      values: Object.fromEntries(weights.names.map((name) => [name, [...weights.read(name)]])),
    }));
  };
  /** Without its end, so that it can be part of another value. */
  const inner = oneTensor({}).slice(0, -1);
  const epoch = `${word('epoch')}K\x03s`;
  const read = (value: string) => open(legacy(value, oneKey, fourFloats));

  it.each(['state_dict', 'model_state_dict', 'model', 'net', 'anything_else'])('under the name %s', (name) => {
    expect(read(`}${epoch}${word(name)}${inner}s.`).values).toEqual({ w: [1, 2, 3, 4] });
  });

  it('is not its optimiser’s', () => {
    const moments = inner.replace(word('w'), word('exp_avg'));
    expect(read(`}${word('optimizer')}${moments}s${word('mine')}${inner}s.`).values).toEqual({ w: [1, 2, 3, 4] });
  });

  it('two levels deep, beside a lone tensor, or under averaged weights alone', () => {
    const two = inner.replace(word('w'), word('a')).slice(1);
    const pair = `}${inner.slice(1)}${two}`;
    const single = inner.replace(word('w'), word('best'));
    expect(read(`}${word('checkpoint')}}${word('model')}${inner}ss.`).values).toEqual({ w: [1, 2, 3, 4] });
    expect(Object.keys(read(`${single}${word('params')}${pair}s.`).values)).toEqual(['w', 'a']);
    expect(read(`}${word('model_ema')}${inner}s.`).values).toEqual({ w: [1, 2, 3, 4] });
  });

  it('with sizes, sets, types and bytes beside it', () => {
    const beside = [
      `${word('size')}ctorch\nSize\n(K\x01K\x02t\x85Rs`,
      `${word('done')}c__builtin__\nset\n](K\x01e\x85Rs`,
      `${word('kinds')}\x8f(K\x01\x90s`,
      `${word('type')}ctorch\nfloat32\ns`,
      `${word('raw')}C\x02abs`,
    ];
    expect(read(`}${beside.join('')}${word('net')}${inner}s.`).values).toEqual({ w: [1, 2, 3, 4] });
  });

  it('of PyTorch before 0.4', () => {
    const value = oneTensor({}).replace('_rebuild_tensor_v2', '_rebuild_tensor').replace('\x89}tR', 'tR');
    expect(read(value).values).toEqual({ w: [1, 2, 3, 4] });
  });

  it('whose names all have a wrapper’s prefix loses it, and says so', () => {
    const wrapped = (name: string) => read(oneTensor({}).replace(word('w'), word(name)));
    expect(wrapped('module.w')).toEqual({ prefix: 'module.', values: { w: [1, 2, 3, 4] } });
    expect(wrapped('_orig_mod.module.w').prefix).toBe('_orig_mod.module.');
    expect(wrapped('module.')).toEqual({ prefix: '', values: { 'module.': [1, 2, 3, 4] } });
  });

  it('without tensors names what it holds', () => {
    expect(() => open(legacy(`}${epoch}${word('note')}Ns.`))).toThrow(/no named tensors, but “epoch”, “note”/);
  });

  it('that torch.jit.save wrote is called what it is', () => {
    const file = path.join(folder, 'script.pt');
    writeWhole(file, (descriptor) => {
      const zip = new ZipWriter(descriptor);
      for (const name of ['data.pkl', 'code/__torch__.py', 'constants.pkl']) zip.add(`m/${name}`, Buffer.from('}.'));
      zip.finish();
    });
    expect(() => StateDict.open(file)).toThrow(/is a TorchScript program/);
  });
});

describe('a .safetensors file', () => {
  const written = (header: unknown, data = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer)) => {
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const file = path.join(folder, 'a.safetensors');
    fs.writeFileSync(file, Buffer.concat([length, text, data]));
    return file;
  };
  const whole = { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] };

  it('is read like any other, without an optimiser’s moments', () => {
    const file = written({ __metadata__: { a: 'b' }, 'module.w': whole, 'adam.exp_avg.w': whole });
    withFile(file, (weights) => {
      expect([weights.names, weights.prefix, weights.shape('w')]).toEqual([['w'], 'module.', [2, 2]]);
      expect([...weights.read('w')]).toEqual([1, 2, 3, 4]);
    });
  });

  it.each([
    ['another type', { w: { ...whole, dtype: 'C64' } }, /description is damaged/],
    ['a name of JavaScript’s as its type', { w: { ...whole, dtype: 'constructor' } }, /description is damaged/],
    ['offsets past its end', { w: { ...whole, data_offsets: [16, 32] } }, /another size than it says/],
    ['offsets that do not fit its shape', { w: { ...whole, data_offsets: [0, 12] } }, /another size than it says/],
    ['no tensors', {}, /no named tensors/],
    ['a tensor that is none', { w: null }, /description is damaged/],
  ])('with %s is refused', (_, header, sentence) => {
    expect(() => StateDict.open(written(header))).toThrow(sentence);
  });

  it('whose header is longer than the file, or no JSON', () => {
    const file = written({ w: whole });
    const bytes = fs.readFileSync(file);
    bytes.writeBigUInt64LE(2n ** 31n);
    fs.writeFileSync(file, bytes);
    expect(() => StateDict.open(file)).toThrow(/header is longer/);
    bytes.writeBigUInt64LE(5n);
    fs.writeFileSync(file, bytes);
    expect(() => StateDict.open(file)).toThrow(/header is damaged/);
  });
});

describe('a start', () => {
  const experimentFile = 'experiments/lenet5-mnist.json';
  const starting = (file: string) =>
    findStart(
      resolveExperiment(parseExperiment(fs.readFileSync(experimentFile, 'utf8'), experimentFile), 'course', {
        'network.weights': { file },
      }),
      { runsFolder: folder, progress: () => undefined, signal: new AbortController().signal } as unknown as Finding,
    );
  const lenet5 = goldenNetwork(readGolden('lenet5'));
  const save = (prefix: string, spoil?: string) => {
    const file = path.join(folder, 'start.pth');
    const tensors = lenet5.parameters.map(({ name, shape }) => {
      const values = new Float32Array(elements(shape)).fill(0.1);
      if (name === spoil) values[3] = NaN;
      return { name: prefix + name, shape, values };
    });
    writeWhole(file, (descriptor) => writeStateDict(descriptor, tensors));
    return file;
  };

  it('says which prefix it lost', async () => {
    const start = await starting(save('module.'));
    expect(start!.told.map(({ id }) => id)).toContain('startedPrefix');
  });

  it('with values that are not finite is refused by tensor and file', async () => {
    await expect(starting(save('', 'fc1.weight'))).rejects.toThrow(/fc1\.weight of .*start\.pth holds NaN/);
  });

  it('that does not fit names what the file holds', async () => {
    await expect(starting(save('other.'))).rejects.toThrow(
      /no tensor called conv1\.weight\. It holds other\.conv1\.weight \(6×1×5×5\)/,
    );
  });
});

describe('a hostile file is refused with a sentence', () => {
  const open = (bytes: Buffer) => {
    const file = path.join(folder, 'hostile.pth');
    fs.writeFileSync(file, bytes);
    try {
      return withFile(file, (weights) => weights.names.map((name) => weights.read(name)));
    } catch (error) {
      // A sentence that names the file, never a bare exception.
      expect(error).toBeInstanceOf(UserError);
      expect((error as Error).message).toContain(file);
      throw error;
    }
  };
  const whole = fs.readFileSync(golden('lenet5.pth'));
  const old = fs.readFileSync(golden('lenet5-legacy.pth'));

  it('(the same instructions make a file that is read)', () => {
    expect(open(legacy(oneTensor({}), oneKey, fourFloats))).toEqual([Float32Array.of(1, 2, 3, 4)]);
  });

  it.each([
    ['os.system', 'cos\nsystem\n(Vtouch /tmp/pwned\ntR.', 'os.system'],
    ['builtins.eval', 'c__builtin__\neval\n(X\x01\0\0\x001tR.', '__builtin__.eval'],
    ['a class by protocol 4', `\x8c\x02nt\x8c\x06system\x93.`, 'nt.system'],
    ['a module of torch', 'ctorch.hub\nload\n.', 'torch.hub.load'],
    ['another rebuild function', 'ctorch._utils\n_rebuild_sparse_tensor\n.', 'torch._utils._rebuild_sparse_tensor'],
    ['a storage type that is none', 'ctorch\ntoString\n.', 'torch.toString'],
    ['a name of JavaScript’s', 'cconstructor\nprototype\n.', 'constructor.prototype'],
    ['a storage outside torch', 'cevil\nFloatStorage\n.', 'evil.FloatStorage'],
  ])('that names %s', (_, value, name) => {
    expect(() => open(legacy(value))).toThrow(`besides tensors it contains the Python object ${name}`);
  });

  it.each([
    ['a huge storage', { length: long(2n ** 52n) }, /storage 0 has another size/],
    ['a negative size', { shape: int(-4) }, /description is damaged/],
    ['a size beyond 2^53', { shape: long(2n ** 60n) }, /a number that is too large/],
    [
      'sizes whose product overflows',
      { shape: int(2 ** 30).repeat(12), stride: int(0).repeat(12) },
      /a tensor of 1073741824×/,
    ],
    ['a small storage repeated without end', { shape: int(2 ** 30), stride: int(0) }, /a tensor of 1073741824 numbers/],
    ['an offset past its storage', { offset: int(1) }, /reaches past its storage/],
    ['a negative offset', { offset: int(-1) }, /description is damaged/],
    ['a negative stride', { stride: int(-1) }, /description is damaged/],
    ['strides past its storage', { shape: int(2) + int(2), stride: int(3) + int(1) }, /reaches past its storage/],
    ['more sizes than strides', { shape: int(2) + int(2) }, /description is damaged/],
    ['too many axes', { shape: int(1).repeat(17), stride: int(1).repeat(17) }, /description is damaged/],
    ['a floating size', { shape: 'G\x40\x10\0\0\0\0\0\0' }, null],
    ['half of a number as a size', { shape: 'G\x3f\xe0\0\0\0\0\0\0' }, /description is damaged/],
    ['another element type than the file', { type: 'torch\nDoubleStorage' }, /shorter than it should be/],
  ] as const)('with %s', (_, parts, sentence) => {
    const bytes = legacy(oneTensor(parts), oneKey, fourFloats);
    if (sentence) expect(() => open(bytes)).toThrow(sentence);
    else expect(open(bytes)).toHaveLength(1);
  });

  it.each([
    ['with an empty stack', '.', /more from its stack/],
    ['that closes no mark', 't.', /a mark that it has not set/],
    ['that pops too much', 'N\x87.', /more from its stack/],
    ['that remembers nothing', 'h\x05.', /a value that it has not made/],
    ['with an unknown instruction', '\xff.', /the instruction 0xff/],
    ['with a text longer than the file', 'X\xff\xff\xff\x7fa.', /middle of an instruction/],
    ['with a text of eight-byte length', '\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.', /number that is too large/],
    ['with a text that is not UTF-8', 'X\x01\0\0\0\xff.', /not UTF-8/],
    ['that calls a number', 'K\x01)R.', /calls what is no function/],
    ['that calls with a number', 'ccollections\nOrderedDict\nK\x01R.', /calls what is no function/],
    ['that makes a storage', 'ctorch\nFloatStorage\n)R.', /a storage of its own/],
    ['that appends to a dictionary', '}K\x01a.', /no list/],
    ['that assigns to a list', ']K\x01K\x02s.', /no dictionary/],
    ['that sets attributes of a text', 'X\x01\0\0\0a}b.', /attributes of what is no dictionary/],
    ['with a persistent id that is no storage', 'K\x01Q.', /no storage/],
    ['with a dictionary of no pairs', 'ccollections\nOrderedDict\n(](K\x01etR.', /things that are no pairs/],
    ['of a number alone', 'K\x01.', /no named tensors/],
    ['of an old protocol', '\x80\x01N.', /pickle protocol 1/],
  ])('whose pickle is one %s', (_, value, sentence) => {
    expect(() => open(legacy(value))).toThrow(sentence);
  });

  it('that is small and asks for work without end', () => {
    // 20 000 pairs, of which a dictionary is made 100 000 times.
    const pairs = `](${'NN\x86'.repeat(20_000)}eq\0`;
    const before = performance.now();
    const again = 'ccollections\nOrderedDict\nh\0\x85R0'.repeat(100_000);
    expect(() => open(legacy(`${pairs}0${again}}.`))).toThrow(/more work than its size can need/);
    // It took forever, which no machine is too slow to tell from this.
    expect(performance.now() - before).toBeLessThan(20_000);
  });

  it('whose version is nested a million deep', () => {
    const bytes = legacy('}.');
    const nested = Buffer.concat([Buffer.from([0x80, 2, 0x4e]), Buffer.alloc(1e6, 0x85), Buffer.from('.')]);
    // Behind the magic number's 15 bytes.
    expect(() => open(Buffer.concat([bytes.subarray(0, 15), nested, bytes.subarray(21)]))).toThrow(
      /the version of no number/,
    );
  });

  it('whose pickle has no end', () => {
    expect(() => open(legacy('N', ''))).toThrow(/middle of an instruction/);
  });

  it('nested a million deep: nothing here calls itself', () => {
    expect(() => open(legacy(`${'('.repeat(1e6)}.`))).toThrow(/more from its stack/);
    expect(() => open(legacy(`N${'\x85'.repeat(1e6)}.`))).toThrow(/no named tensors/);
    expect(() => open(legacy(`}${`K\x01}`.repeat(1e5)}${'s'.repeat(1e5)}.`))).toThrow(/no named tensors/);
    // A dictionary that holds itself.
    expect(() => open(legacy('}q\0K\x01h\0s.'))).toThrow(/no named tensors/);
  });

  it('whose storages are missing, unused, or described twice', () => {
    expect(() => open(legacy(oneTensor({})))).toThrow(/numbers of storage 0 are missing/);
    expect(() => open(legacy(oneTensor({}), `](${word('0')}${word('1')}e.`, fourFloats))).toThrow(/no tensor uses/);
    const two = oneTensor({}).slice(0, -2) + `s${oneTensor({ length: int(3), shape: int(3) }).slice(1)}`;
    expect(() => open(legacy(two, oneKey, fourFloats))).toThrow(/described in two ways/);
    expect(() => open(legacy(oneTensor({}), oneKey, fourFloats.subarray(0, 20)))).toThrow(/shorter than it should be/);
  });

  it('cut short anywhere', () => {
    for (const [bytes, from] of [
      [whole, 0],
      [old, 0],
    ] as const) {
      for (let length = from; length < bytes.length; length += Math.max(1, Math.floor(length / 7))) {
        expect(() => open(bytes.subarray(0, length)), `the first ${length} bytes`).toThrow(UserError);
      }
    }
  });

  it('damaged in its numbers or its pickle (the archive has a CRC for each)', () => {
    for (const at of [200, 1200, 100_000]) {
      const bytes = Buffer.from(whole);
      bytes[at]! ^= 0x10;
      expect(() => open(bytes)).toThrow(/the CRC of “lenet5\/data/);
    }
  });

  it('with any byte of its directory or of its first 2 kB changed: a sentence or the same tensors, nothing else', () => {
    const trials = (bytes: Buffer, places: number[]) => {
      for (const at of places) {
        const changed = Buffer.from(bytes);
        changed[at] = 255 - changed[at]!;
        try {
          open(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        }
      }
    };
    const range = (from: number, to: number, step: number) =>
      Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step);
    trials(whole, range(whole.length - 900, whole.length, 3));
    trials(old, range(0, 1500, 7));
  });

  const patched = (signature: string, change: (bytes: Buffer, at: number) => void) => {
    const bytes = Buffer.from(whole);
    change(bytes, bytes.lastIndexOf(Buffer.from(signature, 'latin1')));
    return bytes;
  };
  it.each([
    [
      'an entry beyond its end',
      patched('PK\x01\x02', (b, at) => b.writeUInt32LE(0x7fffffff, at + 42)),
      /directory is damaged/,
    ],
    [
      'an entry larger than the file',
      patched('PK\x01\x02', (b, at) => [20, 24].forEach((o) => b.writeUInt32LE(0x7fffffff, at + o))),
      /reaches past its end/,
    ],
    ['a compressed entry', patched('PK\x01\x02', (b, at) => b.writeUInt16LE(8, at + 10)), /compressed or encrypted/],
    ['an encrypted entry', patched('PK\x01\x02', (b, at) => b.writeUInt16LE(1, at + 8)), /compressed or encrypted/],
    [
      'a directory beyond its end',
      patched('PK\x05\x06', (b, at) => b.writeUInt32LE(0x7fffffff, at + 16)),
      /directory is damaged/,
    ],
    [
      'more entries than its directory',
      patched('PK\x05\x06', (b, at) => b.writeUInt16LE(0xffff, at + 10)),
      /directory is damaged/,
    ],
    ['no end record', patched('PK\x05\x06', (b, at) => b.fill(0, at)), /directory is missing/],
  ])('a zip archive with %s', (_, bytes, sentence) => {
    expect(() => open(bytes)).toThrow(sentence);
  });

  it('of another kind: empty, an image, a folder, a zip of something else', () => {
    expect(() => open(Buffer.alloc(0))).toThrow(/shorter than it should be/);
    expect(() => open(fs.readFileSync('media/icon.png'))).toThrow(/no file that torch.save wrote/);
    expect(() => StateDict.open(folder)).toThrow(/no file|could not be read/);
    expect(() => StateDict.open(path.join(folder, 'missing.pth'))).toThrow(/could not be read: ENOENT/);
    const renamed = Buffer.from(whole.toString('latin1').replaceAll('data.pkl', 'date.pkl'), 'latin1');
    expect(() => open(renamed)).toThrow(/not one that torch.save wrote/);
  });
});

describe('unpickle', () => {
  const world = { global: () => undefined, persistent: () => null };
  const value = (instructions: string) => unpickle(Buffer.from(instructions, 'latin1'), world).value;

  it('builds Python’s data', () => {
    expect(value('\x80\x02N.')).toBeNull();
    expect(value('(K\x01M\x00\x02J\xfe\xff\xff\xff\x8a\x02\x00\xff\x8a\x00t.')).toEqual([1, 512, -2, -256, 0]);
    expect(value('](\x88\x89G\x3f\xf8\0\0\0\0\0\0e.')).toEqual([true, false, 1.5]);
    expect(value('}(U\x01aK\x01\x8c\x02\xc3\xa9K\x02u.')).toEqual(
      new Map([
        ['a', 1],
        ['é', 2],
      ]),
    );
    expect(value('K\x01q\x000h\x002\x86.')).toEqual([1, 1]);
    expect(value('(K\x01K\x021K\x03.')).toBe(3);
  });

  it('says how long a pickle was', () => {
    expect(unpickle(Buffer.from('N.N.'), world).length).toBe(2);
  });
});

it('elements of a scalar are one', () => expect(elements([])).toBe(1));
