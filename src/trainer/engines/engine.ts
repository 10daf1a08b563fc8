/**
 * What an engine is: something that compiles an engine-neutral network into a training step and an evaluation.
 * `run.ts` drives it, `choose.ts` picks it, and one conformance suite (test/engines) holds every engine to it.
 */
import { Network, Tensors } from '../../core/networks/network';
import { Message } from '../../core/messages/message';
import type { EngineName } from '../../core/contracts/events';
import type { MachineMemory } from './memory';

export type { EngineName };

export type LossName = 'cross_entropy' | 'bce_with_logits';

/** Adam's settings, with PyTorch's names and meaning (Kingma & Ba 2014; torch.optim.Adam, no weight decay). */
export interface AdamOptions {
  readonly name: 'adam';
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  /** Added to the root of the second moment, in PyTorch (1e-8) after its bias correction. */
  readonly eps: number;
  /** Whether `eps` is added before the bias correction, as Keras does (1e-7): ε̂ at the end of the paper's section 2. */
  readonly epsilonHat?: boolean;
}

export interface ModelOptions {
  /** Largest number of examples that `trainStep` will be given. */
  readonly batchSize: number;
  readonly loss: LossName;
  readonly optimizer: AdamOptions;
  /** Seed of the dropout masks. */
  readonly seed: number;
  /**
   * Examples per pass through the network. A step over a larger batch accumulates the gradients of several passes and
   * updates once; the result is the same but for batch norm, whose statistics are then those of each pass.
   * Default: chosen by the engine from the memory at hand.
   */
  readonly microBatch?: number;
  /**
   * Whether a step looks at norms and dead ReLUs; default: true. Without, which only benchmarks ask for, to see what it
   * costs, an engine may leave them empty or 0.
   */
  readonly diagnostics?: boolean;
}

/** Examples as the network sees them. Buffers may be reused by the caller once the call that took them settles. */
export interface Batch {
  /** size × channels × height × width, normalised. */
  readonly images: Float32Array;
  /** Class index of each example; 0 or 1 for a network with one logit. */
  readonly labels: Int32Array;
  /** Number of examples, at most ModelOptions.batchSize when training. */
  readonly size: number;
}

/** Which step a batch belongs to; with the seed it decides every dropout mask. Epochs count from 1, steps from 0. */
export interface StepPosition {
  readonly epoch: number;
  readonly step: number;
}

/** Figures of one step, in the order of Network.parameters, or of the network's relu nodes. */
export interface StepDiagnostics {
  /** L2 norm of each parameter's gradient; 0 for a frozen one. */
  readonly gradientNorm: Float64Array;
  /** L2 norm of each parameter's update divided by that of the parameter before it (0 where that is 0). */
  readonly updateRatio: Float64Array;
  /** Share of each relu node's channels (features) that were 0 for every example and position of this batch. */
  readonly deadShare: Float64Array;
  /** Standard deviation of all logits of the batch. */
  readonly logitStd: number;
}

export interface StepResult {
  /** Mean loss of the batch before the update, in nats. */
  readonly loss: number;
  /** Number of examples classified rightly before the update: arg max, or logit > 0 for one logit. */
  readonly correct: number;
  readonly diagnostics: StepDiagnostics;
}

export interface EvaluationResult {
  /** Sum over the examples of the loss, in nats. */
  readonly lossSum: number;
  /** size × outputs. */
  readonly logits: Float32Array;
}

/** Everything that training changes, in PyTorch's names and layouts whatever the engine. */
export interface ModelState {
  readonly parameters: Tensors;
  readonly buffers: Tensors;
  readonly optimizer?: {
    /** Updates made so far. */
    readonly step: number;
    readonly firstMoment: Tensors;
    readonly secondMoment: Tensors;
  };
}

/**
 * A compiled network with its parameters and optimiser state. Calls are made one at a time, and keep one contract, which
 * contract.ts keeps for every engine and test/engines/conformance.ts looks at in each:
 * - What a caller gets wrong is refused before anything is computed, and changes nothing: a state that does not fit the
 *   network, or any call but load() before there are parameters (Error); a batch that is empty or larger than batchSize
 *   where it trains, or that has more examples than its arrays hold (RangeError).
 * - What goes wrong inside the numerical library disposes the model, because nobody can say how far it came, and all that
 *   it held is let go. The call rejects with the library's error; where memory ran out, be it that a graph could not be
 *   opened, with a UserError that says so.
 * - A model that is disposed, by its owner, with its engine or by a failure, rejects every call with an Error;
 *   dispose() may be called again.
 */
export interface Model {
  readonly network: Network;
  /** Examples per pass that the engine uses in training (see ModelOptions.microBatch). */
  readonly microBatch: number;
  /** What the user should know of how the network fits the memory; default: nothing. */
  readonly warnings?: readonly Message[];
  /** Replaces the state; without `optimizer` the moments start at zero. Throws when a name or length does not fit. */
  load(state: ModelState): Promise<void>;
  /** A copy of the state. @param withMoments whether the optimiser's are wanted; default: they are */
  save(withMoments?: boolean): Promise<ModelState>;
  /** Forward, backward, one Adam update. */
  trainStep(batch: Batch, at: StepPosition, learningRate: number): Promise<StepResult>;
  /** Loss and full gradients, but of frozen parameters, of a batch in training mode; no update (for tests and the self-check). */
  gradients(batch: Batch, at: StepPosition): Promise<{ loss: number; logits: Float32Array; gradients: Tensors }>;
  /** Forward in evaluation mode: running statistics, no dropout. Any batch size; large ones are passed in parts. */
  evaluate(batch: Batch): Promise<EvaluationResult>;
  dispose(): Promise<void>;
}

/**
 * A faster way to the same result that an engine can do without, by name:
 * `winograd`: wide 3×3 and 5×5 convolutions by Winograd's minimal filtering;
 * `fused-operators`: ONNX Runtime's own operators, which do in one pass what takes two of ONNX's.
 */
export type Optimization = 'winograd' | 'fused-operators';

export interface EngineOptions {
  /** CPU threads; default: physical cores. */
  readonly threads?: number;
  /** Other than this machine's memory only in tests. */
  readonly memory?: MachineMemory;
  /** Optimizations to leave out, because they go wrong on this machine (see selfCheck.ts). */
  readonly without?: readonly Optimization[];
  /** Library under the onnx engine: native code or WebAssembly; default: native where it can be used. */
  readonly runtime?: 'native' | 'web';
}

/** An engine that has been opened: its library is loaded. */
export interface Engine {
  readonly name: EngineName;
  readonly device: { readonly kind: 'cpu' | 'gpu'; readonly name: string; readonly threads?: number };
  /** Versions of the libraries that compute, by package name. */
  readonly versions: Readonly<Record<string, string>>;
  /** What it uses now of the optimizations that it can do without; default: none. */
  readonly optimizations?: readonly Optimization[];
  /** Sentences on what it runs on here, where that is not what it would be elsewhere. */
  readonly notes?: readonly Message[];
  /** Rejects with a UserError where memory is wanting, and with an Error when the engine has been disposed. */
  compile(network: Network, options: ModelOptions): Promise<Model>;
  /** Disposes its models, too; may be called again. */
  dispose(): Promise<void>;
}

/** Whether an engine can train here, and if not, why, and the one action that would change it. */
export type Availability =
  | { readonly usable: true; readonly device: Engine['device']; readonly notes?: readonly Message[] }
  | { readonly usable: false; readonly reason: Message; readonly action?: Message };

/** An engine before its library is loaded. */
export interface EngineProvider {
  readonly name: EngineName;
  /** Cheap enough to be asked every time; loads nothing that could bring the process down. */
  probe(): Promise<Availability>;
  /** Loads the library. Rejects with a UserError when that fails. */
  open(options: EngineOptions): Promise<Engine>;
}
