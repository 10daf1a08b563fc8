/**
 * The forward pass of a network in plain loops and float64, written from the definitions in src/networks/network.ts and
 * sharing no code with any engine. The conformance suite holds engines to its logits, losses and running statistics, and
 * holds their gradients to its central finite differences. Made for networks of a few hundred parameters.
 */
import { elements, Network, Node, Shape } from '../../src/core/networks/network';
import { fillDropoutMask } from '../../src/core/random';
import { Batch, LossName, StepPosition } from '../../src/trainer/engines/engine';

/** Named tensors in PyTorch's layout. */
export type ReferenceTensors = ReadonlyMap<string, Float64Array | Float32Array>;

export interface ReferenceMode {
  readonly loss: LossName;
  /** Statistics of the batch and dropout masks of this seed and step; without it running statistics and no dropout. */
  readonly training?: { readonly seed: number; readonly at: StepPosition };
}

export interface ReferenceResult {
  /** size × outputs. */
  readonly logits: Float64Array;
  /** Mean over the batch, in nats. */
  readonly loss: number;
  /** Output of every node, size × shape, by node index. */
  readonly outputs: readonly Float64Array[];
  /** Batch norm's running statistics after this batch (unchanged in evaluation), by buffer name. */
  readonly buffers: Map<string, Float64Array>;
  /**
   * How far the nearest ReLU input is from 0, or the largest value of a max-pool window from the next: a finite
   * difference is meaningless when its step crosses such a kink.
   */
  readonly kinkDistance: number;
}

export function referenceForward(
  network: Network,
  parameters: ReferenceTensors,
  buffers: ReferenceTensors,
  batch: Batch,
  mode: ReferenceMode,
): ReferenceResult {
  const pass = new Pass(network, parameters, buffers, batch.size, mode);
  network.nodes.forEach((node, index) => {
    if (node.op.kind === 'input') {
      pass.outputs.push(Float64Array.from(batch.images.subarray(0, batch.size * elements(node.shape))));
    } else pass.outputs.push(pass.run(node, index));
  });
  const logits = pass.outputs.at(-1)!;
  return {
    logits,
    loss: referenceLoss(logits, batch, network.outputs, mode.loss) / batch.size,
    outputs: pass.outputs,
    buffers: pass.buffers,
    kinkDistance: pass.kinkDistance,
  };
}

/** Sum of the losses of a batch, in nats. */
export function referenceLoss(logits: ArrayLike<number>, batch: Batch, outputs: number, loss: LossName): number {
  let sum = 0;
  for (let n = 0; n < batch.size; n++) {
    const label = batch.labels[n]!;
    if (loss === 'bce_with_logits') {
      // -[y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))] = log(1 + exp(-s)) with s = x for y = 1 and -x for y = 0.
      const s = label === 1 ? logits[n * outputs]! : -logits[n * outputs]!;
      sum += s > 0 ? Math.log1p(Math.exp(-s)) : -s + Math.log1p(Math.exp(s));
    } else {
      let largest = -Infinity;
      for (let c = 0; c < outputs; c++) largest = Math.max(largest, logits[n * outputs + c]!);
      let total = 0;
      for (let c = 0; c < outputs; c++) total += Math.exp(logits[n * outputs + c]! - largest);
      sum += Math.log(total) + largest - logits[n * outputs + label]!;
    }
  }
  return sum;
}

/**
 * Central finite differences of the mean training loss with respect to every parameter, or to those named.
 * With h = 1e-5 the truncation error is about h² = 1e-10 and the rounding error about 1e-16 / h = 1e-11, both far below
 * the float32 rounding of an engine.
 */
export function finiteDifferences(
  network: Network,
  parameters: ReferenceTensors,
  buffers: ReferenceTensors,
  batch: Batch,
  mode: ReferenceMode,
  names: Iterable<string> = parameters.keys(),
): Map<string, Float64Array> {
  const h = 1e-5;
  const moved = new Map([...parameters].map(([name, values]) => [name, Float64Array.from(values)] as const));
  const gradients = new Map<string, Float64Array>();
  for (const name of names) {
    const values = moved.get(name)!;
    gradients.set(
      name,
      values.map((value, i) => {
        values[i] = value + h;
        const above = referenceForward(network, moved, buffers, batch, mode).loss;
        values[i] = value - h;
        const below = referenceForward(network, moved, buffers, batch, mode).loss;
        values[i] = value;
        return (above - below) / (2 * h);
      }),
    );
  }
  return gradients;
}

type OpOf<Kind extends Node['op']['kind']> = Extract<Node['op'], { kind: Kind }>;

class Pass {
  readonly outputs: Float64Array[] = [];
  readonly buffers: Map<string, Float64Array>;
  kinkDistance = Infinity;

  constructor(
    private readonly network: Network,
    private readonly parameters: ReferenceTensors,
    buffers: ReferenceTensors,
    private readonly size: number,
    private readonly mode: ReferenceMode,
  ) {
    this.buffers = new Map([...buffers].map(([name, values]) => [name, Float64Array.from(values)] as const));
  }

  run(node: Node, index: number): Float64Array {
    const x = this.outputs[node.inputs[0]!]!;
    const shape = this.network.nodes[node.inputs[0]!]!.shape;
    const { op } = node;
    switch (op.kind) {
      case 'input':
        return x;
      case 'conv':
        return this.conv(x, shape, node, op);
      case 'linear':
        return this.linear(x, shape[0]!, node, op);
      case 'batchNorm':
        return this.batchNorm(x, shape, node, op);
      case 'relu':
        for (const v of x) this.kinkDistance = Math.min(this.kinkDistance, Math.abs(v));
        return x.map((v) => (v > 0 ? v : 0));
      case 'maxPool':
        return this.maxPool(x, shape, node.shape, op);
      case 'avgPool':
        return this.avgPool(x, shape, node.shape, op);
      case 'adaptiveAvgPool':
        return this.adaptiveAvgPool(x, shape, node.shape);
      case 'dropout': {
        if (!this.mode.training) return x;
        const mask = new Float32Array(x.length);
        fillDropoutMask(mask, this.mode.training.seed, this.mode.training.at, op.ordinal, op.p);
        return x.map((v, i) => v * mask[i]!);
      }
      case 'flatten':
        return x;
      case 'add': {
        const y = this.outputs[node.inputs[1]!]!;
        return x.map((v, i) => v + y[i]!);
      }
      default:
        throw new Error(`no reference for ${JSON.stringify(op satisfies never)} of node ${index}`);
    }
  }

  private parameter(name: string): Float64Array | Float32Array {
    return this.parameters.get(name)!;
  }

  private conv(x: Float64Array, [channels, height, width]: Shape, node: Node, op: OpOf<'conv'>): Float64Array {
    const [outChannels, outHeight, outWidth] = node.shape;
    const weight = this.parameter(`${node.name}.weight`);
    const bias = op.bias ? this.parameter(`${node.name}.bias`) : undefined;
    const [kh, kw] = op.kernel;
    const y = new Float64Array(this.size * elements(node.shape));
    let at = 0;
    for (let n = 0; n < this.size; n++)
      for (let o = 0; o < outChannels!; o++)
        for (let row = 0; row < outHeight!; row++)
          for (let column = 0; column < outWidth!; column++) {
            let sum = bias ? bias[o]! : 0;
            for (let c = 0; c < channels!; c++)
              for (let i = 0; i < kh; i++) {
                const h = row * op.stride[0] + i - op.padding.top;
                if (h < 0 || h >= height!) continue;
                for (let j = 0; j < kw; j++) {
                  const w = column * op.stride[1] + j - op.padding.left;
                  if (w < 0 || w >= width!) continue;
                  sum +=
                    x[((n * channels! + c) * height! + h) * width! + w]! *
                    weight[((o * channels! + c) * kh + i) * kw + j]!;
                }
              }
            y[at++] = sum;
          }
    return y;
  }

  private linear(x: Float64Array, features: number, node: Node, op: OpOf<'linear'>): Float64Array {
    const weight = this.parameter(`${node.name}.weight`);
    const bias = op.bias ? this.parameter(`${node.name}.bias`) : undefined;
    const y = new Float64Array(this.size * op.outFeatures);
    for (let n = 0; n < this.size; n++)
      for (let o = 0; o < op.outFeatures; o++) {
        let sum = bias ? bias[o]! : 0;
        for (let f = 0; f < features; f++) sum += x[n * features + f]! * weight[o * features + f]!;
        y[n * op.outFeatures + o] = sum;
      }
    return y;
  }

  private batchNorm(
    x: Float64Array,
    [channels, height, width]: Shape,
    node: Node,
    op: OpOf<'batchNorm'>,
  ): Float64Array {
    const weight = this.parameter(`${node.name}.weight`);
    const bias = this.parameter(`${node.name}.bias`);
    const runningMean = this.buffers.get(`${node.name}.running_mean`)!;
    const runningVar = this.buffers.get(`${node.name}.running_var`)!;
    const area = height! * width!;
    const count = this.size * area;
    const y = new Float64Array(x.length);
    for (let c = 0; c < channels!; c++) {
      const places: number[] = [];
      for (let n = 0; n < this.size; n++) for (let i = 0; i < area; i++) places.push((n * channels! + c) * area + i);
      let mean = runningMean[c]!;
      let variance = runningVar[c]!;
      if (this.mode.training && !op.frozen) {
        mean = places.reduce((sum, place) => sum + x[place]!, 0) / count;
        variance = places.reduce((sum, place) => sum + (x[place]! - mean) ** 2, 0) / count;
        // One value alone has no unbiased variance (PyTorch refuses such a batch); here it counts as 0.
        const unbiased = count > 1 ? (variance * count) / (count - 1) : 0;
        const seen = op.unbiasedRunningVariance ? unbiased : variance;
        runningMean[c] = (1 - op.momentum) * runningMean[c]! + op.momentum * mean;
        runningVar[c] = (1 - op.momentum) * runningVar[c]! + op.momentum * seen;
      }
      for (const place of places)
        y[place] = ((x[place]! - mean) / Math.sqrt(variance + op.eps)) * weight[c]! + bias[c]!;
    }
    return y;
  }

  /** Calls `visit` with every window of every plane: the plane's start, the window's first row and column. */
  private windows(
    op: OpOf<'maxPool'> | OpOf<'avgPool'>,
    [channels, height, width]: Shape,
    [, outHeight, outWidth]: Shape,
    visit: (plane: number, top: number, left: number) => void,
  ): void {
    for (let plane = 0; plane < this.size * channels!; plane++)
      for (let row = 0; row < outHeight!; row++)
        for (let column = 0; column < outWidth!; column++)
          visit(plane * height! * width!, row * op.stride[0] - op.padding.top, column * op.stride[1] - op.padding.left);
  }

  private maxPool(x: Float64Array, from: Shape, to: Shape, op: OpOf<'maxPool'>): Float64Array {
    const [, height, width] = from;
    const y: number[] = [];
    this.windows(op, from, to, (plane, top, left) => {
      let [first, second] = [-Infinity, -Infinity];
      for (let h = Math.max(top, 0); h < Math.min(top + op.kernel[0], height!); h++)
        for (let w = Math.max(left, 0); w < Math.min(left + op.kernel[1], width!); w++) {
          const v = x[plane + h * width! + w]!;
          if (v > first) [first, second] = [v, first];
          // Equal values are the zeros of a ReLU, which pass no gradient whichever is chosen.
          else if (v > second && v !== first) second = v;
        }
      this.kinkDistance = Math.min(this.kinkDistance, first - second);
      y.push(first);
    });
    return Float64Array.from(y);
  }

  private avgPool(x: Float64Array, from: Shape, to: Shape, op: OpOf<'avgPool'>): Float64Array {
    const [, height, width] = from;
    const y: number[] = [];
    this.windows(op, from, to, (plane, top, left) => {
      let sum = 0;
      let count = 0;
      for (let h = Math.max(top, 0); h < Math.min(top + op.kernel[0], height!); h++)
        for (let w = Math.max(left, 0); w < Math.min(left + op.kernel[1], width!); w++) {
          sum += x[plane + h * width! + w]!;
          count++;
        }
      y.push(sum / (op.countIncludePad ? op.kernel[0] * op.kernel[1] : count));
    });
    return Float64Array.from(y);
  }

  private adaptiveAvgPool(
    x: Float64Array,
    [channels, height, width]: Shape,
    [, outHeight, outWidth]: Shape,
  ): Float64Array {
    const y: number[] = [];
    for (let plane = 0; plane < this.size * channels!; plane++)
      for (let row = 0; row < outHeight!; row++)
        for (let column = 0; column < outWidth!; column++) {
          const [top, bottom] = [
            Math.floor((row * height!) / outHeight!),
            Math.ceil(((row + 1) * height!) / outHeight!),
          ];
          const [left, right] = [
            Math.floor((column * width!) / outWidth!),
            Math.ceil(((column + 1) * width!) / outWidth!),
          ];
          let sum = 0;
          for (let h = top; h < bottom; h++)
            for (let w = left; w < right; w++) sum += x[(plane * height! + h) * width! + w]!;
          y.push(sum / ((bottom - top) * (right - left)));
        }
    return Float64Array.from(y);
  }
}
