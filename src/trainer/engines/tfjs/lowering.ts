/**
 * The lowering of a network to TensorFlow.js, by the rules of rules.ts: its forward pass, differentiable where training
 * needs it, and the layout of its parameters. Written against the API object that it is given, so it runs on any backend.
 * model.ts and backward.ts call.
 *
 * Inside, images are NHWC and convolution weights HWIO, the one layout that every backend has; linear weights stay
 * [out, in], and flatten restores PyTorch's CHW order. Only operations that native TensorFlow also differentiates are
 * used: its gradient kernels refuse explicit padding, so padding is either TensorFlow's own 'same' or a `tf.pad` before.
 */
import type { FusedKernels } from './kernels';
import type { Tensor, Tf } from './api';
import type { Network, Parameter } from '../../../core/networks/network';
import type { TrainingMode } from './rule';
import { ruleOf } from './rules';

export class Lowering {
  /** Constants of the network (pooling weights), by node index. */
  private readonly constants = new Map<number, Tensor>();
  /** Index of the last node that reads each node. */
  private readonly lastUse: Int32Array;
  private readonly parameterAt = new Map<string, number>();
  private readonly bufferAt = new Map<string, number>();

  constructor(
    private readonly tf: Tf,
    private readonly network: Network,
    private readonly kernels?: FusedKernels,
  ) {
    this.lastUse = new Int32Array(network.nodes.length);
    network.nodes.forEach((node, index) => {
      for (const input of node.inputs) this.lastUse[input] = index;
      const from = network.nodes[node.inputs[0] ?? 0]!.shape;
      const constant = ruleOf(node.op).constant?.(tf, node.op, node, from);
      if (constant) this.constants.set(index, constant);
    });
    network.parameters.forEach((p, k) => this.parameterAt.set(p.name, k));
    network.buffers.forEach((b, k) => this.bufferAt.set(b.name, k));
  }

  dispose(): void {
    for (const tensor of this.constants.values()) tensor.dispose();
    this.constants.clear();
  }

  /** A parameter or buffer as the lowering keeps it, from PyTorch's layout. The values are copied. */
  toDevice({ shape }: { readonly shape: readonly number[] }, values: Float32Array): Tensor {
    const { tf, kernels } = this;
    return tf.tidy(() => {
      const tensor = tf.tensor(values.slice(), [...shape], 'float32');
      const inOrder = shape.length === 4 ? tf.transpose(tensor, [2, 3, 1, 0]) : tensor;
      return kernels ? kernels.copy(inOrder) : inOrder;
    });
  }

  /** A copy of a parameter, or of its gradient or moments, in PyTorch's layout. */
  async fromDevice(parameter: Parameter, tensor: Tensor): Promise<Float32Array> {
    const { tf } = this;
    if (parameter.shape.length !== 4) return (await tensor.data<'float32'>()).slice();
    const restored = tf.tidy(() => tf.transpose(tensor, [3, 2, 0, 1]));
    try {
      return (await restored.data<'float32'>()).slice();
    } finally {
      restored.dispose();
    }
  }

  /** Images of `size` examples from PyTorch's layout. Must be called inside a tidy. */
  images(values: Float32Array, size: number): Tensor {
    const { tf } = this;
    const [channels, height, width] = this.network.inputShape;
    if (channels === 1) return tf.tensor4d(values, [size, height, width, 1]);
    return tf.transpose(tf.tensor4d(values, [size, channels, height, width]), [0, 2, 3, 1]);
  }

  /** Index of the first node that is trained: what lies before it needs no tape. */
  get firstTrained(): number {
    return Math.min(...this.network.parameters.filter((p) => !p.frozen).map((p) => p.node));
  }

  /**
   * Logits [size, outputs] of images as {@link images} gives them, which are disposed; see {@link advance}.
   */
  forward(parameters: readonly Tensor[], buffers: readonly Tensor[], images: Tensor, training?: TrainingMode): Tensor {
    return this.advance([images], this.network.nodes.length, parameters, buffers, training).at(-1)!;
  }

  /**
   * Goes on from the outputs of the first nodes to those before `end`. Must be called inside a tidy. Every output is
   * disposed after its last use; what the backward pass needs is kept alive by TensorFlow.js's tape.
   *
   * @param parameters in the order of Network.parameters, in the lowering's layout
   * @param buffers in the order of Network.buffers (read in evaluation mode, and by frozen batch norms)
   * @param training absent in evaluation mode
   */
  advance(
    before: readonly Tensor[],
    end: number,
    parameters: readonly Tensor[],
    buffers: readonly Tensor[],
    training?: TrainingMode,
  ): Tensor[] {
    const { tf, kernels } = this;
    const { nodes } = this.network;
    const outputs = [...before];
    for (let index = outputs.length; index < end; index++) {
      const node = nodes[index]!;
      outputs[index] = ruleOf(node.op).forward(node.op, {
        ...{ tf, kernels, node, training },
        inputs: node.inputs.map((input) => outputs[input]!),
        parameter: (role) => parameters[this.parameterAt.get(`${node.name}.${role}`)!]!,
        buffer: (role) => buffers[this.bufferAt.get(`${node.name}.${role}`)!]!,
        constant: this.constants.get(index),
      });
      for (const input of new Set(node.inputs)) if (this.lastUse[input] === index) outputs[input]!.dispose();
    }
    return outputs;
  }
}
