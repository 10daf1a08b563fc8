/**
 * A whole training step as one graph of native TensorFlow: forward and backward as backward.ts computes them operation by
 * operation, recorded once for a size of batch; Adam by TensorFlow's fused kernel; parameters, moments and running
 * statistics as variables of the graph's session, so that a step moves none of them. model.ts calls it where provider.ts
 * hands it over, and does without where a graph cannot be made.
 */
import type { StepScalars } from './adam';
import { dataTypes } from './graphDef';
import { Feed, GraphWriter, LoadedGraph, Output, Recorder } from './graph';
import { Values } from './nodeBackend';
import type { Tensor, Tf } from './api';

/** What a step changes, or only reads, in the order of Network.parameters and Network.buffers. */
export interface StepState {
  readonly parameters: readonly Tensor[];
  readonly buffers: readonly Tensor[];
}

/** What forward and backward come to. */
export interface StepResults {
  readonly logits: Tensor;
  /** Of the trained parameters. */
  readonly gradients: Tensor[];
  /** As they become. */
  readonly buffers: Tensor[];
  /** Share of dead channels of each relu node, scalars. */
  readonly deadShares: Tensor[];
}

export interface StepDescription extends StepState {
  /** Indices of the parameters that are trained. */
  readonly trained: readonly number[];
  readonly beta1: number;
  readonly beta2: number;
  /** The arrays that `compute` is given and that are others in each step: images, labels, masks. */
  readonly changing: readonly Values[];
  /**
   * Forward and backward, in a tidy of the caller's.
   * @param passed to be called between passes with what the next one must wait for
   * @param gradientScale by what the gradients are to be multiplied
   */
  readonly compute: (passed: (kept: readonly Tensor[]) => void, gradientScale: number) => StepResults;
}

const float = { type: dataTypes.float };

/** Names within the graph of one variable. */
interface Variable {
  readonly handle: Output;
  /** Its value before the step. */
  readonly value: Output;
  /** What it is set from. */
  readonly placeholder: Output;
  readonly assigned: Output;
  readonly destroyed: Output;
}

function variable(graph: GraphWriter, name: string, shape: readonly number[]): Variable {
  const handle = graph.add('VarHandleOp', [], { dtype: float, shape: { shape }, shared_name: { text: name } });
  const value = graph.add('ReadVariableOp', [handle], { dtype: float });
  const placeholder = graph.add('Placeholder', [], { dtype: float, shape: { shape } });
  const assigned = graph.add('AssignVariableOp', [handle, placeholder], { dtype: float });
  const destroyed = graph.add('DestroyResourceOp', [handle], { ignore_lookup_error: { bool: true } }, [value]);
  return { handle, value, placeholder, assigned, destroyed };
}

/** A scalar of no meaning, to ask a session for when what counts is what it waits for. */
const done = (graph: GraphWriter, after: readonly Output[]): Output =>
  graph.constant(dataTypes.int32, [], Int32Array.of(1), after);

/**
 * TensorFlow's kernel subtracts β2 from 1 in 32-bit floats, which for 0.999 is 1.3e-5 too little. Every second moment would
 * be too small and every update too large by half of that, always in the same direction: after 30 steps of LeNet-5 losses
 * were 1e-4 and 2e-3 from the embedded engine's (two seeds), and are 5e-8 and 2e-6 without that. Gradients multiplied by this make second moments right; the first ones are too large
 * by 6e-6, of which the step size is relieved.
 */
const gradientScale = (beta2: number): number => Math.sqrt((1 - beta2) / Math.fround(1 - Math.fround(beta2)));

export class StepGraph {
  private readonly graph: LoadedGraph;
  private readonly variables: readonly Variable[];
  private readonly feeds: readonly Feed[];
  private readonly trained: number;
  private readonly gradientScale: number;
  private readonly entered: Output;
  private readonly left: Output;
  private readonly stepSize: Output;
  private readonly epsilon: Output;
  private readonly logits: Output;
  private readonly figures: Output;

  /**
   * Computes a step's forward and backward once, to record them. In no tidy.
   * @throws Error when the graph cannot be made or loaded
   */
  constructor(tf: Tf, description: StepDescription) {
    const { parameters, buffers, trained, beta1, beta2 } = description;
    this.gradientScale = gradientScale(beta2);
    const graph = new GraphWriter();
    const named = (name: string, tensors: readonly Tensor[]) =>
      tensors.map((tensor, k) => variable(graph, `${name}${k}`, tensor.shape));
    const parameter = named('parameter', parameters);
    const buffer = named('buffer', buffers);
    const ofTrained = trained.map((k) => parameters[k]!);
    const firstMoment = named('firstMoment', ofTrained);
    const secondMoment = named('secondMoment', ofTrained);

    const known = new Map<Tensor, Output>();
    parameters.forEach((tensor, k) => known.set(tensor, parameter[k]!.value));
    buffers.forEach((tensor, k) => known.set(tensor, buffer[k]!.value));
    const recorder = new Recorder(tf, graph, known, description.changing);
    const recorded = tf.tidy(() => {
      const results = recorder.record(() => description.compute((kept) => recorder.wait(kept), this.gradientScale));
      const of = (tensors: readonly Tensor[]) => tensors.map((tensor) => recorder.outputOf(tensor));
      return {
        logits: recorder.outputOf(results.logits),
        gradients: of(results.gradients),
        buffers: of(results.buffers),
        deadShares: of(results.deadShares),
      };
    });

    const scalar = (value: number) => graph.constant(dataTypes.float, [], Float32Array.of(value));
    const [zero, decay1, decay2] = [scalar(0), scalar(beta1), scalar(beta2)];
    const [stepSize, epsilon] = [graph.input(float.type, []), graph.input(float.type, [])];
    const half = (x: Output) => graph.add('L2Loss', [x], { T: float });
    const changed: Output[] = [];
    const norms = recorded.gradients.flatMap((gradient, i) => {
      const { handle, value } = parameter[trained[i]!]!;
      const before = half(value);
      // Adam changes a parameter in place once nobody else holds its value. Forward is over by then, because the gradient
      // comes of it; and an order where none is needed would keep TensorFlow from fusing forward's operations.
      const [, ...readers] = graph.readers(value);
      const moments = [firstMoment[i]!, secondMoment[i]!];
      // The bias is corrected in the step size; a power of 0 leaves TensorFlow's own correction out.
      const adam = graph.add(
        'ResourceApplyAdam',
        [
          handle,
          ...moments.map((moment) => moment.handle),
          zero,
          zero,
          stepSize.value,
          decay1,
          decay2,
          epsilon.value,
          gradient,
        ],
        { T: float, use_locking: { bool: false }, use_nesterov: { bool: false } },
        readers,
      );
      changed.push(adam);
      const [mean, square] = moments.map((moment) =>
        graph.add('ReadVariableOp', [moment.handle], { dtype: float }, [adam]),
      ) as [Output, Output];
      // The update over the step size, from the same moments by the same formula.
      const root = graph.add('AddV2', [graph.add('Sqrt', [square], { T: float }), epsilon.value], { T: float });
      return [half(gradient), half(graph.add('RealDiv', [mean, root], { T: float })), before];
    });
    recorded.buffers.forEach((value, k) => {
      const { handle, value: before } = buffer[k]!;
      if (value !== before) changed.push(graph.add('AssignVariableOp', [handle, value], { dtype: float }));
    });
    const packed = [...norms, ...recorded.deadShares];
    const figures = graph.add('Pack', packed, { T: float, N: { int: packed.length }, axis: { int: 0 } });

    this.variables = [...parameter, ...buffer, ...firstMoment, ...secondMoment];
    this.trained = trained.length;
    this.feeds = recorder.placeholders;
    const each = (which: 'assigned' | 'destroyed') => this.variables.map((one) => one[which]);
    this.entered = done(graph, each('assigned'));
    this.left = done(graph, each('destroyed'));
    this.stepSize = stepSize.placeholder;
    this.epsilon = epsilon.placeholder;
    this.logits = recorded.logits;
    this.figures = graph.add('Identity', [figures], { T: float }, changed);
    this.graph = graph.load(tf);
  }

  /**
   * Takes the state into the session: parameters, buffers, and both moments of the trained parameters. The session shares
   * the tensors' memory, so the caller is to dispose them.
   */
  enter(state: readonly Tensor[]): void {
    this.graph.read(
      this.variables.map(({ placeholder }, k) => [placeholder, state[k]!] as const),
      [this.entered],
    );
  }

  /** The state as it is, out of the session, in the order of {@link enter}; the caller owns it. */
  leave(): Tensor[] {
    const outputs = this.variables.map(({ value }) => value);
    const [left, ...state] = this.graph.tensors([], [this.left, ...outputs]);
    left!.dispose();
    return state;
  }

  /**
   * One step on the state in the session.
   * @param changing as the description has them, of the same lengths
   * @returns logits; and squared norms of gradient, update and parameter before, trained parameter by parameter, and then
   * the dead shares
   */
  run(
    changing: readonly Values[],
    { stepSize, epsilon }: StepScalars,
  ): { logits: Float32Array; figures: Float32Array } {
    const size = stepSize / this.gradientScale;
    const [logits, figures] = this.graph.read(
      [
        ...this.feeds.map(({ placeholder, shape }, i) => [placeholder, shape, changing[i]!] as const),
        [this.stepSize, [], Float32Array.of(size)],
        [this.epsilon, [], Float32Array.of(epsilon)],
      ],
      [this.logits, this.figures],
    ) as [Float32Array, Float32Array];
    // TensorFlow's L2Loss is half the sum of the squares, and the update was measured without its step size.
    const factors = [2 / this.gradientScale ** 2, 2 * size ** 2, 2];
    for (let i = 0; i < 3 * this.trained; i++) figures[i]! *= factors[i % 3]!;
    return { logits, figures };
  }

  dispose(): void {
    this.graph.dispose();
  }
}
