/**
 * The engine-neutral description of a network: a list of nodes in execution order, in PyTorch's terms and layout
 * (NCHW), with torchvision's parameter names. Architectures build it through {@link NetworkBuilder}; engines lower
 * it; everything about shapes, parameter counts and costs is computed from it and never written down twice.
 */
import { english, Message, message } from '../messages/message';
import { fillNormal, fillUniform, Purpose, streamKey } from '../random';

/** Shape of one example, without the batch: [channels, height, width] or [features]. */
export type Shape = readonly number[];

/** Zeros (convolution, average pooling) or minus infinity (max pooling) around the input, in pixels. */
export interface Padding {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** How a parameter starts: uniform in [-bound, bound), normal with a standard deviation, or one value. */
export type Init =
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'normal'; readonly std: number }
  | { readonly kind: 'constant'; readonly value: number };

export type Op =
  | { readonly kind: 'input' }
  | {
      readonly kind: 'conv';
      readonly outChannels: number;
      readonly kernel: readonly [number, number];
      readonly stride: readonly [number, number];
      readonly padding: Padding;
      readonly bias: boolean;
    }
  | { readonly kind: 'linear'; readonly outFeatures: number; readonly bias: boolean }
  | {
      readonly kind: 'batchNorm';
      readonly eps: number;
      /** Weight of the new batch in the running statistics (PyTorch's convention: 0.1). */
      readonly momentum: number;
      /** Whether the running variance takes the unbiased batch variance (PyTorch) or the biased one (Keras). */
      readonly unbiasedRunningVariance: boolean;
      /** Normalises by its running statistics in training too, and leaves them as they are (PyTorch's `eval()`). */
      readonly frozen?: boolean;
    }
  | { readonly kind: 'relu' }
  | {
      readonly kind: 'maxPool';
      readonly kernel: readonly [number, number];
      readonly stride: readonly [number, number];
      readonly padding: Padding;
    }
  | {
      readonly kind: 'avgPool';
      readonly kernel: readonly [number, number];
      readonly stride: readonly [number, number];
      readonly padding: Padding;
      /** PyTorch counts padded zeros in the mean (true), TensorFlow does not (false). */
      readonly countIncludePad: boolean;
    }
  /** PyTorch's AdaptiveAvgPool2d: cell o averages input rows floor(o*H/out) to ceil((o+1)*H/out), likewise columns. */
  | { readonly kind: 'adaptiveAvgPool'; readonly output: readonly [number, number] }
  /** Multiplies by a mask of 0 and 1/(1-p) in training; `ordinal` names the mask's random stream. */
  | { readonly kind: 'dropout'; readonly p: number; readonly ordinal: number }
  | { readonly kind: 'flatten' }
  /** Sum of two inputs of equal shape. */
  | { readonly kind: 'add' };

/** The operations of one kind. */
export type OpOf<Kind extends Op['kind']> = Extract<Op, { readonly kind: Kind }>;

/** One operation. `inputs` are indices of earlier nodes; node 0 is the input and the last node gives the logits. */
export interface Node {
  /** PyTorch's module path where there is a module ('layer1.0.conv1'), else a name of ours; unique in the network. */
  readonly name: string;
  readonly op: Op;
  readonly inputs: readonly number[];
  readonly shape: Shape;
}

/** A trained tensor, in PyTorch's layout: convolution [out, in, h, w], linear [out, in], the rest [n]. */
export interface Parameter {
  /** Key in PyTorch's state dict, such as 'features.0.weight'. */
  readonly name: string;
  readonly role: 'weight' | 'bias';
  readonly shape: readonly number[];
  /** Index of the node that owns it. */
  readonly node: number;
  readonly init: Init;
  /** Stays as it is loaded: no gradient, no update (PyTorch's `requires_grad = False`). */
  readonly frozen?: boolean;
}

/** A tensor that training updates without a gradient: batch norm's running statistics. */
export interface NetworkBuffer {
  readonly name: string;
  readonly role: 'runningMean' | 'runningVar';
  readonly shape: readonly number[];
  readonly node: number;
  readonly initial: number;
}

export interface Network {
  readonly name: string;
  /** [channels, height, width] of one example. */
  readonly inputShape: readonly [number, number, number];
  /** Number of logits: one per class, or 1 for a two-class network trained with BCE. */
  readonly outputs: number;
  readonly nodes: readonly Node[];
  /** In the order of PyTorch's named_parameters(). */
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly NetworkBuffer[];
}

export const elements = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);

export function parameterCount(network: Network): number {
  return network.parameters.reduce((sum, p) => sum + elements(p.shape), 0);
}

/**
 * The network with all that lies before its first linear layer kept as it is loaded: parameters get no gradient, and
 * batch norm neither follows the batches nor moves. In PyTorch: `requires_grad_(False)` and `eval()` on that part.
 * Dropout is not part of it.
 */
export function freezeFeatures(network: Network): Network {
  const first = network.nodes.findIndex(({ op }) => op.kind === 'linear');
  return {
    ...network,
    nodes: network.nodes.map((node, index) =>
      index < first && node.op.kind === 'batchNorm' ? { ...node, op: { ...node.op, frozen: true } } : node,
    ),
    parameters: network.parameters.map((p) => (p.node < first ? { ...p, frozen: true } : p)),
  };
}

/** Parameters of the node at `index`, keyed by role. */
export function parametersOf(network: Network, index: number): { weight?: Parameter; bias?: Parameter } {
  const found: { weight?: Parameter; bias?: Parameter } = {};
  for (const p of network.parameters) if (p.node === index) found[p.role] = p;
  return found;
}

/** What one layer is and costs for one example. */
export interface LayerCost {
  readonly name: string;
  readonly kind: Op['kind'];
  readonly shape: Shape;
  readonly parameters: number;
  /** Multiply-add pairs of the forward pass for one example (convolution and linear layers). */
  readonly multiplyAdds: number;
}

/** Shape, parameter count and forward multiply-adds of each layer. */
export function layerCosts(network: Network): LayerCost[] {
  return network.nodes.map((node, index) => {
    const weight = parametersOf(network, index).weight;
    const parameters = network.parameters
      .filter((p) => p.node === index)
      .reduce((sum, p) => sum + elements(p.shape), 0);
    let multiplyAdds = 0;
    if (node.op.kind === 'conv') multiplyAdds = elements(weight!.shape) * node.shape[1]! * node.shape[2]!;
    if (node.op.kind === 'linear') multiplyAdds = elements(weight!.shape);
    return { name: node.name, kind: node.op.kind, shape: node.shape, parameters, multiplyAdds };
  });
}

/** Named tensors in PyTorch's layout: parameters, or buffers, or one of the optimiser's moments. */
export type Tensors = Map<string, Float32Array>;

/**
 * Fresh parameters drawn from the seed, each from a stream of its own, with the network's initialisation.
 * @param wanted default: all of them
 */
export function initialParameters(
  network: Network,
  seed: number,
  wanted: (parameter: Parameter) => boolean = () => true,
): Tensors {
  const drawn: Tensors = new Map();
  network.parameters.forEach((p, index) => {
    if (!wanted(p)) return;
    const values = new Float32Array(elements(p.shape));
    const key = streamKey(seed, Purpose.init, index);
    if (p.init.kind === 'uniform') fillUniform(values, key, p.init.bound);
    else if (p.init.kind === 'normal') fillNormal(values, key, p.init.std);
    else values.fill(p.init.value);
    drawn.set(p.name, values);
  });
  return drawn;
}

/** Buffers as batch norm starts: running mean 0, running variance 1. */
export function initialBuffers(network: Network): Tensors {
  return new Map(network.buffers.map((b) => [b.name, new Float32Array(elements(b.shape)).fill(b.initial)]));
}

type Size = number | readonly [number, number];
const pair = (size: Size): readonly [number, number] => (typeof size === 'number' ? [size, size] : size);

/** A number for all four sides, TensorFlow's 'same', or each side. */
export type PaddingSpec = number | 'same' | Padding;

export interface ConvOptions {
  readonly kernel: Size;
  readonly stride?: Size;
  readonly padding?: PaddingSpec;
  readonly bias?: boolean;
  /** Default: PyTorch's, uniform with bound 1/sqrt(fan_in) (kaiming_uniform with a = sqrt(5)). */
  readonly weightInit?: (fan: Fan) => Init;
  readonly biasInit?: (fan: Fan) => Init;
}

/** Inputs and outputs of one unit, kernel area included, as in torch.nn.init. */
export interface Fan {
  readonly fanIn: number;
  readonly fanOut: number;
}

/** PyTorch's default for Conv2d and Linear, weight and bias alike (torch/nn/modules/conv.py, reset_parameters). */
export const defaultInit = ({ fanIn }: Fan): Init => ({ kind: 'uniform', bound: 1 / Math.sqrt(fanIn) });
/** kaiming_normal_(mode='fan_out', nonlinearity='relu'), as torchvision's VGG and ResNet use for convolutions. */
export const kaimingNormalFanOut = ({ fanOut }: Fan): Init => ({ kind: 'normal', std: Math.sqrt(2 / fanOut) });
/** Keras's default kernel initialiser (Glorot & Bengio 2010). */
export const glorotUniform = ({ fanIn, fanOut }: Fan): Init => ({
  kind: 'uniform',
  bound: Math.sqrt(6 / (fanIn + fanOut)),
});
export const constant = (value: number) => (): Init => ({ kind: 'constant', value });
export const normal = (std: number) => (): Init => ({ kind: 'normal', std });

/** A convolution or pooling layer whose window is larger than its padded input: the network's own input is too small. */
export class WindowTooLarge extends RangeError {
  constructor(readonly userMessage: Message) {
    super(english(userMessage));
    this.name = 'WindowTooLarge';
  }
}

/**
 * Adds nodes one after another; every method takes the index of its input node and returns that of the new one.
 * Throws a RangeError, {@link WindowTooLarge} for a kernel larger than the padded image, when a layer does not fit its input: the message
 * names the layer, the input size and what would fit.
 */
export class NetworkBuilder {
  private readonly nodes: Node[];
  private readonly parameters: Parameter[] = [];
  private readonly buffers: NetworkBuffer[] = [];
  private dropouts = 0;

  constructor(
    private readonly name: string,
    private readonly inputShape: readonly [number, number, number],
  ) {
    this.nodes = [{ name: 'input', op: { kind: 'input' }, inputs: [], shape: inputShape }];
  }

  /** The input node. */
  get input(): number {
    return 0;
  }

  shape(node: number): Shape {
    return this.nodes[node]!.shape;
  }

  conv(name: string, from: number, outChannels: number, options: ConvOptions): number {
    const [channels] = this.image(name, from);
    const kernel = pair(options.kernel);
    const stride = pair(options.stride ?? 1);
    const { padding, height, width } = this.window(name, from, kernel, stride, options.padding ?? 0);
    const bias = options.bias ?? true;
    const area = kernel[0] * kernel[1];
    const fan = { fanIn: channels * area, fanOut: outChannels * area };
    const node = this.push(
      name,
      { kind: 'conv', outChannels, kernel, stride, padding, bias },
      [from],
      [outChannels, height, width],
    );
    this.parameter(node, 'weight', [outChannels, channels, ...kernel], (options.weightInit ?? defaultInit)(fan));
    if (bias) this.parameter(node, 'bias', [outChannels], (options.biasInit ?? defaultInit)(fan));
    return node;
  }

  linear(
    name: string,
    from: number,
    outFeatures: number,
    options: Pick<ConvOptions, 'bias' | 'weightInit' | 'biasInit'> = {},
  ): number {
    const shape = this.shape(from);
    if (shape.length !== 1)
      throw new RangeError(`${this.name}: ${name} needs a flattened input, not ${shape.join('×')}`);
    const bias = options.bias ?? true;
    const fan = { fanIn: shape[0]!, fanOut: outFeatures };
    const node = this.push(name, { kind: 'linear', outFeatures, bias }, [from], [outFeatures]);
    this.parameter(node, 'weight', [outFeatures, shape[0]!], (options.weightInit ?? defaultInit)(fan));
    if (bias) this.parameter(node, 'bias', [outFeatures], (options.biasInit ?? defaultInit)(fan));
    return node;
  }

  batchNorm(
    name: string,
    from: number,
    options: { eps?: number; momentum?: number; unbiasedRunningVariance?: boolean } = {},
  ): number {
    const [channels] = this.image(name, from);
    const { eps = 1e-5, momentum = 0.1, unbiasedRunningVariance = true } = options;
    const op: Op = { kind: 'batchNorm', eps, momentum, unbiasedRunningVariance };
    const node = this.push(name, op, [from], this.shape(from));
    this.parameter(node, 'weight', [channels], { kind: 'constant', value: 1 });
    this.parameter(node, 'bias', [channels], { kind: 'constant', value: 0 });
    this.buffers.push({ name: `${name}.running_mean`, role: 'runningMean', shape: [channels], node, initial: 0 });
    this.buffers.push({ name: `${name}.running_var`, role: 'runningVar', shape: [channels], node, initial: 1 });
    return node;
  }

  relu(name: string, from: number): number {
    return this.push(name, { kind: 'relu' }, [from], this.shape(from));
  }

  maxPool(name: string, from: number, options: { kernel: Size; stride?: Size; padding?: PaddingSpec }): number {
    const [channels] = this.image(name, from);
    const kernel = pair(options.kernel);
    const stride = pair(options.stride ?? options.kernel);
    const { padding, height, width } = this.window(name, from, kernel, stride, options.padding ?? 0);
    return this.push(name, { kind: 'maxPool', kernel, stride, padding }, [from], [channels, height, width]);
  }

  avgPool(
    name: string,
    from: number,
    options: { kernel: Size; stride?: Size; padding?: PaddingSpec; countIncludePad?: boolean },
  ): number {
    const [channels] = this.image(name, from);
    const kernel = pair(options.kernel);
    const stride = pair(options.stride ?? options.kernel);
    const { padding, height, width } = this.window(name, from, kernel, stride, options.padding ?? 0);
    const op: Op = { kind: 'avgPool', kernel, stride, padding, countIncludePad: options.countIncludePad ?? true };
    return this.push(name, op, [from], [channels, height, width]);
  }

  adaptiveAvgPool(name: string, from: number, output: Size): number {
    const [channels] = this.image(name, from);
    const size = pair(output);
    return this.push(name, { kind: 'adaptiveAvgPool', output: size }, [from], [channels, ...size]);
  }

  dropout(name: string, from: number, p: number): number {
    return this.push(name, { kind: 'dropout', p, ordinal: this.dropouts++ }, [from], this.shape(from));
  }

  flatten(name: string, from: number): number {
    return this.push(name, { kind: 'flatten' }, [from], [elements(this.shape(from))]);
  }

  add(name: string, left: number, right: number): number {
    const [a, b] = [this.shape(left), this.shape(right)];
    if (a.join() !== b.join()) throw new RangeError(`${this.name}: ${name} adds ${a.join('×')} and ${b.join('×')}`);
    return this.push(name, { kind: 'add' }, [left, right], a);
  }

  /** The finished network; its last node must be a vector of logits. */
  build(): Network {
    const last = this.nodes[this.nodes.length - 1]!;
    if (last.shape.length !== 1) throw new RangeError(`${this.name}: the last layer must give a vector of logits`);
    return {
      name: this.name,
      inputShape: this.inputShape,
      outputs: last.shape[0]!,
      nodes: this.nodes,
      parameters: this.parameters,
      buffers: this.buffers,
    };
  }

  private push(name: string, op: Op, inputs: readonly number[], shape: Shape): number {
    if (this.nodes.some((node) => node.name === name)) throw new RangeError(`${this.name}: two layers named ${name}`);
    this.nodes.push({ name, op, inputs, shape });
    return this.nodes.length - 1;
  }

  private parameter(node: number, role: 'weight' | 'bias', shape: readonly number[], init: Init): void {
    this.parameters.push({ name: `${this.nodes[node]!.name}.${role}`, role, shape, node, init });
  }

  private image(name: string, from: number): readonly [number, number, number] {
    const shape = this.shape(from);
    if (shape.length !== 3) throw new RangeError(`${this.name}: ${name} needs an image, not ${shape.join('×')}`);
    return [shape[0]!, shape[1]!, shape[2]!];
  }

  private window(
    name: string,
    from: number,
    kernel: readonly [number, number],
    stride: readonly [number, number],
    spec: PaddingSpec,
  ): { padding: Padding; height: number; width: number } {
    const [, h, w] = this.image(name, from);
    let padding: Padding;
    if (spec === 'same') {
      // TensorFlow: ceil(size / stride) outputs, the odd pixel of padding at the bottom and right.
      const total = (size: number, k: number, s: number) => Math.max((Math.ceil(size / s) - 1) * s + k - size, 0);
      const [dh, dw] = [total(h, kernel[0], stride[0]), total(w, kernel[1], stride[1])];
      const [top, left] = [Math.floor(dh / 2), Math.floor(dw / 2)];
      padding = { top, left, bottom: dh - top, right: dw - left };
    } else {
      padding = typeof spec === 'number' ? { top: spec, left: spec, bottom: spec, right: spec } : spec;
    }
    const height = Math.floor((h + padding.top + padding.bottom - kernel[0]) / stride[0]) + 1;
    const width = Math.floor((w + padding.left + padding.right - kernel[1]) / stride[1]) + 1;
    if (height < 1 || width < 1) {
      const [window, shape] = [kernel.join('×'), `${h}×${w}`];
      throw new WindowTooLarge(message('windowTooLarge', { network: this.name, layer: name, window, shape }));
    }
    return { padding, height, width };
  }
}
