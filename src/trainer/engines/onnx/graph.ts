/**
 * Builds an ONNX graph value by value, with the shape of every value known. lowering.ts and the files that it calls write
 * graphs through it; model.ts has runtime.ts give the finished model to ONNX Runtime.
 */
import { elements } from '../../../core/networks/network';
import type { Optimization } from '../engine';
import { peakBytes } from './liveness';
import { Attribute, ConstantSpec, ElementType, elementBytes, encodeModel, NodeSpec, TensorSpec } from './proto';

/** A tensor in the graph. */
export type Value = TensorSpec;

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly type?: ElementType;
  readonly domain?: string;
}

/** A matrix or a stack of matrices on its way into a product. */
export interface Factor {
  readonly value: Value;
  /** Each matrix lies transposed. */
  readonly transposed?: boolean;
  /** The stack's axis lies second: [rows, stack, columns]. */
  readonly rowsFirst?: boolean;
}

/** Operator sets the graphs are written against. */
const opsets = { '': 20, 'com.microsoft': 1, 'com.microsoft.nchwc': 1 } as const;

export class Graph {
  private readonly nodes: NodeSpec[] = [];
  private readonly constants = new Map<string, ConstantSpec>();
  private readonly inputs: Value[] = [];
  private readonly outputs: Value[] = [];
  private counter = 0;
  /** The layer, and the direction, that the nodes added now belong to: the first part of their names. */
  scope = '';
  /** What each reshaped value is a view of. */
  private readonly sources = new Map<Value, Value>();
  /** Of every value that a node gives. */
  private readonly bytes = new Map<string, number>();

  /** @param without optimizations that no operator of this graph may use */
  constructor(
    private readonly name: string,
    private readonly without: readonly Optimization[] = [],
  ) {}

  uses(optimization: Optimization): boolean {
    return !this.without.includes(optimization);
  }

  input(name: string, shape: readonly number[], type: ElementType = 'float32'): Value {
    const value = { name, shape, type };
    this.inputs.push(value);
    return value;
  }

  /** Makes a value an output of the graph; it is fetched by the value's name. */
  output(value: Value): Value {
    if (this.inputs.includes(value)) value = this.node('Identity', [value], value.shape);
    this.outputs.push(value);
    return value;
  }

  /** Adds a node with one output. An undefined input leaves an optional one out. */
  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    shape: readonly number[],
    { attributes = {}, type = 'float32', domain = '' }: NodeOptions = {},
  ): Value {
    return this.nodeOf(op, inputs, [{ shape, type }], attributes, domain)[0]!;
  }

  /** Adds a node with several outputs. */
  nodeOf(
    op: string,
    inputs: readonly (Value | undefined)[],
    outputs: readonly { readonly shape: readonly number[]; readonly type?: ElementType }[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): Value[] {
    const values = outputs.map(({ shape, type = 'float32' }) => ({ name: `${op}_${this.counter++}`, shape, type }));
    this.nodes.push({
      name: `${this.scope}/${values[0]!.name}`,
      op,
      domain,
      attributes,
      inputs: inputs.map((value) => value?.name ?? ''),
      outputs: values.map((value) => value.name),
    });
    for (const { name, type, shape } of values) this.bytes.set(name, elementBytes[type] * elements(shape));
    return values;
  }

  floats(values: Float32Array | readonly number[], shape: readonly number[] = [values.length]): Value {
    return this.constant('float32', new Uint8Array(Float32Array.from(values).buffer), shape);
  }

  integers(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    return this.constant('int64', new Uint8Array(BigInt64Array.from(values, BigInt).buffer), shape);
  }

  scalar(value: number): Value {
    return this.floats([value], []);
  }

  /** Equal constants are stored once. */
  private constant(type: ElementType, bytes: Uint8Array, shape: readonly number[]): Value {
    const key = `${type} ${shape.join('×')} ${Buffer.from(bytes).toString('latin1')}`;
    let found = this.constants.get(key);
    if (!found) {
      found = { name: `constant_${this.constants.size}`, type, shape, bytes };
      this.constants.set(key, found);
    }
    return found;
  }

  /** The same values in another shape. A view of a view is one of what lies behind both. */
  reshape(x: Value, shape: readonly number[]): Value {
    const source = this.sources.get(x) ?? x;
    if (source.shape.join() === shape.join()) return source;
    const view = this.node('Reshape', [source, this.integers(shape)], shape, { type: x.type });
    this.sources.set(view, source);
    return view;
  }

  transpose(x: Value, order: readonly number[]): Value {
    const shape = order.map((axis) => x.shape[axis]!);
    return this.node('Transpose', [x], shape, { attributes: { perm: order }, type: x.type });
  }

  /** x[starts:ends:steps] on the given axes; ends are exclusive, steps positive. */
  slice(
    x: Value,
    axes: readonly number[],
    starts: readonly number[],
    ends: readonly number[],
    steps: readonly number[] = axes.map(() => 1),
  ): Value {
    const shape = [...x.shape];
    axes.forEach((axis, i) => (shape[axis] = Math.ceil((ends[i]! - starts[i]!) / steps[i]!)));
    if (shape.join() === x.shape.join()) return x;
    const [s, e, a, t] = [starts, ends, axes, steps].map((list) => this.integers(list));
    return this.node('Slice', [x, s, e, a, t], shape, { type: x.type });
  }

  /** Adds `begin` and `end` elements of one value to the given axes; negative counts take elements away. */
  pad(x: Value, axes: readonly number[], begin: readonly number[], end: readonly number[], value = 0): Value {
    x = this.slice(
      x,
      axes,
      begin.map((n) => Math.max(-n, 0)),
      axes.map((axis, i) => x.shape[axis]! - Math.max(-end[i]!, 0)),
    );
    if ([...begin, ...end].every((n) => n <= 0)) return x;
    const before = x.shape.map(() => 0);
    const after = x.shape.map(() => 0);
    axes.forEach((axis, i) => {
      before[axis] = Math.max(begin[i]!, 0);
      after[axis] = Math.max(end[i]!, 0);
    });
    const shape = x.shape.map((n, axis) => before[axis]! + n + after[axis]!);
    return this.node('Pad', [x, this.integers([...before, ...after]), this.scalar(value)], shape);
  }

  /** Repeats along axes of length 1. */
  expand(x: Value, shape: readonly number[]): Value {
    if (shape.join() === x.shape.join()) return x;
    return this.node('Expand', [x, this.integers(shape)], shape);
  }

  /** Slices of `x` along an axis, by constant indices. */
  gather(x: Value, indices: readonly number[], axis: number): Value {
    const shape = x.shape.map((n, i) => (i === axis ? indices.length : n));
    const list = this.constant('int32', new Uint8Array(Int32Array.from(indices).buffer), [indices.length]);
    return this.node('Gather', [x, list], shape, { attributes: { axis }, type: x.type });
  }

  /** Element by element with NumPy's broadcasting. */
  binary(op: 'Add' | 'Sub' | 'Mul' | 'Div' | 'Max' | 'Min', a: Value, b: Value): Value {
    const rank = Math.max(a.shape.length, b.shape.length);
    const at = (value: Value, i: number) => value.shape[i - rank + value.shape.length] ?? 1;
    const shape = Array.from({ length: rank }, (_, i) => Math.max(at(a, i), at(b, i)));
    return this.node(op, [a, b], shape);
  }

  add = (a: Value, b: Value): Value => this.binary('Add', a, b);
  sub = (a: Value, b: Value): Value => this.binary('Sub', a, b);
  mul = (a: Value, b: Value): Value => this.binary('Mul', a, b);

  /**
   * Element by element. Of a view it is computed on what lies behind, where ONNX Runtime can fuse it with the operator
   * that gave it; the view is then taken of the result.
   */
  unary(op: string, x: Value, attributes: Readonly<Record<string, Attribute>> = {}): Value {
    const source = this.sources.get(x) ?? x;
    return this.reshape(this.node(op, [source], source.shape, { attributes }), x.shape);
  }

  /** ReduceSum, ReduceMean, ReduceMax … over some axes, which are dropped. */
  reduce(op: string, x: Value, axes: readonly number[]): Value {
    const shape = x.shape.filter((_, axis) => !axes.includes(axis));
    return this.node(op, [x, this.integers(axes)], shape, { attributes: { keepdims: 0 } });
  }

  concat(values: readonly Value[], axis: number): Value {
    if (values.length === 1) return values[0]!;
    const shape = [...values[0]!.shape];
    shape[axis] = values.reduce((sum, value) => sum + value.shape[axis]!, 0);
    return this.node('Concat', values, shape, { attributes: { axis } });
  }

  /** a · b for stacks of matrices, with broadcasting over the outer axes. */
  matmul(a: Value, b: Value): Value {
    const outer = (a.shape.length >= b.shape.length ? a : b).shape.slice(0, -2);
    return this.node('MatMul', [a, b], [...outer, a.shape.at(-2)!, b.shape.at(-1)!]);
  }

  /**
   * a · b for matrices, or for stacks of equally many; either factor may be transposed. A stack whose first two axes are
   * exchanged, [rows, stack, columns], is read as it lies.
   */
  matmulOf(a: Factor, b: Factor): Value {
    if (!this.uses('fused-operators')) return this.matmul(this.upright(a), this.upright(b));
    const [rows, columns] = [sidesOf(a)[0], sidesOf(b)[1]];
    const stack = a.rowsFirst ? a.value.shape.slice(1, -1) : a.value.shape.slice(0, -2);
    const flags = { transA: a.transposed, transB: b.transposed, transBatchA: a.rowsFirst, transBatchB: b.rowsFirst };
    return this.node('FusedMatMul', [a.value, b.value], [...stack, rows, columns], {
      attributes: Object.fromEntries(Object.entries(flags).flatMap(([flag, set]) => (set ? [[flag, 1]] : []))),
      domain: 'com.microsoft',
    });
  }

  /** A factor as a plain stack of matrices. */
  private upright({ value, transposed, rowsFirst }: Factor): Value {
    if (!transposed && !rowsFirst) return value;
    const axes = value.shape.map((_, axis) => axis);
    const [rows] = rowsFirst ? axes.splice(0, 1) : axes.splice(-2, 1);
    const columns = axes.pop()!;
    return this.transpose(value, transposed ? [...axes, columns, rows!] : [...axes, rows!, columns]);
  }

  /** a · b (+ c) for matrices, either of them transposed first. */
  gemm(a: Value, b: Value, options: { transA?: boolean; transB?: boolean; bias?: Value } = {}): Value {
    const { transA = false, transB = false, bias } = options;
    const shape = [a.shape[transA ? 1 : 0]!, b.shape[transB ? 0 : 1]!];
    const attributes = { transA: Number(transA), transB: Number(transB) };
    return this.node('Gemm', bias ? [a, b, bias] : [a, b], shape, { attributes });
  }

  /** The finished model as ONNX bytes, without the nodes that no output needs. */
  encode(): Uint8Array {
    const { name, inputs, outputs } = this;
    const nodes = this.computed();
    const needed = new Set(nodes.flatMap((spec) => spec.inputs));
    const constants = [...this.constants.values()].filter((constant) => needed.has(constant.name));
    // ONNX Runtime starts from the nodes whose results no other takes, the last one first, and computes what each needs
    // just before it, the last one first again. Written backwards, everything is computed in the order in which it was
    // added, and what only one gradient needs no earlier than that gradient.
    return encodeModel({ name, nodes: nodes.toReversed(), inputs, outputs, constants, opsets });
  }

  /** Bytes that the values between inputs and outputs take at once; what an operator takes for itself is not among them. */
  peakBytes(): number {
    return peakBytes(this.computed(), this.bytes, new Set(this.outputs.map((value) => value.name)));
  }

  /** The nodes that the outputs need, in the order in which they are computed. */
  private computed(): NodeSpec[] {
    const plain = neededNodes(this.nodes, this.outputs);
    return this.uses('fused-operators') ? neededNodes(fused(plain, this.outputs), this.outputs) : plain;
  }
}

/** Rows and columns of the matrices that a factor stands for. */
function sidesOf({ value, transposed = false, rowsFirst = false }: Factor): [number, number] {
  const [rows, columns] = [value.shape.at(rowsFirst ? 0 : -2)!, value.shape.at(-1)!];
  return transposed ? [columns, rows] : [rows, columns];
}

/** [batch, …] to […, batch]. */
export function batchInnermost(graph: Graph, x: Value): Value {
  const [n, ...rest] = x.shape as [number, ...number[]];
  return graph.reshape(graph.transpose(graph.reshape(x, [n, elements(rest)]), [1, 0]), [...rest, n]);
}

/** A channel or feature in each row. */
export function rowsOf(graph: Graph, x: Value): Value {
  return graph.reshape(x, [x.shape[0]!, elements(x.shape.slice(1))]);
}

function neededNodes(nodes: readonly NodeSpec[], outputs: readonly Value[]): NodeSpec[] {
  const needed = new Set(outputs.map((value) => value.name));
  return nodes
    .toReversed()
    .filter((spec) => {
      if (!spec.outputs.some((output) => needed.has(output))) return false;
      spec.inputs.forEach((input) => needed.add(input));
      return true;
    })
    .reverse();
}

/**
 * Lets convolutions and matrix products take a following sum and ReLU along, where nothing else wants what lies between.
 * ONNX Runtime's own optimizer would do so too, but the order of the nodes, and with it the memory, would then be its own.
 */
function fused(nodes: readonly NodeSpec[], outputs: readonly Value[]): NodeSpec[] {
  const uses = new Map<string, number>();
  for (const name of [...nodes.flatMap((spec) => spec.inputs), ...outputs.map((value) => value.name)]) {
    uses.set(name, (uses.get(name) ?? 0) + 1);
  }
  const makers = new Map<string, NodeSpec>();
  return nodes.map((spec) => {
    const maker = makers.get(spec.inputs[0]!);
    let result = spec;
    if (spec.op === 'Relu' && maker && uses.get(spec.inputs[0]!) === 1 && !('activation' in maker.attributes)) {
      const { name, outputs } = spec;
      const attributes = { ...maker.attributes, activation: 'Relu' };
      const domain = 'com.microsoft';
      if (maker.op === 'Conv' || maker.op === 'FusedConv') {
        result = { ...maker, name, outputs, op: 'FusedConv', domain, attributes };
      } else if (maker.op === 'Gemm') {
        result = { ...maker, name, outputs, op: 'FusedGemm', domain, attributes };
      }
    }
    for (const output of result.outputs) makers.set(output, result);
    return result;
  });
}
