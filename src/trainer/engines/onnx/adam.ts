/**
 * Adam (Kingma & Ba 2014, in the form of torch.optim.Adam) as one pass over a WebAssembly memory that holds parameters,
 * gradients and both moments, with the norms that the diagnostics need computed on the way. model.ts owns one per model.
 * The module is assembled here, byte by byte: a loop of SIMD instructions needs no toolchain.
 *
 * ONNX Runtime reads parameters from this memory and writes gradients into it without a copy.
 */
import { AdamOptions } from '../engine';

/** Floats to a SIMD register; every tensor starts at a multiple of it and is padded with zeros. */
const lanes = 4;
/** Floats summed in float32 before the sum goes on in float64: short enough to keep six digits. */
const blockFloats = 1024;
const pageBytes = 65536;
/** Bytes at the start of the memory that hold the three norms the loop returns. */
const headerBytes = 64;

/** Squared L2 norms of one tensor in one step. */
export interface SquaredNorms {
  readonly gradient: number;
  readonly update: number;
  /** Of the parameter before the update. */
  readonly parameter: number;
}

/** The part of WebAssembly's API used here; TypeScript knows it only together with the DOM. */
const wasm = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;

interface WebAssemblyApi {
  Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: object };
}

type Field = 'parameters' | 'gradients' | 'firstMoment' | 'secondMoment' | 'partial';

/** The optimiser's memory, which the parameters live in. */
export class AdamMemory {
  /** One view per tensor and field. They stay valid until the memory is collected: it never grows. */
  readonly parameters: Float32Array[];
  readonly gradients: Float32Array[];
  readonly firstMoment: Float32Array[];
  readonly secondMoment: Float32Array[];
  /** Gradients of one pass, to be added to those before; only where a step takes several passes. */
  readonly partial: Float32Array[];
  private readonly norms: Float64Array;
  private readonly kernel: Kernel;

  /**
   * @param lengths of the tensors
   * @param accumulating whether a step takes several passes
   * @throws RangeError when they need more than the 4 GiB that a WebAssembly memory can have, or than the system gives
   */
  constructor(lengths: readonly number[], accumulating: boolean) {
    const padded = lengths.map((n) => Math.ceil(n / lanes) * lanes);
    const floats = padded.reduce((sum, n) => sum + n, 0);
    const fields: Field[] = ['parameters', 'gradients', 'firstMoment', 'secondMoment'];
    if (accumulating) fields.push('partial');
    const pages = Math.ceil((headerBytes + fields.length * floats * 4) / pageBytes);
    const memory = new wasm.Memory({ initial: pages, maximum: pages });
    let at = headerBytes;
    const views = (field: Field): Float32Array[] => {
      if (!fields.includes(field)) return [];
      return lengths.map((length, k) => {
        const view = new Float32Array(memory.buffer, at, length);
        at += padded[k]! * 4;
        return view;
      });
    };
    this.parameters = views('parameters');
    this.gradients = views('gradients');
    this.firstMoment = views('firstMoment');
    this.secondMoment = views('secondMoment');
    this.partial = views('partial');
    this.norms = new Float64Array(memory.buffer, 0, 3);
    this.kernel = new wasm.Instance(compiledKernel(), { env: { memory } }).exports as unknown as Kernel;
  }

  /**
   * Updates every parameter from its gradient.
   * @param step number of this update, from 1
   */
  update(options: AdamOptions, step: number, learningRate: number): SquaredNorms[] {
    const { beta1, beta2 } = options;
    const stepSize = learningRate / (1 - beta1 ** step);
    const rootScale = 1 / Math.sqrt(1 - beta2 ** step);
    const eps = options.epsilonHat ? options.eps * rootScale : options.eps;
    return this.parameters.map((parameter, k) => {
      this.kernel.update(
        parameter.byteOffset,
        this.gradients[k]!.byteOffset,
        this.firstMoment[k]!.byteOffset,
        this.secondMoment[k]!.byteOffset,
        Math.ceil(parameter.length / lanes),
        1 - beta1,
        beta2,
        1 - beta2,
        stepSize,
        rootScale,
        eps,
      );
      return { gradient: this.norms[0]!, update: this.norms[1]!, parameter: this.norms[2]! };
    });
  }

  /** Adds the gradients of a further pass. */
  accumulate(): void {
    this.partial.forEach((partial, k) => {
      this.kernel.accumulate(this.gradients[k]!.byteOffset, partial.byteOffset, Math.ceil(partial.length / lanes));
    });
  }
}

interface Kernel {
  update(
    parameter: number,
    gradient: number,
    firstMoment: number,
    secondMoment: number,
    registers: number,
    take1: number,
    keep2: number,
    take2: number,
    stepSize: number,
    rootScale: number,
    eps: number,
  ): void;
  accumulate(sum: number, addend: number, registers: number): void;
}

let compiled: object | undefined;

function compiledKernel(): object {
  compiled ??= new wasm.Module(Uint8Array.from(moduleBytes()));
  return compiled;
}

type Code = readonly number[];

/** Unsigned LEB128. Signed constants below stay under 64 (one byte), or go through {@link signed}. */
function unsigned(value: number): Code {
  const bytes: number[] = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return bytes;
}

function signed(value: number): Code {
  const bytes: number[] = [];
  for (;;) {
    const byte = value & 0x7f;
    value >>= 7;
    if ((value === 0 && !(byte & 0x40)) || (value === -1 && byte & 0x40)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

const type = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;

const get = (local: number): Code => [0x20, ...unsigned(local)];
const set = (local: number): Code => [0x21, ...unsigned(local)];
const i32 = (value: number): Code => [0x41, ...signed(value)];
const i32Add: Code = [0x6a];
const i32Sub: Code = [0x6b];
const i32LessUnsigned: Code = [0x49];
const select: Code = [0x1b];
const simd = (opcode: number): Code => [0xfd, ...unsigned(opcode)];
/** Aligned to 16 bytes (2^4), offset 0. */
const load: Code = [...simd(0x00), 4, 0];
const store: Code = [...simd(0x0b), 4, 0];
const splat = simd(0x13);
const [add, sub, mul, div, sqrt] = [0xe4, 0xe5, 0xe6, 0xe7, 0xe3].map(simd) as [Code, Code, Code, Code, Code];
const zero: Code = [...simd(0x0c), ...new Array<number>(16).fill(0)];
const f64Zero: Code = [0x44, ...new Array<number>(8).fill(0)];
const f64Add: Code = [0xa0];
const f64FromF32: Code = [0xbb];
const f64Store = (address: number): Code => [0x39, 3, ...unsigned(address)];
const lane = (index: number): Code => [...simd(0x1f), index];
/** Runs while the i32 that `condition` leaves is not 0. */
const loopWhile = (condition: Code, body: Code): Code => [
  ...[0x02, 0x40, 0x03, 0x40], // block, loop
  ...condition,
  ...[0x45, 0x0d, 1], // i32.eqz, br_if block
  ...body,
  ...[0x0c, 0, 0x0b, 0x0b], // br loop, end, end
];
const advance = (local: number, by: number): Code => [...get(local), ...i32(by), ...i32Add, ...set(local)];

/** The sum of a register's four lanes, as f64. */
const horizontal = (local: number): Code => [
  ...[0, 1, 2, 3].flatMap((index) => [...get(local), ...lane(index), ...f64FromF32]),
  ...[...f64Add, ...f64Add, ...f64Add],
];

function updateBody(): { locals: Code; code: Code } {
  const [p, g, m, v, left, take1, keep2, take2, stepSize, rootScale, eps] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  // v128 locals: the settings in every lane, the values at hand, and the sums of the block.
  const [vTake1, vKeep2, vTake2, vStep, vRoot, vEps] = [11, 12, 13, 14, 15, 16];
  const [pp, gg, mm, vv, change, sumG, sumU, sumP] = [17, 18, 19, 20, 21, 22, 23, 24];
  const [block, totalG, totalU, totalP] = [25, 26, 27, 28];
  const spread = (from: number, to: number): Code => [...get(from), ...splat, ...set(to)];
  const addSquare = (sum: number, value: number): Code => [
    ...[...get(sum), ...get(value), ...get(value), ...mul, ...add, ...set(sum)],
  ];
  const addTotal = (total: number, sum: number): Code => [
    ...[...get(total), ...horizontal(sum), ...f64Add, ...set(total)],
  ];
  const inner: Code = [
    ...[...get(p), ...load, ...set(pp), ...get(g), ...load, ...set(gg)],
    // m += (g - m) (1 - beta1), as PyTorch's lerp.
    ...[...get(m), ...get(m), ...load, ...set(mm), ...get(mm)],
    ...[...get(gg), ...get(mm), ...sub, ...get(vTake1), ...mul, ...add, ...set(mm), ...get(mm), ...store],
    // v = v beta2 + g g (1 - beta2)
    ...[...get(v), ...get(v), ...load, ...get(vKeep2), ...mul],
    ...[...get(gg), ...get(gg), ...mul, ...get(vTake2), ...mul, ...add, ...set(vv), ...get(vv), ...store],
    // change = stepSize m / (sqrt(v) rootScale + eps)
    ...[...get(mm), ...get(vStep), ...mul],
    ...[...get(vv), ...sqrt, ...get(vRoot), ...mul, ...get(vEps), ...add, ...div, ...set(change)],
    ...[...get(p), ...get(pp), ...get(change), ...sub, ...store],
    ...[...addSquare(sumG, gg), ...addSquare(sumU, change), ...addSquare(sumP, pp)],
    ...[p, g, m, v].flatMap((pointer) => advance(pointer, 16)),
    ...advance(block, -1),
  ];
  const code: Code = [
    ...spread(take1, vTake1),
    ...spread(keep2, vKeep2),
    ...spread(take2, vTake2),
    ...spread(stepSize, vStep),
    ...spread(rootScale, vRoot),
    ...spread(eps, vEps),
    ...[totalG, totalU, totalP].flatMap((total) => [...f64Zero, ...set(total)]),
    ...loopWhile(get(left), [
      // block = min(left, registers to a block)
      ...[...get(left), ...i32(blockFloats / lanes)],
      ...[...get(left), ...i32(blockFloats / lanes), ...i32LessUnsigned, ...select, ...set(block)],
      ...[...get(left), ...get(block), ...i32Sub, ...set(left)],
      ...[sumG, sumU, sumP].flatMap((sum) => [...zero, ...set(sum)]),
      ...loopWhile(get(block), inner),
      ...[...addTotal(totalG, sumG), ...addTotal(totalU, sumU), ...addTotal(totalP, sumP)],
    ]),
    ...[totalG, totalU, totalP].flatMap((total, i) => [...i32(0), ...get(total), ...f64Store(8 * i)]),
  ];
  return { locals: [3, 14, type.v128, 1, type.i32, 3, type.f64], code };
}

function accumulateBody(): { locals: Code; code: Code } {
  const [sum, addend, left] = [0, 1, 2];
  const code = loopWhile(get(left), [
    ...[...get(sum), ...get(sum), ...load, ...get(addend), ...load, ...add, ...store],
    ...[sum, addend].flatMap((pointer) => advance(pointer, 16)),
    ...advance(left, -1),
  ]);
  return { locals: [0], code };
}

function moduleBytes(): Code {
  const sized = (content: Code): Code => [...unsigned(content.length), ...content];
  const section = (id: number, content: Code): Code => [id, ...sized(content)];
  const name = (value: string): Code => sized([...Buffer.from(value)]);
  const i32s = (n: number) => new Array<number>(n).fill(type.i32);
  const f32s = (n: number) => new Array<number>(n).fill(type.f32);
  const functions = [
    { name: 'update', parameters: [...i32s(5), ...f32s(6)], ...updateBody() },
    { name: 'accumulate', parameters: i32s(3), ...accumulateBody() },
  ];
  const list = (items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()];
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(functions.map((f) => [0x60, ...sized(f.parameters), 0]))),
    // The memory is imported, without a maximum, so any will do.
    ...section(2, list([[...name('env'), ...name('memory'), 0x02, 0x00, 0]])),
    ...section(3, list(functions.map((_, i) => [i]))),
    ...section(7, list(functions.map((f, i) => [...name(f.name), 0x00, i]))),
    ...section(10, list(functions.map((f) => sized([...f.locals, ...f.code, 0x0b])))),
  ];
}
