/**
 * Before an engine trains, it proves itself: it computes steps and evaluations of small networks, which together have
 * every operator, and is held to stored figures of a float64 reference (selfCheckFigures.json). choose.ts opens engines
 * through {@link openProved}, which leaves out an optimization that goes wrong here, or refuses the engine with a sentence.
 */
import { Message, MessageArg, message, UserError } from '../../core/messages/message';
import type { Engine, EngineOptions, EngineProvider, Model, Optimization } from './engine';
import { fingerprint, firstStep, learningRate, SelfCheckCase, selfCheckCases } from './selfCheckCases';
import storedFigures from './selfCheckFigures.json';

/** What one network must compute. Tensors stand as their fingerprints, by name. */
export interface SelfCheckFigures {
  /** Mean over the batch, in training mode. */
  readonly loss: number;
  /** size × outputs. */
  readonly logits: readonly number[];
  /** In evaluation mode, where it is compared. */
  readonly evaluationLogits?: readonly number[];
  readonly gradients: Fingerprints;
  /** Of the first step; see StepResult. */
  readonly correct: number;
  readonly deadShare: readonly number[];
  readonly logitStd: number;
  /** Running statistics after the last step; there is one at least. */
  readonly buffers: Fingerprints;
  readonly updates?: UpdateFigures;
}

type Fingerprints = Readonly<Record<string, readonly number[]>>;

/** Where the parameters' updates are compared. */
export interface UpdateFigures {
  /** Before each update. */
  readonly losses: readonly number[];
  /** Of the first step, in the order of the parameters. */
  readonly gradientNorm: readonly number[];
  readonly updateRatio: readonly number[];
  /** What all updates together changed. */
  readonly moved: Fingerprints;
}

/**
 * How far a figure may be off, relative to the largest number of its kind. On a processor: float32 sums of up to a few
 * thousand terms are good to 1e-6, Winograd's filtering and batch norm over few values lose a digit. On a GPU: TensorFlow
 * multiplies in TF32 where it can, which rounds each factor at 5e-4. Smallest of what must be found: one channel of a few
 * that is off by a hundredth.
 */
const tolerances = { cpu: 1e-4, gpu: 3e-3 } as const;

/** One figure that is held to its stored value. */
interface Comparison {
  /** Whose fault it is, where it is not the layer that the case is about. */
  readonly layer?: string;
  /** As PyTorch would call it: `conv.weight.grad`. */
  readonly figure: string;
  readonly actual: ArrayLike<number>;
  readonly expected: ArrayLike<number>;
  /** The error is taken relative to this where all of `expected` is smaller. */
  readonly floor?: number;
}

/**
 * @param cases all, but in tests
 * @returns a sentence on the first figure that is wrong, or on the first failure; undefined where all is right
 */
export async function selfCheck(
  engine: Engine,
  cases: readonly SelfCheckCase[] = selfCheckCases(),
): Promise<Message | undefined> {
  for (const each of cases) {
    const fault = await checkCase(engine, each);
    if (fault) return fault;
  }
  return undefined;
}

async function checkCase(engine: Engine, of: SelfCheckCase): Promise<Message | undefined> {
  const tolerance = tolerances[engine.device.kind];
  let model: Model | undefined;
  try {
    model = await engine.compile(of.network, of.options);
    for await (const { layer = of.layer, figure, actual, expected, floor = 0 } of comparisons(model, of)) {
      const error = distance(actual, expected) / Math.max(largest(expected), floor);
      // NaN must not pass as small.
      if (error <= tolerance) continue;
      return message('selfCheckWrong', {
        engine: engine.name,
        layer,
        figure,
        error: error.toPrecision(2),
        tolerance: String(tolerance),
      });
    }
    return undefined;
  } catch (error) {
    return message('selfCheckThrew', { engine: engine.name, layer: of.layer, reason: firstLine(error) });
  } finally {
    await model?.dispose().catch(() => undefined);
  }
}

/** The figures of a case in the order in which they are computed: what comes first is nearest to the fault. */
async function* comparisons(model: Model, of: SelfCheckCase): AsyncGenerator<Comparison> {
  const { network, batch, parameters, buffers } = of;
  const figures = (storedFigures as Readonly<Record<string, SelfCheckFigures>>)[of.layer];
  if (!figures) throw new Error('no stored figures: run “npm run selfcheck-figures”');
  await model.load({ parameters, buffers });
  const { logits, loss, gradients } = await model.gradients(batch, firstStep);
  yield { figure: 'logits', actual: logits, expected: figures.logits };
  yield { figure: 'loss', actual: [loss], expected: [figures.loss] };
  // A gradient that cancels exactly leaves only rounding, of the size of its terms.
  const floor = 0.05 * largest(Object.values(figures.gradients).flat());
  // From the last layer to the first, as the backward pass goes.
  for (const [tensor, { name }] of [...network.parameters.entries()].reverse()) {
    const actual = fingerprint(gradients.get(name)!, tensor);
    yield { figure: `${name}.grad`, actual, expected: figures.gradients[name]!, floor };
  }
  if (figures.evaluationLogits) {
    const { logits: evaluated } = await model.evaluate(batch);
    yield { figure: 'eval().logits', actual: evaluated, expected: figures.evaluationLogits };
  }
  yield* stepComparisons(model, of, figures, floor);
}

async function* stepComparisons(
  model: Model,
  { network, batch, parameters }: SelfCheckCase,
  { loss: firstLoss, correct, deadShare, logitStd, buffers, updates }: SelfCheckFigures,
  floor: number,
): AsyncGenerator<Comparison> {
  const optimizer = 'Adam';
  for (const [step, loss] of (updates?.losses ?? [firstLoss]).entries()) {
    const result = await model.trainStep(batch, { ...firstStep, step }, learningRate);
    if (step > 0) {
      yield { layer: optimizer, figure: 'loss', actual: [result.loss], expected: [loss] };
      continue;
    }
    const figures = result.diagnostics;
    yield { figure: 'loss', actual: [result.loss], expected: [loss] };
    yield { figure: 'correct', actual: [result.correct], expected: [correct], floor: 1 };
    yield { figure: 'logits.std()', actual: [figures.logitStd], expected: [logitStd] };
    yield { figure: 'dead ReLUs', actual: figures.deadShare, expected: deadShare, floor: 1 };
    if (!updates) continue;
    yield { figure: 'grad.norm()', actual: figures.gradientNorm, expected: updates.gradientNorm, floor };
    yield { layer: optimizer, figure: 'update ratio', actual: figures.updateRatio, expected: updates.updateRatio };
  }
  const after = await model.save();
  for (const [tensor, { name }] of network.buffers.entries()) {
    const actual = fingerprint(after.buffers.get(name)!, tensor);
    yield { figure: name, actual, expected: buffers[name]! };
  }
  if (!updates) return;
  for (const [tensor, { name }] of network.parameters.entries()) {
    const start = parameters.get(name)!;
    const moved = Float64Array.from(after.parameters.get(name)!, (value, i) => value - start[i]!);
    yield { layer: optimizer, figure: name, actual: fingerprint(moved, tensor), expected: updates.moved[name]! };
  }
}

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((max, value) => Math.max(max, Math.abs(value)), 0);

/** Largest difference; NaN where one is, infinite where the numbers are not as many. */
function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  return Array.from(actual).reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i]!)), 0);
}

function firstLine(error: unknown): MessageArg {
  if (error instanceof UserError) return error.userMessage;
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
}

/** An engine that has computed rightly. */
export interface ProvedEngine {
  readonly engine: Engine;
  /** A sentence for each optimization that it goes without. */
  readonly warnings: readonly Message[];
  /** These optimizations; none where it computes with all that it has. */
  readonly leftOut: readonly Optimization[];
}

/**
 * Opens an engine and checks it. When it computes wrongly it is tried again without each of its optimizations, then
 * without all of them.
 *
 * @param check other than the default only in tests
 * @param onOpened called before the check
 * @throws UserError when it cannot be opened, or when it computes wrongly whatever is left out
 */
export async function openProved(
  provider: EngineProvider,
  options: EngineOptions,
  check: (engine: Engine) => Promise<Message | undefined> = selfCheck,
  onOpened: () => void = () => undefined,
): Promise<ProvedEngine> {
  const engine = await provider.open(options);
  onOpened();
  const fault = await check(engine);
  const without = options.without ?? [];
  if (!fault) return { engine, warnings: [], leftOut: without };
  const optimizations = engine.optimizations ?? [];
  await engine.dispose().catch(() => undefined);
  const attempts = optimizations.map((optimization) => [optimization]);
  if (optimizations.length > 1) attempts.push([...optimizations]);
  for (const left of attempts) {
    const reduced = await provider.open({ ...options, without: [...without, ...left] });
    if (!(await check(reduced))) {
      const args = { engine: engine.name, optimization: left.join(', '), reason: fault };
      return { engine: reduced, warnings: [message('engineWithout', args)], leftOut: [...without, ...left] };
    }
    await reduced.dispose().catch(() => undefined);
  }
  throw new UserError(fault, message('selfCheckAdvice'));
}
