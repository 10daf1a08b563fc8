/**
 * The lowering of a network to TensorFlow.js: its forward pass, differentiable where training needs it, and the layout of
 * its parameters. Written against the API object that it is given, so it runs on any backend. Used by model.ts and backward.ts.
 *
 * Inside, images are NHWC and convolution weights HWIO, the one layout that every backend has; linear weights stay
 * [out, in], and flatten restores PyTorch's CHW order. Only operations that native TensorFlow also differentiates are
 * used: its gradient kernels refuse explicit padding, so padding is either TensorFlow's own 'same' or a `tf.pad` before.
 */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { FusedKernels } from './kernels';
import type { Tensor, Tf } from './api';
import { Network, Node, Op, Padding, Parameter } from '../../../core/networks/network';

type Tensor4D = tfjs.Tensor4D;
type OpOf<Kind extends Op['kind']> = Extract<Op, { kind: Kind }>;

/** What a pass in training mode leaves behind; the caller owns the tensors. */
export interface TrainingRecord {
  /** size × outputs. */
  readonly logits: Tensor[];
  /** Per relu node, [channels]: the largest output over examples and positions. */
  readonly reluMaxima: Tensor[];
  /** Per batch norm node: mean and biased variance of the pass, [channels], and values per channel. */
  readonly statistics: { readonly mean: Tensor; readonly variance: Tensor; readonly count: number }[];
}

export interface TrainingMode {
  /** Mask of a dropout node for the pass, in PyTorch's layout. */
  readonly mask: (op: OpOf<'dropout'>) => Float32Array;
  readonly record: TrainingRecord;
  /** Takes a tensor out of every tidy, for the record. */
  readonly keep: <Kept extends Tensor>(tensor: Kept) => Kept;
}

/** Max pooling's padding. Infinity would do on a CPU, but shader languages have no literal for it. */
const lowest = -3.4028234663852886e38;

export class Program {
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
      const constant = this.constant(node);
      if (constant) this.constants.set(index, constant);
    });
    network.parameters.forEach((p, k) => this.parameterAt.set(p.name, k));
    network.buffers.forEach((b, k) => this.bufferAt.set(b.name, k));
  }

  dispose(): void {
    for (const tensor of this.constants.values()) tensor.dispose();
    this.constants.clear();
  }

  /** A parameter or buffer as the program keeps it, from PyTorch's layout. The values are copied. */
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
   * @param parameters in the order of Network.parameters, in the program's layout
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
    const { nodes } = this.network;
    const outputs = [...before];
    for (let index = outputs.length; index < end; index++) {
      const node = nodes[index]!;
      outputs[index] = this.node(
        node,
        index,
        node.inputs.map((input) => outputs[input]!),
        { parameter: (role) => parameters[this.parameterAt.get(`${node.name}.${role}`)!]!, buffers, training },
      );
      for (const input of new Set(node.inputs)) if (this.lastUse[input] === index) outputs[input]!.dispose();
    }
    return outputs;
  }

  private node(
    node: Node,
    index: number,
    [x, y]: Tensor[],
    context: {
      readonly parameter: (role: 'weight' | 'bias') => Tensor;
      readonly buffers: readonly Tensor[];
      readonly training: TrainingMode | undefined;
    },
  ): Tensor {
    const { tf } = this;
    const { op } = node;
    const { parameter, training } = context;
    if (x === undefined) throw new Error(`${node.name} has no input`);
    switch (op.kind) {
      case 'input':
        throw new Error('only the first node can be the input');
      case 'conv': {
        const { image, pad } = this.padded(x, op, 0);
        const product = tf.conv2d(image, parameter('weight') as Tensor4D, [...op.stride], pad);
        return op.bias ? tf.add(product, parameter('bias')) : product;
      }
      case 'linear': {
        const product = tf.matMul(x, parameter('weight'), false, true);
        return op.bias ? tf.add(product, parameter('bias')) : product;
      }
      case 'batchNorm': {
        if (training && !op.frozen) return this.batchNorm(x, parameter('weight'), parameter('bias'), op.eps, training);
        const running = (name: string) => context.buffers[this.bufferAt.get(`${node.name}.${name}`)!]! as tfjs.Tensor1D;
        const [weight, bias] = [parameter('weight'), parameter('bias')] as [tfjs.Tensor1D, tfjs.Tensor1D];
        return tf.batchNorm(x as Tensor4D, running('running_mean'), running('running_var'), bias, weight, op.eps);
      }
      case 'relu': {
        const output = this.relu(x);
        if (training) {
          const axes = output.shape.map((_, axis) => axis).slice(0, -1);
          training.record.reluMaxima.push(training.keep(tf.tidy(() => tf.max(output, axes))));
        }
        return output;
      }
      case 'maxPool': {
        const { image, pad } = this.padded(x, op, lowest);
        return tf.maxPool(image, [...op.kernel], [...op.stride], pad);
      }
      case 'avgPool': {
        // tfjs's CPU gradient divides by the whole window under 'same' padding, so zeros are always added here.
        const mean = tf.avgPool(this.pad(x as Tensor4D, op.padding, 0), [...op.kernel], [...op.stride], 'valid');
        const correction = this.constants.get(index);
        return correction ? tf.mul(mean, correction) : mean;
      }
      case 'adaptiveAvgPool':
        return this.adaptiveAvgPool(x as Tensor4D, op, this.constants.get(index));
      case 'dropout':
        return training && op.p > 0 ? tf.mul(x, this.mask(x, training.mask(op))) : tf.clone(x);
      case 'flatten': {
        const [size, height, width, channels] = x.shape as [number, number, number, number];
        const inOrder = height * width === 1 || channels === 1;
        return tf.reshape(inOrder ? x : tf.transpose(x, [0, 3, 1, 2]), [size, channels * height * width]);
      }
      case 'add':
        return tf.add(x, y!);
    }
  }

  /**
   * max(x, 0), which passes no gradient where x is 0, as in PyTorch. tfjs's own rule multiplies by `step`, for which
   * native TensorFlow builds a whole tensor of ones in JavaScript and copies it to the device.
   */
  private relu(x: Tensor): Tensor {
    const { tf, kernels } = this;
    return tf.customGrad((input, save) => {
      const output = tf.relu(input as Tensor);
      (save as tfjs.GradSaveFunc)([output]);
      return {
        value: output,
        gradFunc: (dy: Tensor, [saved]: Tensor[]) =>
          kernels ? kernels.reluGradient(dy, saved!) : tf.mul(dy, tf.cast(tf.greater(saved!, 0), 'float32')),
      };
    })(x);
  }

  /**
   * Batch norm over the statistics of the pass (Ioffe & Szegedy 2015) with its gradient written out: differentiating
   * through tf.moments would take three times the operations and keep five tensors of the image's size instead of one.
   */
  private batchNorm(x: Tensor, weight: Tensor, bias: Tensor, eps: number, { record, keep }: TrainingMode): Tensor {
    const { tf, kernels } = this;
    const axes = [0, 1, 2];
    const count = x.size / x.shape[3]!;
    return tf.customGrad((...args) => {
      const [input, scale, shift] = args as Tensor[];
      const save = args[3] as tfjs.GradSaveFunc;
      if (kernels) {
        const { output, mean, variance, saved } = kernels.batchNorm(input!, scale!, shift!, eps);
        record.statistics.push({ mean: keep(mean), variance: keep(variance), count });
        save([input!, scale!, ...saved]);
        return {
          value: output,
          gradFunc: (dy: Tensor, [input, scale, ...saved]: Tensor[]) =>
            kernels.batchNormGradient(dy, input!, scale!, saved, eps),
        };
      }
      const mean = keep(tf.mean(input!, axes));
      const centred = tf.sub(input!, mean);
      const variance = keep(tf.mean(tf.square(centred), axes));
      record.statistics.push({ mean, variance, count });
      const inverse = tf.rsqrt(tf.add(variance, eps));
      const normal = tf.mul(centred, inverse);
      const value = tf.add(tf.mul(normal, scale!), shift!);
      // Last, for nobody disposes what is saved by a forward pass that fails later.
      save([normal, inverse, scale!]);
      return {
        value,
        gradFunc: (dy: Tensor, [normal, inverse, scale]: Tensor[]) => {
          const dShift = tf.sum(dy, axes);
          const dScale = tf.sum(tf.mul(dy, normal!), axes);
          const centredDy = tf.sub(tf.sub(dy, tf.div(dShift, count)), tf.mul(normal!, tf.div(dScale, count)));
          return [tf.mul(centredDy, tf.mul(scale!, inverse!)), dScale, dShift];
        },
      };
    })(x, weight, bias);
  }

  private adaptiveAvgPool(x: Tensor4D, op: OpOf<'adaptiveAvgPool'>, weights: Tensor | undefined): Tensor {
    const { tf } = this;
    const [size, height, width, channels] = x.shape;
    const [outHeight, outWidth] = op.output;
    if (!weights) {
      const window: [number, number] = [height / outHeight, width / outWidth];
      return window[0] * window[1] === 1 ? tf.clone(x) : tf.avgPool(x, window, window, 'valid');
    }
    // Every cell as a weighted sum of all pixels: one product of [size·channels, pixels] and [pixels, cells].
    const planes = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [size * channels, height * width]);
    const cells = tf.reshape(tf.matMul(planes, weights), [size, channels, outHeight, outWidth]);
    return tf.transpose(cells, [0, 2, 3, 1]);
  }

  private mask(like: Tensor, values: Float32Array): Tensor {
    const { tf } = this;
    if (like.rank !== 4) return tf.tensor(values, like.shape, 'float32');
    const [size, height, width, channels] = like.shape as [number, number, number, number];
    return tf.transpose(tf.tensor4d(values, [size, channels, height, width]), [0, 2, 3, 1]);
  }

  /** The image and the padding to ask for: TensorFlow's 'same' where it means the same, else 'valid' on a larger image. */
  private padded(
    x: Tensor,
    op: OpOf<'conv'> | OpOf<'maxPool'>,
    value: number,
  ): { image: Tensor4D; pad: 'same' | 'valid' } {
    const image = x as Tensor4D;
    const { padding, kernel, stride } = op;
    if (padding.top + padding.left + padding.bottom + padding.right === 0) return { image, pad: 'valid' };
    const same = (size: number, axis: 0 | 1, before: number, after: number) => {
      const total = Math.max((Math.ceil(size / stride[axis]) - 1) * stride[axis] + kernel[axis] - size, 0);
      return before === Math.floor(total / 2) && after === total - before;
    };
    const [, height, width] = image.shape;
    if (same(height, 0, padding.top, padding.bottom) && same(width, 1, padding.left, padding.right)) {
      return { image, pad: 'same' };
    }
    return { image: this.pad(image, padding, value), pad: 'valid' };
  }

  private pad(x: Tensor4D, { top, left, bottom, right }: Padding, value: number): Tensor4D {
    if (top + left + bottom + right === 0) return x;
    return this.tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]], value); // prettier-ignore
  }

  private constant(node: Node): Tensor | undefined {
    const { op } = node;
    const from = node.inputs.length > 0 ? this.network.nodes[node.inputs[0]!]!.shape : [];
    const [, height, width] = from as [number, number, number];
    if (op.kind === 'avgPool' && !op.countIncludePad) {
      const { padding, kernel, stride } = op;
      const inside = (size: number, start: number, k: number) => Math.min(start + k, size) - Math.max(start, 0);
      const [, outHeight, outWidth] = node.shape as [number, number, number];
      const factors = new Float32Array(outHeight * outWidth);
      for (let row = 0; row < outHeight; row++)
        for (let column = 0; column < outWidth; column++) {
          const rows = inside(height, row * stride[0] - padding.top, kernel[0]);
          const columns = inside(width, column * stride[1] - padding.left, kernel[1]);
          factors[row * outWidth + column] = (kernel[0] * kernel[1]) / (rows * columns);
        }
      return this.tf.tensor4d(factors, [1, outHeight, outWidth, 1]);
    }
    if (op.kind === 'adaptiveAvgPool') {
      const [outHeight, outWidth] = op.output;
      // Windows of one size that tile the image are plain average pooling.
      if (height % outHeight === 0 && width % outWidth === 0) return undefined;
      const range = (cell: number, size: number, cells: number): [number, number] => [
        Math.floor((cell * size) / cells),
        Math.ceil(((cell + 1) * size) / cells),
      ];
      const weights = new Float32Array(height * width * outHeight * outWidth);
      for (let row = 0; row < outHeight; row++)
        for (let column = 0; column < outWidth; column++) {
          const [top, bottom] = range(row, height, outHeight);
          const [left, right] = range(column, width, outWidth);
          const share = 1 / ((bottom - top) * (right - left));
          for (let h = top; h < bottom; h++)
            for (let w = left; w < right; w++)
              weights[(h * width + w) * outHeight * outWidth + row * outWidth + column] = share;
        }
      return this.tf.tensor2d(weights, [height * width, outHeight * outWidth]);
    }
    return undefined;
  }
}
