/**
 * The figures of an epoch: sums over its steps, and what they come to at its end. The loop adds every step to them, and a
 * checkpoint holds them, so that an epoch which was interrupted ends with the same figures.
 */
import type { EpochEvent, LayerFigures } from '../../core/contracts/events';
import type { Network } from '../../core/networks/network';
import type { Beside } from '../../disk/runs';
import type { StepDiagnostics, StepResult } from '../engines/engine';

/** Where the loop stands, as stored in a checkpoint: the epoch under way, its steps done, and its sums so far. */
export interface Position {
  epoch: number;
  step: number;
  /** Seconds of training before this process took over. */
  seconds: number;
  best?: { epoch: number; validationAccuracy: number };
  /** What was told of the epochs before, in case the file of events is lost; absent in checkpoints of earlier versions. */
  told?: EpochEvent[];
  /** Of the rest of the run's folder, when the checkpoint was written; absent in checkpoints of earlier versions. */
  beside?: Beside;
  sums: EpochSums;
}

/** Sums over the steps of one epoch; JSON, and exact in it. */
export interface EpochSums {
  examples: number;
  loss: number;
  correct: number;
  steps: number;
  seconds: number;
  logitStd: number;
  /** Per parameter: sum of squared gradient norms, and of update ratios. */
  gradientSquares: number[];
  updateRatios: number[];
  /** Per relu node. */
  deadShares: number[];
  /** Losses since the last step event. */
  windowLoss: number;
  windowSteps: number;
}

/** @param before the epoch before: the losses since its last step event belong to the next one, across the border */
export const emptySums = (before?: EpochSums): EpochSums => ({
  examples: 0,
  loss: 0,
  correct: 0,
  steps: 0,
  seconds: 0,
  logitStd: 0,
  gradientSquares: [],
  updateRatios: [],
  deadShares: [],
  windowLoss: before?.windowLoss ?? 0,
  windowSteps: before?.windowSteps ?? 0,
});

/** Adds a step on so many examples that took so many seconds. */
export function addStep(sums: EpochSums, { loss, correct, diagnostics }: StepResult, size: number, seconds: number) {
  sums.examples += size;
  sums.loss += loss * size;
  sums.correct += correct;
  sums.steps += 1;
  sums.seconds += seconds;
  sums.windowLoss += loss;
  sums.windowSteps += 1;
  addDiagnostics(sums, diagnostics);
}

function addDiagnostics(sums: EpochSums, figures: StepDiagnostics): void {
  const add = (into: number[], values: Float64Array, square: boolean) =>
    values.forEach((v, i) => (into[i] = (into[i] ?? 0) + (square ? v * v : v)));
  add(sums.gradientSquares, figures.gradientNorm, true);
  add(sums.updateRatios, figures.updateRatio, false);
  add(sums.deadShares, figures.deadShare, false);
  sums.logitStd += figures.logitStd;
}

/** Mean loss per batch since the last step event; the next one's begins at none. */
export function takeWindow(sums: EpochSums): number {
  const loss = sums.windowLoss / sums.windowSteps;
  sums.windowLoss = sums.windowSteps = 0;
  return loss;
}

/** One row per layer that is trained, in the network's order. */
export function layerFigures(network: Network, sums: EpochSums): LayerFigures[] {
  const relus = network.nodes.flatMap((node, index) => (node.op.kind === 'relu' ? [index] : []));
  const owners = [...new Set(network.parameters.filter((p) => !p.frozen).map((p) => p.node))];
  return owners.map((owner) => {
    let squares = 0;
    let updateRatio = 0;
    network.parameters.forEach((p, i) => {
      if (p.node !== owner) return;
      squares += sums.gradientSquares[i] ?? 0;
      if (p.role === 'weight') updateRatio = (sums.updateRatios[i] ?? 0) / sums.steps;
    });
    const relu = relus.findIndex((index) => network.nodes[index]!.inputs[0] === owner);
    return {
      layer: network.nodes[owner]!.name,
      gradientNorm: Math.sqrt(squares / sums.steps),
      updateRatio,
      ...(relu >= 0 ? { deadShare: (sums.deadShares[relu] ?? 0) / sums.steps } : {}),
    };
  });
}
