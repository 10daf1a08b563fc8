/**
 * Adam (Kingma & Ba 2014, in the form of torch.optim.Adam) as one pass over a WebAssembly memory that holds parameters,
 * gradients and both moments, with the norms that the diagnostics need computed on the way. model.ts owns one per model.
 *
 * ONNX Runtime reads parameters from this memory and writes gradients into it without a copy.
 */
import {
  addTo,
  createMemory,
  define,
  f32x4,
  f64,
  i32,
  instantiate,
  pageBytes,
  repeat,
  set,
  v128,
} from '../../assembler';
import type { F32, F64, Local, Statement, V128 } from '../../assembler';
import { AdamOptions } from '../engine';

/** Floats to a SIMD register; every tensor starts at a multiple of it and is padded with zeros. */
const lanes = 4;
/** Floats summed in float32 before the sum goes on in float64: short enough to keep six digits. */
const blockFloats = 1024;
/** Bytes at the start of the memory that hold the three norms the loop returns. */
const headerBytes = 64;

/** Squared L2 norms of one tensor in one step. */
export interface SquaredNorms {
  readonly gradient: number;
  readonly update: number;
  /** Of the parameter before the update. */
  readonly parameter: number;
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
   * @param trained whether a tensor is updated; default: each of them
   * @param measuring whether updates tell norms; they are 0 otherwise
   * @throws RangeError when they need more than the 4 GiB that a WebAssembly memory can have, or than the system gives
   */
  constructor(
    lengths: readonly number[],
    accumulating: boolean,
    private readonly trained: (index: number) => boolean = () => true,
    measuring = true,
  ) {
    const padded = lengths.map((n) => Math.ceil(n / lanes) * lanes);
    const floats = padded.reduce((sum, n) => sum + n, 0);
    const fields: Field[] = ['parameters', 'gradients', 'firstMoment', 'secondMoment'];
    if (accumulating) fields.push('partial');
    const pages = Math.ceil((headerBytes + fields.length * floats * 4) / pageBytes);
    const memory = createMemory(pages, pages);
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
    this.kernel = instantiate<Kernel>({ update: updateKernel(measuring), accumulate }, memory).functions;
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
      if (!this.trained(k)) return { gradient: 0, update: 0, parameter: 0 };
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
      if (!this.trained(k)) return;
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

const blockRegisters = blockFloats / lanes;

/** Updates one tensor, register by register, and stores the sums of squares at the memory's begin. See {@link Kernel}. */
const updateKernel = (measuring: boolean) =>
  define(
    ['i32', 'i32', 'i32', 'i32', 'i32', 'f32', 'f32', 'f32', 'f32', 'f32', 'f32'],
    (scope, parameter, gradient, firstMoment, secondMoment, registers, ...settings) => {
      const prepared: Statement[] = [];
      const everywhere = (setting: F32): V128 => {
        const register = scope.v128();
        prepared.push(set(register, f32x4.splat(setting)));
        return register;
      };
      const [take1, keep2, take2] = [everywhere(settings[0]), everywhere(settings[1]), everywhere(settings[2])];
      const [stepSize, rootScale, eps] = [everywhere(settings[3]), everywhere(settings[4]), everywhere(settings[5])];
      const [p, g, m, v, change] = [scope.v128(), scope.v128(), scope.v128(), scope.v128(), scope.v128()];
      const squares = (measuring ? [g, change, p] : []).map((value) => ({
        value,
        sum: scope.v128(),
        total: scope.f64(),
      }));
      const [blocks, block, counter] = [scope.i32(), scope.i32(), scope.i32()];
      const { add, sub, mul, div, sqrt } = f32x4;
      const inner = [
        ...[set(p, v128.load(parameter)), set(g, v128.load(gradient)), set(m, v128.load(firstMoment))],
        // As PyTorch's lerp.
        ...[set(m, add(m, mul(sub(g, m), take1))), v128.store(firstMoment, m)],
        set(v, add(mul(v128.load(secondMoment), keep2), mul(mul(g, g), take2))),
        v128.store(secondMoment, v),
        set(change, div(mul(m, stepSize), add(mul(sqrt(v), rootScale), eps))),
        v128.store(parameter, sub(p, change)),
        ...squares.map(({ value, sum }) => set(sum, add(sum, mul(value, value)))),
        ...[parameter, gradient, firstMoment, secondMoment].map((pointer) => addTo(pointer, 4 * lanes)),
      ];
      const count = i32.shiftRight(i32.add(registers, i32.of(blockRegisters - 1)), i32.of(Math.log2(blockRegisters)));
      return [
        ...prepared,
        ...squares.map(({ total }) => set(total, f64.zero)),
        repeat(blocks, count, [
          set(block, i32.select(registers, i32.of(blockRegisters), i32.lessThan(registers, i32.of(blockRegisters)))),
          set(registers, i32.sub(registers, block)),
          ...squares.map(({ sum }) => set(sum, f32x4.zero)),
          repeat(counter, block, inner),
          ...squares.map(({ sum, total }) => set(total, f64.add(total, sumOfLanes(sum)))),
        ]),
        ...squares.map(({ total }, i) => f64.store(i32.of(0), total, 8 * i)),
      ];
    },
  );

const accumulate = define(['i32', 'i32', 'i32'], (scope, sum, addend, registers) => [
  repeat(scope.i32(), registers, [
    v128.store(sum, f32x4.add(v128.load(sum), v128.load(addend))),
    ...[sum, addend].map((pointer) => addTo(pointer, 4 * lanes)),
  ]),
]);

function sumOfLanes(register: Local<'v128'>): F64 {
  const [a, b, c, d] = [0, 1, 2, 3].map((lane) => f64.fromF32(f32x4.lane(register, lane))) as [F64, F64, F64, F64];
  return f64.add(a, f64.add(b, f64.add(c, d)));
}
