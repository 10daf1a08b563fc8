/**
 * A trained network as an ONNX model of its own, for other programs: plain operators of ONNX, images as N×C×H×W, any
 * batch, the parameters inside. Nothing of the training graph is in it. weights/export.ts calls.
 */
import { Network, Node, Op, Padding, Tensors } from '../../../core/networks/network';
import type { LossName } from '../engine';
import { Attribute, ConstantSpec, encodeModel, NodeSpec } from './proto';

export interface InferenceModelOptions {
  readonly loss: LossName;
  /** Facts about the model by name, such as its classes and how images are normalised. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Operators are used as opset 17 has them, which every ONNX Runtime since 2022 knows. */
const opset = 17;
const irVersion = 8;

/**
 * @returns the bytes of a model with the input `images` [N, channels, height, width] and two outputs: `logits`
 * [N, outputs], and `probabilities` [N, classes], which for a network with one logit are those of both classes
 */
export function inferenceModel(
  network: Network,
  parameters: Tensors,
  buffers: Tensors,
  { loss, metadata }: InferenceModelOptions,
): Uint8Array {
  return new InferenceGraph(network, parameters, buffers).encode(loss, metadata);
}

class InferenceGraph {
  private readonly nodes: NodeSpec[] = [];
  private readonly constants: ConstantSpec[] = [];

  constructor(
    private readonly network: Network,
    parameters: Tensors,
    buffers: Tensors,
  ) {
    for (const [tensors, list] of [
      [parameters, network.parameters],
      [buffers, network.buffers],
    ] as const) {
      for (const { name, shape } of list) this.constant(name, shape, tensors.get(name)!);
    }
  }

  encode(loss: LossName, metadata: Readonly<Record<string, string>>): Uint8Array {
    const { network } = this;
    const values: string[] = [];
    for (const node of network.nodes) {
      values.push(
        this.lower(
          node,
          node.inputs.map((input) => values[input]!),
        ),
      );
    }
    this.add('Identity', 'logits', [values.at(-1)!], 'logits');
    const classes = loss === 'bce_with_logits' ? 2 : network.outputs;
    if (loss === 'bce_with_logits') {
      const second = this.add('Sigmoid', 'probability', ['logits']);
      const first = this.add('Sub', 'complement', [this.constant('one', [], Float32Array.of(1)), second]);
      this.add('Concat', 'probabilities', [first, second], 'probabilities', { axis: 1 });
    } else {
      this.add('Softmax', 'probabilities', ['logits'], 'probabilities', { axis: 1 });
    }
    const port = (name: string, shape: readonly number[]) =>
      ({ name, type: 'float32', shape: ['batch', ...shape] }) as const;
    return encodeModel({
      name: network.name,
      nodes: this.nodes,
      constants: this.constants,
      inputs: [port('images', network.inputShape)],
      outputs: [port('logits', [network.outputs]), port('probabilities', [classes])],
      opsets: { '': opset },
      irVersion,
      metadata,
    });
  }

  private lower(node: Node, inputs: readonly string[]): string {
    const { name, op } = node;
    const [x] = inputs as [string];
    const own = (...roles: string[]) => roles.map((role) => `${name}.${role}`);
    switch (op.kind) {
      case 'input':
        return 'images';
      case 'conv':
        return this.add('Conv', name, [x, ...own('weight', ...(op.bias ? ['bias'] : []))], undefined, window(op));
      case 'linear':
        return this.add('Gemm', name, [x, ...own('weight', ...(op.bias ? ['bias'] : []))], undefined, { transB: 1 });
      case 'batchNorm': {
        const tensors = own('weight', 'bias', 'running_mean', 'running_var');
        return this.add('BatchNormalization', name, [x, ...tensors], undefined, { epsilon: { float: op.eps } });
      }
      case 'relu':
        return this.add('Relu', name, [x]);
      case 'maxPool':
        return this.add('MaxPool', name, [x], undefined, window(op));
      case 'avgPool':
        return this.add('AveragePool', name, [x], undefined, {
          ...window(op),
          count_include_pad: Number(op.countIncludePad),
        });
      case 'adaptiveAvgPool':
        return this.adaptiveAvgPool(node, op, x);
      case 'dropout':
        return x;
      case 'flatten':
        return this.add('Flatten', name, [x], undefined, { axis: 1 });
      case 'add':
        return this.add('Add', name, inputs);
    }
  }

  /** Plain pooling where the windows tile the image; else the means over rows and columns are two matrix products. */
  private adaptiveAvgPool({ name, inputs }: Node, op: Extract<Op, { kind: 'adaptiveAvgPool' }>, x: string): string {
    const [, height, width] = this.network.nodes[inputs[0]!]!.shape as [number, number, number];
    const [rows, columns] = op.output;
    if (height % rows === 0 && width % columns === 0) {
      const kernel = [height / rows, width / columns];
      return this.add('AveragePool', name, [x], undefined, { kernel_shape: kernel, strides: kernel });
    }
    const left = this.constant(`${name}.rows`, [rows, height], means(height, rows));
    const right = this.constant(`${name}.columns`, [width, columns], transposed(means(width, columns), columns, width));
    return this.add('MatMul', name, [this.add('MatMul', `${name}.by_rows`, [left, x]), right]);
  }

  private add(
    op: string,
    name: string,
    inputs: readonly string[],
    output = `${name}_output`,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    this.nodes.push({ name, op, domain: '', inputs, outputs: [output], attributes });
    return output;
  }

  private constant(name: string, shape: readonly number[], values: Float32Array): string {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.constants.push({ name, type: 'float32', shape, bytes });
    return name;
  }
}

function window({
  kernel,
  stride,
  padding: p,
}: {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: Padding;
}): Record<string, Attribute> {
  return { kernel_shape: [...kernel], strides: [...stride], pads: [p.top, p.left, p.bottom, p.right] };
}

/** [cells, size]: row o averages positions floor(o · size / cells) to ceil((o + 1) · size / cells). */
function means(size: number, cells: number): Float32Array {
  const matrix = new Float32Array(cells * size);
  for (let o = 0; o < cells; o++) {
    const [start, end] = [Math.floor((o * size) / cells), Math.ceil(((o + 1) * size) / cells)];
    matrix.fill(1 / (end - start), o * size + start, o * size + end);
  }
  return matrix;
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(matrix, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
