/**
 * Graphs of native TensorFlow. TensorFlow.js computes operation by operation; here what it computes is written down, and
 * becomes one graph that TensorFlow optimises once and runs in one call, as Python's tf.function does. The N-API binding
 * loads a graph only from a SavedModel, so it goes through a temporary folder. Used by stepGraph.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Attribute, dataTypes, encodeSavedModel, NodeSpec, savedModelTag } from './graphDef';
import { Binding, BindingAttribute, Metadata, NodeBackend, nodeBackend, Values } from './nodeBackend';
import type { Tensor, Tf } from './api';

/** "node:index": a tensor of a graph. */
export type Output = `${string}:${number}`;

const nodeOf = (output: Output): string => output.slice(0, output.lastIndexOf(':'));

/** A graph being written. */
export class GraphWriter {
  private readonly nodes: NodeSpec[] = [];

  /**
   * Adds a node.
   * @param after what must have been computed before, beside the inputs
   * @returns its first output
   */
  add(
    op: string,
    inputs: readonly Output[],
    attributes: Readonly<Record<string, Attribute>>,
    after: readonly Output[] = [],
  ): Output {
    const name = `${op}_${this.nodes.length}`;
    const controls = [...new Set(after.map(nodeOf))].map((node) => `^${node}`);
    this.nodes.push({ name, op, inputs: [...inputs, ...controls], attributes });
    return `${name}:0`;
  }

  /**
   * An input that is given as an array, in which 32-bit floats lie as if they were integers: the binding sends floats to the
   * device, and a session takes its inputs from the processor's memory.
   */
  input(type: number, shape: readonly number[], after?: readonly Output[]): { placeholder: Output; value: Output } {
    const integers = { type: dataTypes.int32 };
    const placeholder = this.add('Placeholder', [], { dtype: integers, shape: { shape } });
    if (type === dataTypes.int32)
      return { placeholder, value: this.add('Identity', [placeholder], { T: integers }, after) };
    if (type !== dataTypes.float) throw new Error(`an input of the graph has type ${type}`);
    return { placeholder, value: this.add('Bitcast', [placeholder], { T: integers, type: { type } }, after) };
  }

  constant(type: number, shape: readonly number[], values: Values, after?: readonly Output[]): Output {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return this.add('Const', [], { dtype: { type }, value: { tensor: { type, shape, bytes } } }, after);
  }

  /** Nodes that read a tensor, in the order in which they were added; each by its first output. */
  readers(output: Output): Output[] {
    return this.nodes.filter(({ inputs }) => inputs.includes(output)).map(({ name }): Output => `${name}:0`);
  }

  /** @throws Error when TensorFlow refuses the graph, or the temporary folder cannot be written */
  load(tf: Tf): LoadedGraph {
    const { binding } = nodeBackend(tf);
    const folder = mkdtempSync(join(tmpdir(), 'convlab-graph-'));
    try {
      writeFileSync(join(folder, 'saved_model.pb'), encodeSavedModel(this.nodes));
      return new LoadedGraph(tf, binding.loadSavedModel(folder, savedModelTag));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** What a graph is given for one of its placeholders: an array, of an input, or a tensor as it is. */
export type Given =
  readonly [placeholder: Output, shape: readonly number[], values: Values] | readonly [placeholder: Output, Tensor];

/** A graph with a session of its own, in which its variables live. */
export class LoadedGraph {
  constructor(
    private readonly tf: Tf,
    private readonly session: number,
  ) {}

  /** Computes outputs, and all that they depend on, and hands on their values. */
  read(given: readonly Given[], outputs: readonly Output[]): Values[] {
    const { binding } = nodeBackend(this.tf);
    return this.run(given, outputs).map(({ id }) => {
      const values = binding.tensorDataSync(id);
      binding.deleteTensor(id);
      return values;
    });
  }

  /** Computes outputs, and all that they depend on, as tensors, which the caller owns. */
  tensors(given: readonly Given[], outputs: readonly Output[]): Tensor[] {
    const { tf } = this;
    const backend = nodeBackend(tf);
    return this.run(given, outputs).map((result) => {
      // A session's results lie in the processor's memory; this puts them where TensorFlow.js computes.
      const attributes = [{ name: 'T', type: backend.binding.TF_ATTR_TYPE, value: result.dtype }];
      const [placed] = backend.binding.executeOp('Identity', attributes, [result.id], 1);
      backend.binding.deleteTensor(result.id);
      return tf.keep(backend.createOutputTensor(placed!));
    });
  }

  private run(given: readonly Given[], outputs: readonly Output[]): Metadata[] {
    const backend = nodeBackend(this.tf);
    const { binding } = backend;
    const made: number[] = [];
    try {
      const ids = given.map(([, tensor, values]) => {
        if (!values) return backend.getInputTensorIds([tensor as Tensor])[0]!;
        const integers = new Int32Array(values.buffer, values.byteOffset, values.byteLength / 4);
        const id = binding.createTensor(tensor as readonly number[], dataTypes.int32, integers);
        made.push(id);
        return id;
      });
      const names = given.map(([placeholder]) => placeholder).join();
      return binding.runSavedModel(this.session, ids, names, outputs.join());
    } finally {
      for (const id of made) binding.deleteTensor(id);
    }
  }

  dispose(): void {
    nodeBackend(this.tf).binding.deleteSavedModel(this.session);
  }
}

/** A placeholder that is fed from an array. */
export interface Feed {
  readonly placeholder: Output;
  readonly shape: readonly number[];
}

/**
 * Writes down what TensorFlow.js computes while it computes it. Arrays that change from one time to the next become
 * placeholders; all others that go into the computation become constants.
 */
export class Recorder {
  /** The tensors that the graph knows, by the binding's numbers. */
  private readonly outputs = new Map<number, Output>();
  private readonly feeds = new Map<Values, Feed>();
  private awaited: readonly Output[] = [];
  private readonly backend: NodeBackend;
  private readonly binding: Binding;

  /**
   * @param known tensors from before that the graph has under names of its own
   * @param changing the arrays that become placeholders, each known by being this very object
   */
  constructor(
    tf: Tf,
    private readonly graph: GraphWriter,
    known: ReadonlyMap<Tensor, Output>,
    private readonly changing: readonly Values[],
  ) {
    this.backend = nodeBackend(tf);
    this.binding = this.backend.binding;
    for (const [tensor, output] of known) this.outputs.set(this.backend.getInputTensorIds([tensor])[0]!, output);
  }

  /** Runs a computation, which must be synchronous, and records it. */
  record<Result>(compute: () => Result): Result {
    const { backend, binding } = this;
    const recording: Pick<Binding, 'createTensor' | 'executeOp'> = {
      createTensor: (shape, dtype, values) => {
        const id = binding.createTensor(shape, dtype, values);
        this.outputs.set(id, this.given(shape, dtype, values as Values));
        return id;
      },
      executeOp: (op, attributes, inputs, count) => {
        const results = binding.executeOp(op, attributes, inputs, count);
        const named = attributes.map((attribute) => [attribute.name, this.attribute(attribute)] as const);
        const first = this.graph.add(
          op,
          inputs.map((id) => this.output(id)),
          Object.fromEntries(named),
        );
        results.forEach(({ id }, index) => this.outputs.set(id, `${nodeOf(first)}:${index}`));
        return results;
      },
    };
    // The binding's own properties cannot be assigned to, not even behind another object.
    const properties = Object.entries(recording).map(([name, value]) => [name, { value }] as const);
    backend.binding = Object.create(binding, Object.fromEntries(properties)) as Binding;
    try {
      return compute();
    } finally {
      backend.binding = binding;
    }
  }

  /** What is fed from here on waits until these have been computed: for passes that must not be in memory together. */
  wait(tensors: readonly Tensor[]): void {
    this.awaited = tensors.map((tensor) => this.outputOf(tensor));
  }

  /** A tensor that was recorded, in the graph. */
  outputOf(tensor: Tensor): Output {
    return this.output(this.backend.getInputTensorIds([tensor])[0]!);
  }

  /** The placeholder of each changing array. @throws Error when one was not used */
  get placeholders(): Feed[] {
    return this.changing.map((values, i) => {
      const feed = this.feeds.get(values);
      if (!feed) throw new Error(`input ${i} of the graph was not used`);
      return feed;
    });
  }

  private output(id: number): Output {
    const known = this.outputs.get(id);
    if (known) return known;
    // A tensor from before the recording, which does not change.
    const [shape] = this.binding.executeOp(
      'Shape',
      [{ name: 'out_type', type: this.binding.TF_ATTR_TYPE, value: dataTypes.int32 }],
      [id],
      1,
    );
    const values = this.binding.tensorDataSync(id);
    const type =
      values instanceof Float32Array ? dataTypes.float : values instanceof Int32Array ? dataTypes.int32 : undefined;
    if (type === undefined) throw new Error('a constant of the graph is neither of floats nor of integers');
    const output = this.graph.constant(type, [...this.binding.tensorDataSync(shape!.id)], values);
    this.binding.deleteTensor(shape!.id);
    this.outputs.set(id, output);
    return output;
  }

  private given(shape: readonly number[], dtype: number, values: Values): Output {
    if (!this.changing.includes(values)) return this.graph.constant(dtype, shape, values);
    const { placeholder, value } = this.graph.input(dtype, shape, this.awaited);
    this.feeds.set(values, { placeholder, shape });
    return value;
  }

  private attribute({ name, type, value }: BindingAttribute): Attribute {
    const { binding } = this;
    switch (type) {
      case binding.TF_ATTR_TYPE:
        return { type: value as number };
      case binding.TF_ATTR_INT:
        return { int: value as number | number[] };
      case binding.TF_ATTR_FLOAT:
        return { float: value as number | number[] };
      case binding.TF_ATTR_BOOL:
        return { bool: value as boolean | boolean[] };
      case binding.TF_ATTR_STRING:
        return { text: value as string };
      case binding.TF_ATTR_SHAPE:
        return { shape: value as number[] };
      default:
        throw new Error(`the attribute ${name} is of an unknown type ${type}`);
    }
  }
}
