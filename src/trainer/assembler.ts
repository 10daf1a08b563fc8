/**
 * A small assembler for WebAssembly with 128-bit SIMD: expressions are built as typed values, functions as lists of
 * statements, and the module's bytes are made at run time, so that a handful of inner loops needs no toolchain. The
 * kernels for images (data/kernels.ts) and Adam's (engines/onnx/adam.ts) are written with it. Opcodes: WebAssembly core specification 2.0, chapter 5.
 */

export type Type = 'i32' | 'f32' | 'f64' | 'v128';
type Code = readonly number[];

/** A value on its way to the stack. */
export interface Expression<T extends Type = Type> {
  readonly type: T;
  readonly code: Code;
}
export type I32 = Expression<'i32'>;
export type F32 = Expression<'f32'>;
export type F64 = Expression<'f64'>;
export type V128 = Expression<'v128'>;

/** A parameter or variable of a function; as an expression, its value. */
export interface Local<T extends Type = Type> extends Expression<T> {
  readonly index: number;
}

/** Code that leaves nothing on the stack. */
export type Statement = { readonly code: Code };

const typeCode: Record<Type, number> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b };

/** Unsigned LEB128. */
function unsigned(value: number): Code {
  const bytes: number[] = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return bytes;
}

/** Signed LEB128. */
function signed(value: number): Code {
  const bytes: number[] = [];
  for (;;) {
    const byte = value & 0x7f;
    value >>= 7;
    if ((value === 0 && !(byte & 0x40)) || (value === -1 && byte & 0x40)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

const simd = (opcode: number): Code => [0xfd, ...unsigned(opcode)];
const operation =
  <T extends Type>(type: T, opcode: Code) =>
  (...operands: readonly Expression[]): Expression<T> => ({
    type,
    code: [...operands.flatMap((operand) => operand.code), ...opcode],
  });
const unary = <A extends Type, T extends Type>(type: T, ...opcode: number[]) =>
  operation(type, opcode) as (a: Expression<A>) => Expression<T>;
const binary = <A extends Type, T extends Type = A>(type: T, ...opcode: number[]) =>
  operation(type, opcode) as (a: Expression<A>, b: Expression<A>) => Expression<T>;
/** Addresses may have any alignment: what is read or written need not lie at a multiple of its size. */
const load = <T extends Type>(type: T, ...opcode: number[]) => {
  return (address: I32, offset = 0): Expression<T> => ({
    type,
    code: [...address.code, ...opcode, 0, ...unsigned(offset)],
  });
};
const store = <T extends Type>(...opcode: number[]) => {
  return (address: I32, value: Expression<T>, offset = 0): Statement => ({
    code: [...address.code, ...value.code, ...opcode, 0, ...unsigned(offset)],
  });
};

export const i32 = {
  of: (value: number): I32 => ({ type: 'i32', code: [0x41, ...signed(value)] }),
  load: load('i32', 0x28),
  add: binary<'i32'>('i32', 0x6a),
  sub: binary<'i32'>('i32', 0x6b),
  mul: binary<'i32'>('i32', 0x6c),
  /** By so many bits, filling up with zeros. */
  shiftRight: binary<'i32'>('i32', 0x76),
  /** Signed comparisons: 1 or 0. */
  lessThan: binary<'i32'>('i32', 0x48),
  atLeast: binary<'i32'>('i32', 0x4e),
  /** The whole part, towards zero; saturates. */
  fromF32: unary<'f32', 'i32'>('i32', 0xfc, 0x00),
  select: operation('i32', [0x1b]) as (ifTrue: I32, ifFalse: I32, condition: I32) => I32,
};

export const f32 = {
  of: (value: number): F32 => ({ type: 'f32', code: [0x43, ...new Uint8Array(Float32Array.of(value).buffer)] }),
  load: load('f32', 0x2a),
  store: store<'f32'>(0x38),
  add: binary<'f32'>('f32', 0x92),
  sub: binary<'f32'>('f32', 0x93),
  mul: binary<'f32'>('f32', 0x94),
  floor: unary<'f32', 'f32'>('f32', 0x8e),
  abs: unary<'f32', 'f32'>('f32', 0x8b),
  min: binary<'f32'>('f32', 0x96),
  max: binary<'f32'>('f32', 0x97),
  lessThan: binary<'f32', 'i32'>('i32', 0x5d),
  greaterThan: binary<'f32', 'i32'>('i32', 0x5e),
  atLeast: binary<'f32', 'i32'>('i32', 0x60),
  fromI32: unary<'i32', 'f32'>('f32', 0xb2),
  select: operation('f32', [0x1b]) as (ifTrue: F32, ifFalse: F32, condition: I32) => F32,
};

export const f64 = {
  zero: { type: 'f64', code: [0x44, ...new Array<number>(8).fill(0)] } as F64,
  store: store<'f64'>(0x39),
  add: binary<'f64'>('f64', 0xa0),
  fromF32: unary<'f32', 'f64'>('f64', 0xbb),
};

export const v128 = {
  load: load('v128', ...simd(0x00)),
  store: store<'v128'>(...simd(0x0b)),
  and: binary<'v128'>('v128', ...simd(0x4e)),
  or: binary<'v128'>('v128', ...simd(0x50)),
  /** Bits of `a` where the mask is 1, else of `b`. */
  select: operation('v128', simd(0x52)) as (a: V128, b: V128, mask: V128) => V128,
  /** Bytes 0–15 of `a`, 16–31 of `b`. */
  shuffle: (a: V128, b: V128, bytes: readonly number[]): V128 =>
    ({ type: 'v128', code: [...a.code, ...b.code, ...simd(0x0d), ...bytes] }) as const,
  splatI32: unary<'i32', 'v128'>('v128', ...simd(0x11)),
  i16x8: {
    extendLowU8: unary<'v128', 'v128'>('v128', ...simd(0x89)),
    extendHighU8: unary<'v128', 'v128'>('v128', ...simd(0x8a)),
  },
  i32x4: {
    extendLowU16: unary<'v128', 'v128'>('v128', ...simd(0xa9)),
    extendHighU16: unary<'v128', 'v128'>('v128', ...simd(0xaa)),
  },
};

/** Four floats. */
export const f32x4 = {
  of: (value: number): V128 => f32x4.splat(f32.of(value)),
  zero: { type: 'v128', code: [...simd(0x0c), ...new Array<number>(16).fill(0)] } as V128,
  splat: unary<'f32', 'v128'>('v128', ...simd(0x13)),
  /** One float from memory, four times. */
  loadSplat: load('v128', ...simd(0x09)),
  lane: (vector: V128, lane: number): F32 => ({ type: 'f32', code: [...vector.code, ...simd(0x1f), lane] }),
  add: binary<'v128'>('v128', ...simd(0xe4)),
  sub: binary<'v128'>('v128', ...simd(0xe5)),
  mul: binary<'v128'>('v128', ...simd(0xe6)),
  div: binary<'v128'>('v128', ...simd(0xe7)),
  min: binary<'v128'>('v128', ...simd(0xe8)),
  max: binary<'v128'>('v128', ...simd(0xe9)),
  sqrt: unary<'v128', 'v128'>('v128', ...simd(0xe3)),
  floor: unary<'v128', 'v128'>('v128', ...simd(0x68)),
  /** To the nearest whole number, halves to even. */
  nearest: unary<'v128', 'v128'>('v128', ...simd(0x6a)),
  /** Comparisons: all bits of a lane, or none. */
  equal: binary<'v128'>('v128', ...simd(0x41)),
  atLeast: binary<'v128'>('v128', ...simd(0x46)),
  fromI32: unary<'v128', 'v128'>('v128', ...simd(0xfa)),
};

export const set = <T extends Type>(local: Local<T>, value: Expression<T>): Statement => ({
  code: [...value.code, 0x21, ...unsigned(local.index)],
});
export const addTo = (local: Local<'i32'>, amount: number | I32): Statement =>
  set(local, i32.add(local, typeof amount === 'number' ? i32.of(amount) : amount));

const codeOf = (statements: readonly Statement[]): Code => statements.flatMap((s) => s.code);

export const when = (condition: I32, then: readonly Statement[], otherwise: readonly Statement[] = []): Statement => ({
  code: [
    ...condition.code,
    0x04,
    0x40,
    ...codeOf(then),
    ...(otherwise.length ? [0x05, ...codeOf(otherwise)] : []),
    0x0b,
  ],
});

/** Runs the body `count` times, counting the local down to 0; not at all where it is 0 or negative. */
export const repeat = (counter: Local<'i32'>, count: I32, body: readonly Statement[]): Statement => ({
  code: [
    ...set(counter, count).code,
    ...[0x02, 0x40], // block
    ...[...i32.lessThan(counter, i32.of(1)).code, 0x0d, 0], // br_if: leave
    ...[0x03, 0x40], // loop
    ...codeOf(body),
    // counter - 1, kept (local.tee) and, unless it is 0, once more from the top.
    ...[...i32.sub(counter, i32.of(1)).code, 0x22, ...unsigned(counter.index), 0x0d, 0],
    ...[0x0b, 0x0b],
  ],
});

/** A function under construction: its parameters, and the variables that its body asks for. */
export interface Scope {
  i32(): Local<'i32'>;
  f32(): Local<'f32'>;
  f64(): Local<'f64'>;
  v128(): Local<'v128'>;
}

export interface Definition {
  readonly parameters: readonly Type[];
  readonly result?: Type;
  /** Statements, then the result if there is one. */
  readonly body: (scope: Scope, ...parameters: never[]) => readonly (Statement | Expression)[];
}

type Locals<P extends readonly Type[]> = { [K in keyof P]: Local<P[K]> };

/** Defines a function; its body receives the parameters as locals. */
export function define<const P extends readonly Type[]>(
  parameters: P,
  body: (scope: Scope, ...locals: Locals<P>) => readonly (Statement | Expression)[],
  result?: Type,
): Definition {
  return { parameters, result, body: body as Definition['body'] };
}

/** The part of WebAssembly's API used here; TypeScript knows it only together with the DOM. */
const wasm = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  /** @returns the pages before; `buffer` is another one afterwards */
  grow(pages: number): number;
}

interface WebAssemblyApi {
  Memory: new (size: { initial: number; maximum?: number }) => WasmMemory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: object };
}

export const pageBytes = 65536;

/** @throws RangeError where that is more than the 4 GiB that a memory can have, or than the system gives */
export const createMemory = (pages: number, maximum?: number): WasmMemory =>
  new wasm.Memory(maximum === undefined ? { initial: pages } : { initial: pages, maximum });

/** Functions at work on a memory, by default one of their own. */
export function instantiate<F>(
  definitions: Readonly<Record<string, Definition>>,
  memory = createMemory(1),
): { memory: WasmMemory; functions: F } {
  const instance = new wasm.Instance(new wasm.Module(Uint8Array.from(moduleBytes(definitions))), { env: { memory } });
  return { memory, functions: instance.exports as F };
}

function moduleBytes(definitions: Readonly<Record<string, Definition>>): Code {
  const sized = (content: Code): Code => [...unsigned(content.length), ...content];
  const section = (id: number, content: Code): Code => [id, ...sized(content)];
  const name = (value: string): Code => sized([...Buffer.from(value)]);
  const list = (items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()];
  const functions = Object.entries(definitions);
  const types = functions.map(([, { parameters, result }]) => [
    0x60,
    ...sized(parameters.map((type) => typeCode[type])),
    ...sized(result ? [typeCode[result]] : []),
  ]);
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(types)),
    // The memory is imported, without a maximum, so any will do.
    ...section(2, list([[...name('env'), ...name('memory'), 0x02, 0x00, 0]])),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(7, list(functions.map(([key], i) => [...name(key), 0x00, ...unsigned(i)]))),
    ...section(10, list(functions.map(([, definition]) => sized(functionBody(definition))))),
  ];
}

function functionBody({ parameters, body }: Definition): Code {
  const types: Type[] = [...parameters];
  const local = <T extends Type>(type: T, index: number): Local<T> => ({
    type,
    index,
    code: [0x20, ...unsigned(index)],
  });
  const fresh = <T extends Type>(type: T): Local<T> => local(type, types.push(type) - 1);
  const scope: Scope = {
    i32: () => fresh('i32'),
    f32: () => fresh('f32'),
    f64: () => fresh('f64'),
    v128: () => fresh('v128'),
  };
  const code = body(scope, ...(parameters.map(local) as never[])).flatMap((part) => part.code);
  const variables = types.slice(parameters.length);
  return [...unsigned(variables.length), ...variables.flatMap((type) => [1, typeCode[type]]), ...code, 0x0b];
}
