/**
 * A machine for Python's pickles that can build data and nothing else. Every global but the ones its caller knows is
 * refused, nothing is looked up or executed, what it builds is never larger than what it reads, and it works no longer than
 * a pickle of this size can need. pth.ts calls it.
 *
 * The instructions are those of https://github.com/python/cpython/blob/main/Lib/pickletools.py, as far as torch.save
 * writes them in protocols 2 to 5.
 */

/** A pickle that is not what it should be; the message says why, and pth.ts names the file. */
export class PickleError extends Error {}

/** A global that the pickle names and the caller does not know: `os.system`, say. */
export class UnknownGlobal extends PickleError {
  constructor(readonly global: string) {
    super(`it names ${global}`);
  }
}

/** Python's values: None is null, tuples and lists are arrays, dictionaries are maps, the rest are the caller's. */
export type PickleValue =
  null | boolean | number | string | readonly PickleValue[] | Map<PickleValue, PickleValue> | Callable | object;

/** What a global stands for: called with a tuple of arguments, it gives a value. */
export interface Callable {
  readonly call: (args: readonly PickleValue[]) => PickleValue;
}

export interface PickleWorld {
  /** The global `module.name`, or undefined where it is unknown. */
  readonly global: (name: string) => Callable | undefined;
  /** The value behind a persistent id. */
  readonly persistent: (id: PickleValue) => PickleValue;
}

const enum Op {
  proto = 0x80,
  frame = 0x95,
  stop = 0x2e,
  mark = 0x28,
  pop = 0x30,
  popMark = 0x31,
  dup = 0x32,
  none = 0x4e,
  newTrue = 0x88,
  newFalse = 0x89,
  binInt = 0x4a,
  binInt1 = 0x4b,
  binInt2 = 0x4d,
  long1 = 0x8a,
  binFloat = 0x47,
  shortBinUnicode = 0x8c,
  binUnicode = 0x58,
  binUnicode8 = 0x8d,
  shortBinString = 0x55,
  binString = 0x54,
  emptyList = 0x5d,
  append = 0x61,
  appends = 0x65,
  emptyTuple = 0x29,
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  tuple = 0x74,
  emptySet = 0x8f,
  addItems = 0x90,
  frozenSet = 0x91,
  shortBinBytes = 0x43,
  binBytes = 0x42,
  emptyDict = 0x7d,
  setItem = 0x73,
  setItems = 0x75,
  global = 0x63,
  stackGlobal = 0x93,
  binPersId = 0x51,
  binPut = 0x71,
  longBinPut = 0x72,
  memoize = 0x94,
  binGet = 0x68,
  longBinGet = 0x6a,
  reduce = 0x52,
  build = 0x62,
}

/**
 * Builds the value of the pickle at the start of `bytes`.
 * @returns the value, and the number of bytes that the pickle takes
 * @throws PickleError for anything that is not such a pickle
 */
export function unpickle(bytes: Uint8Array, world: PickleWorld): { value: PickleValue; length: number } {
  return new Machine(bytes, world).run();
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** Steps, and items that calls are given, over the bytes of a pickle. Those that torch.save writes stay below 2. */
const mostWorkPerByte = 8;

class Machine {
  private at = 0;
  private work = 0;
  private stack: PickleValue[] = [];
  /** The stacks below the marks that are open. */
  private readonly outer: PickleValue[][] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly world: PickleWorld,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): { value: PickleValue; length: number } {
    for (;;) {
      const op = this.byte();
      if (op === Op.stop) return { value: this.pop(), length: this.at };
      this.charge(1);
      this.step(op);
    }
  }

  /** A call may be given the same list again and again, so what it is given counts each time. */
  private charge(work: number): void {
    this.work += work;
    if (this.work > 1000 + mostWorkPerByte * this.bytes.length)
      throw new PickleError('it asks for more work than its size can need');
  }

  private step(op: number): void {
    const { stack, view } = this;
    switch (op) {
      case Op.proto: {
        const version = this.byte();
        if (version < 2 || version > 5) throw new PickleError(`it has pickle protocol ${version}`);
        break;
      }
      case Op.frame:
        // Its length says how much to read ahead; all is here already.
        this.take(8);
        break;
      case Op.mark:
        this.outer.push(stack);
        this.stack = [];
        break;
      case Op.pop:
        this.pop();
        break;
      case Op.popMark:
        this.sinceMark();
        break;
      case Op.dup:
        stack.push(this.top());
        break;
      case Op.none:
        stack.push(null);
        break;
      case Op.newTrue:
      case Op.newFalse:
        stack.push(op === Op.newTrue);
        break;
      case Op.binInt:
        stack.push(view.getInt32(this.take(4), true));
        break;
      case Op.binInt1:
        stack.push(this.byte());
        break;
      case Op.binInt2:
        stack.push(view.getUint16(this.take(2), true));
        break;
      case Op.long1:
        stack.push(this.long(this.byte()));
        break;
      case Op.binFloat:
        stack.push(view.getFloat64(this.take(8), false));
        break;
      case Op.shortBinUnicode:
        stack.push(this.text(this.byte()));
        break;
      case Op.binUnicode:
        stack.push(this.text(view.getUint32(this.take(4), true)));
        break;
      case Op.binUnicode8:
        stack.push(this.text(this.safe(view.getBigUint64(this.take(8), true))));
        break;
      case Op.shortBinString:
        stack.push(latin1(this.slice(this.byte())));
        break;
      case Op.binString:
        stack.push(latin1(this.slice(view.getUint32(this.take(4), true))));
        break;
      case Op.shortBinBytes:
        stack.push(latin1(this.slice(this.byte())));
        break;
      case Op.binBytes:
        stack.push(latin1(this.slice(view.getUint32(this.take(4), true))));
        break;
      // A set's items may be anything; nothing here reads them, so a list will do.
      case Op.emptySet:
      case Op.emptyList:
      case Op.emptyTuple:
        stack.push([]);
        break;
      case Op.append:
        this.extend([this.pop()]);
        break;
      case Op.appends:
      case Op.addItems:
        this.extend(this.sinceMark());
        break;
      case Op.tuple1:
      case Op.tuple2:
      case Op.tuple3:
        this.tuple(op - Op.tuple1 + 1);
        break;
      case Op.frozenSet:
      case Op.tuple: {
        const items = this.sinceMark();
        this.stack.push(items);
        break;
      }
      case Op.emptyDict:
        stack.push(new Map());
        break;
      case Op.setItem: {
        const value = this.pop();
        this.assign([this.pop(), value]);
        break;
      }
      case Op.setItems:
        this.assign(this.sinceMark());
        break;
      case Op.global: {
        const module = this.line();
        stack.push(this.global(module, this.line()));
        break;
      }
      case Op.stackGlobal: {
        const name = this.pop();
        const module = this.pop();
        if (typeof name !== 'string' || typeof module !== 'string')
          throw new PickleError('it names a global by no name');
        stack.push(this.global(module, name));
        break;
      }
      case Op.binPersId:
        stack.push(this.world.persistent(this.pop()));
        break;
      case Op.binPut:
        this.memo.set(this.byte(), this.top());
        break;
      case Op.longBinPut:
        this.memo.set(view.getUint32(this.take(4), true), this.top());
        break;
      case Op.memoize:
        this.memo.set(this.memo.size, this.top());
        break;
      case Op.binGet:
        stack.push(this.remembered(this.byte()));
        break;
      case Op.longBinGet:
        stack.push(this.remembered(view.getUint32(this.take(4), true)));
        break;
      case Op.reduce: {
        const args = this.pop();
        const callable = this.pop();
        if (!isCallable(callable) || !Array.isArray(args)) throw new PickleError('it calls what is no function');
        for (const arg of args as readonly PickleValue[])
          this.charge(Array.isArray(arg) ? arg.length : arg instanceof Map ? arg.size : 1);
        stack.push(callable.call(args));
        break;
      }
      case Op.build:
        // The state of an OrderedDict: attributes beside its items, which nothing here reads.
        this.pop();
        if (!(this.top() instanceof Map)) throw new PickleError('it sets attributes of what is no dictionary');
        break;
      default:
        throw new PickleError(`it has the instruction 0x${op.toString(16)}`);
    }
  }

  private global(module: string, name: string): Callable {
    const full = `${module}.${name}`;
    const known = this.world.global(full);
    if (!known) throw new UnknownGlobal(full);
    return known;
  }

  private extend(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new PickleError('it appends to what is no list');
    for (const item of items) list.push(item);
  }

  private assign(items: readonly PickleValue[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2 !== 0) throw new PickleError('it assigns to what is no dictionary');
    for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!);
  }

  private tuple(length: number): void {
    if (this.stack.length < length) throw new PickleError('it takes more from its stack than is there');
    this.stack.push(this.stack.splice(-length));
  }

  private remembered(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) throw new PickleError('it refers to a value that it has not made');
    return value;
  }

  private top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined) throw new PickleError('it takes more from its stack than is there');
    return value;
  }

  private pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private sinceMark(): PickleValue[] {
    const below = this.outer.pop();
    if (!below) throw new PickleError('it closes a mark that it has not set');
    const items = this.stack;
    this.stack = below;
    return items;
  }

  /** Moves past `length` bytes. @returns where they begin */
  private take(length: number): number {
    const start = this.at;
    if (length > this.bytes.length - start) throw new PickleError('it ends in the middle of an instruction');
    this.at += length;
    return start;
  }

  private byte(): number {
    return this.bytes[this.take(1)]!;
  }

  private slice(length: number): Uint8Array {
    const start = this.take(length);
    return this.bytes.subarray(start, start + length);
  }

  private text(length: number): string {
    const bytes = this.slice(length);
    try {
      return utf8.decode(bytes);
    } catch {
      throw new PickleError('it has a text that is not UTF-8');
    }
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw new PickleError('it ends in the middle of an instruction');
    const text = this.text(end - this.at);
    this.at = end + 1;
    return text;
  }

  /** A signed little-endian integer of so many bytes. */
  private long(length: number): number {
    const bytes = this.slice(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return this.safe(BigInt.asIntN(8 * length, value), length > 8);
  }

  /** @param approximate whether a number too large for JavaScript may lose its last digits (the format's magic one) */
  private safe(value: bigint, approximate = false): number {
    const number = Number(value);
    if (!approximate && !Number.isSafeInteger(number)) throw new PickleError('it has a number that is too large');
    return number;
  }
}

function isCallable(value: PickleValue): value is Callable {
  return typeof value === 'object' && value !== null && typeof (value as Partial<Callable>).call === 'function';
}
