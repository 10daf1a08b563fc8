/**
 * State dicts on disk: reads both formats of torch.save (`.pth`, `.pt`), the zip archive of PyTorch ≥ 1.6 and the one before
 * it, and `.safetensors`, tensor by tensor as they are asked for, and writes the first. Of a pickle only tensors are taken;
 * any global that is not part of one is refused, and nothing in the file is ever executed.
 *
 * `start.ts` reads starting weights with it, and `export.ts` writes trained ones.
 * (Formats: torch/serialization.py and torch/_utils.py of https://github.com/pytorch/pytorch, and
 * https://github.com/huggingface/safetensors.)
 */
import * as fs from 'node:fs';
import { message, UserError } from '../../core/messages/message';
import { elements, Shape } from '../../core/networks/network';
import { Callable, PickleError, PickleValue, PickleWorld, UnknownGlobal, unpickle } from './pickle';
import { checkStored, readAt, readDirectory, readEntry, ZipEntry, ZipError, ZipWriter } from './zip';

/** Element types by the name of PyTorch's storage class: bytes, and how values are read as numbers. */
const storageTypes: Record<string, { size: number; decode: (bytes: Uint8Array) => ArrayLike<number> }> = {
  FloatStorage: { size: 4, decode: (b) => new Float32Array(b.buffer, b.byteOffset, b.length / 4) },
  DoubleStorage: { size: 8, decode: (b) => new Float64Array(b.buffer, b.byteOffset, b.length / 8) },
  HalfStorage: { size: 2, decode: (b) => float16(new Uint16Array(b.buffer, b.byteOffset, b.length / 2)) },
  BFloat16Storage: { size: 2, decode: (b) => bfloat16(new Uint16Array(b.buffer, b.byteOffset, b.length / 2)) },
  LongStorage: {
    size: 8,
    decode: (b) => Float64Array.from(new BigInt64Array(b.buffer, b.byteOffset, b.length / 8), Number),
  },
  IntStorage: { size: 4, decode: (b) => new Int32Array(b.buffer, b.byteOffset, b.length / 4) },
  ShortStorage: { size: 2, decode: (b) => new Int16Array(b.buffer, b.byteOffset, b.length / 2) },
  CharStorage: { size: 1, decode: (b) => new Int8Array(b.buffer, b.byteOffset, b.length) },
  ByteStorage: { size: 1, decode: (b) => b },
  BoolStorage: { size: 1, decode: (b) => b },
};

/** Numbers that lie one after another in the file; tensors are views of them. */
class Storage {
  constructor(
    readonly key: string,
    readonly type: string,
    /** Numbers, not bytes. */
    readonly length: number,
  ) {}
}

class PickledTensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly stride: readonly number[],
  ) {}
}

/** More than any pickle of a network's tensors takes: that of ResNet-50 has 30 kB. */
const pickleBytes = 4 * 2 ** 20;
/** A tensor may repeat its storage by strides of 0, so its size is not bounded by the file's. 1 GiB of float32. */
const tensorElements = 2 ** 28;
const legacyMagic = Number(0x1950a86a20f9469cfc6cn);
const legacyVersion = 1001;

/** An open file of named tensors. */
export class StateDict {
  private constructor(
    readonly file: string,
    private readonly descriptor: number,
    private readonly tensors: ReadonlyMap<string, PickledTensor>,
    private readonly readStorage: (storage: Storage, bytes: Uint8Array) => void,
    /** What every name began with and no longer does, such as `module.`; empty for nothing. */
    readonly prefix: string,
  ) {}

  /**
   * Opens a file and reads what it holds, but for the numbers themselves.
   * @throws UserError where it cannot be read, is damaged, or is no state dict
   */
  static open(file: string): StateDict {
    return named(file, () => {
      const descriptor = fs.openSync(file, 'r');
      try {
        if (!fs.fstatSync(descriptor).isFile()) throw new PickleError('it is no file');
        const start = Buffer.alloc(9);
        readAt(descriptor, start.subarray(0, Math.max(4, Math.min(9, fs.fstatSync(descriptor).size))), 0);
        // The length of safetensors' header, and the header's brace.
        if (start[8] === 0x7b && start.readBigUInt64LE() < 2n ** 32n) {
          const { tensors, readStorage } = openSafetensors(descriptor);
          const { prefix, named } = withoutPrefix(tensors);
          return new StateDict(file, descriptor, named, readStorage, prefix);
        }
        const { value, readStorage } = start.subarray(0, 4).equals(Buffer.from('PK\x03\x04'))
          ? openArchive(descriptor, file)
          : openLegacy(descriptor);
        const { prefix, named } = withoutPrefix(tensorsOf(value));
        return new StateDict(file, descriptor, named, readStorage, prefix);
      } catch (error) {
        fs.closeSync(descriptor);
        throw error;
      }
    });
  }

  get names(): string[] {
    return [...this.tensors.keys()];
  }

  /** The shape of a tensor; undefined where there is none of this name. */
  shape(name: string): Shape | undefined {
    return this.tensors.get(name)?.shape;
  }

  /** The numbers of a tensor, row by row, whatever their type and strides in the file. @throws UserError */
  read(name: string): Float32Array {
    return named(this.file, () => {
      const tensor = this.tensors.get(name);
      if (!tensor) throw new PickleError(`it has no tensor called ${name}`);
      const { storage, offset, shape } = tensor;
      const { size, decode } = storageTypes[storage.type]!;
      const bytes = new Uint8Array(storage.length * size);
      this.readStorage(storage, bytes);
      const numbers = decode(bytes);
      const count = elements(shape);
      if (!isContiguous(tensor)) return gather(numbers, tensor);
      if (!(numbers instanceof Float32Array))
        return Float32Array.from({ length: count }, (_, i) => numbers[offset + i]!);
      return count === numbers.length ? numbers : numbers.slice(offset, offset + count);
    });
  }

  close(): void {
    fs.closeSync(this.descriptor);
  }
}

/** What a format makes of a file: the pickled value, and how to read a storage. */
interface Opened {
  readonly value: PickleValue;
  readonly readStorage: (storage: Storage, bytes: Uint8Array) => void;
}

/** PyTorch ≥ 1.6: `<name>/data.pkl`, and the storages in `<name>/data/<key>`. */
function openArchive(descriptor: number, file: string): Opened {
  const entries = readDirectory(descriptor);
  // torch.jit.save writes the same archive with the program beside the tensors.
  if ([...entries.keys()].some((name) => /^[^/]+\/(code\/|constants\.pkl$)/.test(name)))
    throw new UserError(message('weightsTorchScript', { file }), message('weightsTorchScriptAdvice'));
  entries.forEach(checkStored);
  const pickles = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) throw new ZipError('it is a zip archive, but not one that torch.save wrote');
  const folder = pickles[0]!.name.slice(0, -'data.pkl'.length);
  const content = (entry: ZipEntry): Uint8Array => {
    if (entry.size > pickleBytes) throw new ZipError(`“${entry.name}” in it is too large`);
    const bytes = new Uint8Array(entry.size);
    readEntry(descriptor, entry, bytes);
    return bytes;
  };
  const order = entries.get(`${folder}byteorder`);
  if (order && Buffer.from(content(order)).toString() !== 'little') {
    throw new ZipError('it was written on a machine with another order of bytes');
  }
  const { world, storages } = tensorWorld();
  const { value } = unpickle(content(pickles[0]!), world);
  const at = (storage: Storage): ZipEntry => {
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (!entry) throw new ZipError(`the numbers of storage ${storage.key} are missing`);
    if (entry.size !== storage.length * storageTypes[storage.type]!.size) {
      throw new ZipError(`storage ${storage.key} has another size than its tensors say`);
    }
    return entry;
  };
  storages.forEach(at);
  return { value, readStorage: (storage, bytes) => readEntry(descriptor, at(storage), bytes) };
}

/** PyTorch < 1.6: five pickles (magic number, version, machine, value, keys), then each storage behind its length. */
function openLegacy(descriptor: number): Opened {
  const { size } = fs.fstatSync(descriptor);
  const head = new Uint8Array(Math.min(size, pickleBytes));
  readAt(descriptor, head, 0);
  const { world, storages } = tensorWorld();
  let position = 0;
  const next = (): PickleValue => {
    const { value, length } = unpickle(head.subarray(position), world);
    position += length;
    return value;
  };
  let magic: PickleValue;
  try {
    magic = next();
  } catch {
    magic = null;
  }
  if (magic !== legacyMagic) throw new PickleError('it is no file that torch.save wrote');
  const version = next();
  if (version !== legacyVersion) {
    // Not String(version): a list within a list within a list is a version, too.
    throw new PickleError(`its format has the version ${typeof version === 'number' ? version : 'of no number'}`);
  }
  const machine = next();
  if (!(machine instanceof Map) || machine.get('little_endian') !== true) {
    throw new PickleError('it was written on a machine with another order of bytes');
  }
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) throw new PickleError('its list of storages is damaged');
  const places = new Map<string, number>();
  const length = Buffer.alloc(8);
  for (const key of keys as readonly PickleValue[]) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (!storage) throw new PickleError('it has a storage that no tensor uses');
    readAt(descriptor, length, position);
    if (length.readBigInt64LE() !== BigInt(storage.length)) {
      throw new PickleError(`storage ${storage.key} has another size than its tensors say`);
    }
    places.set(storage.key, position + 8);
    position += 8 + storage.length * storageTypes[storage.type]!.size;
    if (position > size) throw new PickleError('it is shorter than it should be');
  }
  for (const key of storages.keys()) {
    if (!places.has(key)) throw new PickleError(`the numbers of storage ${key} are missing`);
  }
  return { value, readStorage: (storage, bytes) => readAt(descriptor, bytes, places.get(storage.key)!) };
}

const safetensorsTypes: Readonly<Record<string, string>> = {
  ...{ F64: 'DoubleStorage', F32: 'FloatStorage', F16: 'HalfStorage', BF16: 'BFloat16Storage' },
  ...{ I64: 'LongStorage', I32: 'IntStorage', I16: 'ShortStorage', I8: 'CharStorage' },
  ...{ U8: 'ByteStorage', BOOL: 'BoolStorage' },
};

/** An 8-byte length, a JSON header, then the tensors. The moments of ConvLab's own checkpoints are no weights. */
function openSafetensors(descriptor: number): {
  tensors: Map<string, PickledTensor>;
  readStorage: Opened['readStorage'];
} {
  const { size } = fs.fstatSync(descriptor);
  const length = Buffer.alloc(8);
  readAt(descriptor, length, 0);
  const headerBytes = Number(length.readBigUInt64LE());
  if (headerBytes > Math.min(pickleBytes, size - 8)) throw new PickleError('its header is longer than any network’s');
  const bytes = Buffer.alloc(headerBytes);
  readAt(descriptor, bytes, 8);
  let header: unknown;
  try {
    header = JSON.parse(bytes.toString()) as unknown;
  } catch {
    throw new PickleError('its header is damaged');
  }
  if (typeof header !== 'object' || header === null) throw new PickleError('its header is damaged');
  const tensors = new Map<string, PickledTensor>();
  const places = new Map<string, number>();
  for (const [name, described] of Object.entries(header as Record<string, unknown>)) {
    if (name === '__metadata__' || /^adam\.exp_avg(_sq)?\./.test(name)) continue;
    const { dtype, shape, data_offsets: offsets } = (described ?? {}) as Record<string, PickleValue | undefined>;
    const type = typeof dtype === 'string' && Object.hasOwn(safetensorsTypes, dtype) ? safetensorsTypes[dtype]! : '';
    const known = storageTypes[type];
    if (!known || !areSizes(shape) || !areSizes(offsets) || offsets.length !== 2)
      throw new PickleError('it has a tensor whose description is damaged, or of a type that networks do not have');
    const count = elements(shape);
    const [from, to] = offsets as readonly [number, number];
    if (count > tensorElements || to - from !== count * known.size || 8 + headerBytes + to > size)
      throw new PickleError('it has a tensor of another size than it says, or one that reaches past its end');
    tensors.set(name, new PickledTensor(new Storage(name, type, count), 0, shape, rowMajor(shape)));
    places.set(name, 8 + headerBytes + from);
  }
  if (tensors.size === 0) throw new PickleError('it holds no named tensors');
  return { tensors, readStorage: ({ key }, into) => readAt(descriptor, into, places.get(key)!) };
}

/** What wrappers put before every name: DataParallel, torch.compile, and a module that holds the network. */
const prefixes = ['module.', '_orig_mod.', 'model.', 'net.'];

function withoutPrefix(tensors: Map<string, PickledTensor>): { prefix: string; named: Map<string, PickledTensor> } {
  const names = [...tensors.keys()];
  let prefix = '';
  for (;;) {
    const longer = prefixes.map((each) => prefix + each);
    const found = longer.find((each) => names.every((name) => name.startsWith(each) && name.length > each.length));
    if (found === undefined) break;
    prefix = found;
  }
  return { prefix, named: new Map([...tensors].map(([name, tensor]) => [name.slice(prefix.length), tensor])) };
}

/** The globals of a pickle of tensors, and the storages that its persistent ids name. */
function tensorWorld(): { world: PickleWorld; storages: Map<string, Storage> } {
  const storages = new Map<string, Storage>();
  const types = new Map<string, StorageType>(Object.keys(storageTypes).map((type) => [type, new StorageType(type)]));
  const world: PickleWorld = {
    global: (name) =>
      functions[name] ??
      (/^torch\.(float|double|half|bfloat|u?int|long|short|bool)\d*$/.test(name) ? inert : undefined) ??
      (/^torch\./.test(name) ? types.get(name.replace(/^torch\.(cuda\.)?/, '')) : undefined),
    persistent(id) {
      const [kind, type, key, , length, view] = Array.isArray(id) ? (id as readonly PickleValue[]) : [];
      if (kind !== 'storage' || !(type instanceof StorageType) || typeof key !== 'string' || !isSize(length)) {
        throw new PickleError('it refers to something outside that is no storage');
      }
      if (view !== undefined && view !== null) throw new PickleError('it has a storage that is part of another');
      const known = storages.get(key);
      if (known && (known.type !== type.type || known.length !== length)) {
        throw new PickleError(`storage ${key} is described in two ways`);
      }
      const storage = known ?? new Storage(key, type.type, length);
      storages.set(key, storage);
      return storage;
    },
  };
  return { world, storages };
}

class StorageType implements Callable {
  constructor(readonly type: string) {}
  call(): PickleValue {
    throw new PickleError('it makes a storage of its own');
  }
}

/** Something beside the tensors that has no meaning here, such as a type of numbers. */
const inert: Callable = { call: () => null };
/** A set, whose items nothing here reads. */
const set: Callable = { call: ([items = []]: readonly PickleValue[]) => (Array.isArray(items) ? items : []) };

const functions: Readonly<Record<string, Callable>> = Object.assign(Object.create(null) as object, {
  'collections.OrderedDict': {
    call([pairs = [], ...more]: readonly PickleValue[]): PickleValue {
      const isPair = (pair: PickleValue): pair is readonly [PickleValue, PickleValue] =>
        Array.isArray(pair) && pair.length === 2;
      if (more.length > 0 || !Array.isArray(pairs) || !pairs.every(isPair)) {
        throw new PickleError('it has a dictionary of things that are no pairs');
      }
      return new Map(pairs as [PickleValue, PickleValue][]);
    },
  },
  'torch._utils._rebuild_tensor_v2': { call: rebuildTensor },
  // PyTorch < 0.4: the same without requires_grad and hooks.
  'torch._utils._rebuild_tensor': { call: rebuildTensor },
  'torch.Size': set,
  'torch.device': inert,
  'builtins.set': set,
  '__builtin__.set': set,
  'builtins.frozenset': set,
  '__builtin__.frozenset': set,
  /** A tensor that training changes; the second argument says whether, the third what to call then. */
  'torch._utils._rebuild_parameter': {
    call([tensor]: readonly PickleValue[]): PickleValue {
      if (!(tensor instanceof PickledTensor)) throw new PickleError('it has a parameter that is no tensor');
      return tensor;
    },
  },
});

function rebuildTensor([storage, offset, shape, stride]: readonly PickleValue[]): PickleValue {
  if (
    !(storage instanceof Storage) ||
    !isSize(offset) ||
    !areSizes(shape) ||
    !areSizes(stride) ||
    shape.length !== stride.length
  ) {
    throw new PickleError('it has a tensor whose description is damaged');
  }
  const count = elements(shape);
  if (count > tensorElements) throw new PickleError(`it has a tensor of ${shape.join('×')} numbers`);
  const last = shape.reduce((sum, n, axis) => sum + (n - 1) * stride[axis]!, offset);
  if (count > 0 && last >= storage.length) throw new PickleError('it has a tensor that reaches past its storage');
  return new PickledTensor(storage, offset, shape, stride);
}

const isSize = (value: PickleValue | undefined): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

const areSizes = (value: PickleValue | undefined): value is readonly number[] =>
  Array.isArray(value) && value.length <= 16 && value.every(isSize);

/** The strides of a tensor whose numbers lie row by row. */
const rowMajor = (shape: Shape): number[] => shape.map((_, axis) => elements(shape.slice(axis + 1)));

/** What PyTorch's recipes and many programs call the state dict in a checkpoint. */
const usualNames = ['state_dict', 'model_state_dict', 'model', 'net', 'network', 'weights'];

/**
 * The tensors of a state dict, or of the one that a checkpoint holds, two levels deep: under a usual name, else the mapping
 * with the most tensors. An optimiser's, or averaged weights, are taken where there is nothing else.
 */
function tensorsOf(value: PickleValue): Map<string, PickledTensor> {
  if (!(value instanceof Map)) throw new PickleError('it holds no named tensors');
  const found: { rank: number; tensors: Map<string, PickledTensor> }[] = [];
  const look = (map: Map<PickleValue, PickleValue>, name: string, depth: number): void => {
    const tensors = new Map<string, PickledTensor>();
    for (const [key, each] of map) {
      if (typeof key !== 'string') continue;
      if (each instanceof PickledTensor) tensors.set(key, each);
      else if (each instanceof Map && depth < 2) look(each, key, depth + 1);
    }
    const rank = usualNames.includes(name) ? 2 : /optim|sched|(^|_)ema/i.test(name) ? 0 : 1;
    if (tensors.size > 0) found.push({ rank, tensors });
  };
  look(value, '', 0);
  const [best] = found.sort((a, b) => b.rank - a.rank || b.tensors.size - a.tensors.size);
  if (best) return best.tensors;
  const keys = [...value.keys()].filter((key) => typeof key === 'string');
  const shown = keys.slice(0, 5).map((key) => `“${key.slice(0, 40)}”`);
  const beside = shown.length > 0 ? `, but ${shown.join(', ')}${keys.length > 5 ? ' …' : ''}` : '';
  throw new PickleError(`it holds no named tensors${beside}`);
}

function isContiguous({ shape, stride }: PickledTensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

function gather(numbers: ArrayLike<number>, { offset, shape, stride }: PickledTensor): Float32Array {
  const out = new Float32Array(elements(shape));
  const index = shape.map(() => 0);
  let at = offset;
  for (let i = 0; i < out.length; i++) {
    out[i] = numbers[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += stride[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= index[axis]! * stride[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** IEEE 754 binary16. */
function float16(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (b) => {
    const sign = b & 0x8000 ? -1 : 1;
    const exponent = (b >> 10) & 0x1f;
    const fraction = b & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

/** The upper half of a float32. */
function bfloat16(bits: Uint16Array): Float32Array {
  const words = Uint32Array.from(bits, (b) => b << 16);
  return new Float32Array(words.buffer);
}

/** Turns whatever is wrong with a file into a sentence that names it. */
function named<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof UnknownGlobal) {
      throw new UserError(message('weightsRefused', { file, name: error.global }), message('weightsRefusedAdvice'));
    }
    if (error instanceof PickleError || error instanceof ZipError) {
      throw new UserError(message('weightsDamaged', { file, reason: error.message }), message('weightsDamagedAdvice'));
    }
    if (typeof (error as NodeJS.ErrnoException).code === 'string') {
      throw new UserError(message('weightsUnreadable', { file, reason: (error as Error).message }));
    }
    throw error;
  }
}

/** A tensor to be written: float32 numbers, or the integers of a counter. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly values: Float32Array | BigInt64Array;
}

/**
 * Writes a state dict that torch.load reads, `weights_only` included: an OrderedDict of contiguous tensors in a zip
 * archive. @throws ZipError where it would be larger than 4 GB
 */
export function writeStateDict(descriptor: number, tensors: readonly NamedTensor[]): void {
  const zip = new ZipWriter(descriptor);
  zip.add('archive/data.pkl', pickled(tensors));
  zip.add('archive/byteorder', Buffer.from('little'));
  tensors.forEach(({ values }, key) => {
    zip.add(`archive/data/${key}`, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  });
  zip.add('archive/version', Buffer.from('3\n'));
  zip.finish();
}

/** The pickle, in protocol 2, of an OrderedDict of tensors whose storages are numbered in order. */
function pickled(tensors: readonly NamedTensor[]): Uint8Array {
  const parts: Buffer[] = [];
  const op = (...bytes: number[]) => parts.push(Buffer.from(bytes));
  const integer = (value: number) => {
    const four = Buffer.alloc(4);
    four.writeInt32LE(value);
    parts.push(Buffer.from('J'), four);
  };
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    const four = Buffer.alloc(4);
    four.writeUInt32LE(bytes.length);
    parts.push(Buffer.from('X'), four, bytes);
  };
  const global = (module: string, name: string) => parts.push(Buffer.from(`c${module}\n${name}\n`));
  const call = (...chars: string[]) => parts.push(Buffer.from(chars.join('')));
  const tuple = (values: readonly number[]) => {
    call('(');
    values.forEach(integer);
    call('t');
  };
  op(0x80, 2);
  global('collections', 'OrderedDict');
  call(')', 'R', '(');
  tensors.forEach(({ name, shape, values }, key) => {
    text(name);
    global('torch._utils', '_rebuild_tensor_v2');
    call('(', '(');
    text('storage');
    global('torch', values instanceof BigInt64Array ? 'LongStorage' : 'FloatStorage');
    text(String(key));
    text('cpu');
    integer(values.length);
    call('t', 'Q');
    integer(0);
    tuple(shape);
    tuple(rowMajor(shape));
    // requires_grad: False; backward hooks: an empty OrderedDict.
    op(0x89);
    global('collections', 'OrderedDict');
    call(')', 'R', 't', 'R');
  });
  call('u', '.');
  return Buffer.concat(parts);
}
