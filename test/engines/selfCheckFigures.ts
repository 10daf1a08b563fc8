/**
 * What the self-check's networks must compute, from the float64 reference: gradients are central differences of its loss
 * along the vectors of the fingerprint. scripts/selfCheckFigures.ts stores the figures; selfCheck.test.ts holds the
 * stored ones to these.
 */
import { elements } from '../../src/core/networks/network';
import type { SelfCheckFigures, UpdateFigures } from '../../src/trainer/engines/selfCheck';
import {
  fingerprint,
  fingerprintDirection,
  firstStep,
  learningRate,
  projections,
  SelfCheckCase,
} from '../../src/trainer/engines/selfCheckCases';
import { finiteDifferences, referenceForward, ReferenceTensors } from './reference';

export interface ComputedFigures {
  readonly figures: SelfCheckFigures;
  /** How near a ReLU or max pooling comes to a kink in any step. */
  readonly kinkDistance: number;
}

export function selfCheckFigures(of: SelfCheckCase): ComputedFigures {
  const { network, options, parameters, buffers, batch, updates } = of;
  const first = forward(of, parameters, buffers, 0);
  const evaluation = of.evaluated && referenceForward(network, parameters, buffers, batch, { loss: options.loss });
  const gradients = Object.fromEntries(
    network.parameters.map(({ name, shape }, tensor) => {
      const along = (k: number) => slope(of, name, fingerprintDirection(elements(shape), tensor, k));
      return [name, Array.from({ length: projections }, (_, k) => along(k))];
    }),
  );
  const trained = updates > 0 ? train(of) : undefined;
  const statistics = trained?.buffers ?? first.buffers;
  const figures: SelfCheckFigures = {
    loss: first.loss,
    logits: [...first.logits],
    ...(evaluation ? { evaluationLogits: [...evaluation.logits] } : {}),
    gradients,
    correct: correctOf(first.logits, batch.labels, network.outputs),
    deadShare: deadShares(of, first.outputs),
    logitStd: std(first.logits),
    buffers: Object.fromEntries(
      network.buffers.map(({ name }, tensor) => [name, fingerprint(statistics.get(name)!, tensor)]),
    ),
    ...(trained ? { updates: trained.figures } : {}),
  };
  return { figures, kinkDistance: Math.min(first.kinkDistance, trained?.kinkDistance ?? Infinity) };
}

function forward(of: SelfCheckCase, parameters: ReferenceTensors, buffers: ReferenceTensors, step: number) {
  const { loss, seed } = of.options;
  return referenceForward(of.network, parameters, buffers, of.batch, modeOf(loss, seed, step));
}

const modeOf = (loss: SelfCheckCase['options']['loss'], seed: number, step: number) => ({
  loss,
  training: { seed, at: { ...firstStep, step } },
});

/**
 * The loss's derivative along a vector of one parameter's values. It moves all of them by 1e-4 together: the truncation
 * error is then about 1e-8, and rounding makes 1e-12.
 */
function slope(of: SelfCheckCase, name: string, direction: Float32Array): number {
  const values = of.parameters.get(name)!;
  const h = 1e-4 / norm(direction);
  const at = (t: number) => {
    const moved = Float64Array.from(values, (v, i) => v + t * direction[i]!);
    return forward(of, new Map<string, Float64Array | Float32Array>([...of.parameters, [name, moved]]), of.buffers, 0)
      .loss;
  };
  return (at(h) - at(-h)) / (2 * h);
}

/** Adam (Kingma & Ba 2014, algorithm 1, and ε̂ at the end of section 2) with gradients by finite differences. */
function train(of: SelfCheckCase): { figures: UpdateFigures; buffers: ReferenceTensors; kinkDistance: number } {
  const { network, options, batch } = of;
  const { beta1, beta2, eps, epsilonHat } = options.optimizer;
  let buffers: ReferenceTensors = of.buffers;
  const parameters = new Map([...of.parameters].map(([name, values]) => [name, Float64Array.from(values)] as const));
  const moments = new Map(
    [...parameters].map(([name, p]) => [name, { m: new Float64Array(p.length), v: new Float64Array(p.length) }]),
  );
  const losses: number[] = [];
  let kinkDistance = Infinity;
  const gradientNorm: number[] = [];
  const updateRatio: number[] = [];
  for (let step = 0; step < of.updates; step++) {
    const result = forward(of, parameters, buffers, step);
    losses.push(result.loss);
    kinkDistance = Math.min(kinkDistance, result.kinkDistance);
    const mode = modeOf(options.loss, options.seed, step);
    const gradients = finiteDifferences(network, parameters, buffers, batch, mode);
    buffers = result.buffers;
    for (const [name, gradient] of gradients) {
      const values = parameters.get(name)!;
      const { m, v } = moments.get(name)!;
      const change = gradient.map((g, i) => {
        m[i] = beta1 * m[i]! + (1 - beta1) * g;
        v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
        const mean = m[i] / (1 - beta1 ** (step + 1));
        const correction = Math.sqrt(1 - beta2 ** (step + 1));
        const root = Math.sqrt(v[i]);
        return (-learningRate * mean) / (epsilonHat ? (root + eps) / correction : root / correction + eps);
      });
      if (step === 0) {
        gradientNorm.push(norm(gradient));
        updateRatio.push(norm(change) / norm(values));
      }
      change.forEach((c, i) => (values[i]! += c));
    }
  }
  const moved = network.parameters.map(({ name }, tensor) => {
    const start = of.parameters.get(name)!;
    return [
      name,
      fingerprint(
        parameters.get(name)!.map((p, i) => p - start[i]!),
        tensor,
      ),
    ] as const;
  });
  return { figures: { losses, gradientNorm, updateRatio, moved: Object.fromEntries(moved) }, buffers, kinkDistance };
}

const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0));

function std(values: Float64Array): number {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
}

function correctOf(logits: Float64Array, labels: Int32Array, outputs: number): number {
  return labels.reduce((correct, label, n) => {
    const row = [...logits.subarray(n * outputs, (n + 1) * outputs)];
    const guess = outputs === 1 ? Number(row[0]! > 0) : row.indexOf(Math.max(...row));
    return correct + Number(guess === label);
  }, 0);
}

/** Share of each ReLU's channels or features that are 0 for every example and position. */
function deadShares({ network, batch }: SelfCheckCase, outputs: readonly Float64Array[]): number[] {
  return network.nodes.flatMap(({ op, shape }, index) => {
    if (op.kind !== 'relu') return [];
    const [channels, ...rest] = shape as [number, ...number[]];
    const area = elements(rest);
    const alive = new Set<number>();
    outputs[index]!.forEach((v, i) => v !== 0 && alive.add(Math.floor(i / area) % channels));
    if (outputs[index]!.length !== batch.size * channels * area) throw new Error('an output of another size');
    return [1 - alive.size / channels];
  });
}
