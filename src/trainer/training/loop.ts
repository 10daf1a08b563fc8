/**
 * The training loop, read from top to bottom: trains epoch by epoch, validates after each, and tests the last parameters
 * at the end. run.ts makes one. Every random choice is a function of seed, epoch and index, so a run that goes on from a
 * checkpoint draws exactly the curve it would have had.
 */
import type { ResolvedExperiment } from '../../core/experiment';
import { evaluatedAtTheEnd, evaluationBatchSize } from '../../core/trainingRules';
import { Message, message, UserError } from '../../core/messages/message';
import { elements, Network } from '../../core/networks/network';
import type { EpochEvent, FinishedEvent, RunEvent, StepEvent } from '../../core/contracts/events';
import { evaluationBatches, trainingBatches } from '../data/batches';
import type { Dataset } from '../data/dataset';
import type { Part } from '../data/split';
import type { Batch, Model } from '../engines/engine';
import { predictedClass } from '../engines/step';
import { Checkpoints, withinEpochSeconds } from './cadence';
import { addStep, emptySums, layerFigures, Position, takeWindow } from './statistics';

/** About this many step events over a run; their spacing is fixed by the run, never by the clock. */
const stepEventsPerRun = 2000;

/** What the loop tells of itself, and what ends it. */
export interface LoopSurroundings {
  emit(event: RunEvent): void;
  progress(message: Message): void;
  /** Looked at after every step and every evaluated batch. */
  readonly signal: AbortSignal;
  /** Told after every step and evaluated batch: seconds that it can take from being asked to stop until all is written. */
  readonly stopTakes: (seconds: number) => void;
}

export const stepsPerEpoch = (examples: number, batchSize: number): number => Math.ceil(examples / batchSize);

export class Loop {
  private readonly steps: number;
  private readonly inputElements: number;
  private readonly stepEventStride: number;
  private startedAt = performance.now();
  private pausedAt = performance.now();
  /** Seconds between two pauses, at most so far: the longest that a request to stop has to wait. */
  private longest = 0;
  /** Seconds that an evaluated example takes; unknown (0) until the first validation. */
  private evaluationSeconds = 0;

  /** @param position where training begins; the loop moves it on */
  constructor(
    private readonly experiment: ResolvedExperiment,
    private readonly network: Network,
    private readonly model: Model,
    private readonly dataset: Dataset,
    private readonly checkpoints: Checkpoints,
    private readonly surroundings: LoopSurroundings,
    readonly position: Position = { epoch: 1, step: 0, seconds: 0, sums: emptySums() },
  ) {
    this.steps = stepsPerEpoch(dataset.counts.train, experiment.batchSize);
    this.inputElements = elements(network.inputShape);
    this.stepEventStride = Math.max(1, Math.ceil((this.steps * experiment.epochs) / stepEventsPerRun));
  }

  /** @throws UserError where training fails, the signal's reason where it is stopped; a checkpoint is written before */
  async train(): Promise<FinishedEvent> {
    this.startedAt = this.pausedAt = performance.now();
    this.checkpoints.begin();
    while (this.position.epoch <= this.experiment.epochs) {
      await this.trainEpoch();
      await this.endEpoch();
    }
    return this.test();
  }

  private async trainEpoch(): Promise<void> {
    const { epoch, step: firstStep, sums } = this.position;
    const { batchSize, seed, optimizer } = this.experiment;
    let before = performance.now();
    const batches = trainingBatches(this.dataset, this.inputElements, batchSize, seed, epoch, firstStep);
    for await (const batch of this.keptWhereUnreadable(batches)) {
      const { step } = this.position;
      const result = await this.model.trainStep(batch, { epoch, step }, optimizer.learningRate);
      if (!Number.isFinite(result.loss)) {
        throw new UserError(
          message('lossNotFinite', { loss: String(result.loss), epoch, step }),
          message('lossNotFiniteAdvice', { learningRate: optimizer.learningRate }),
        );
      }
      const now = performance.now();
      addStep(sums, result, batch.size, (now - before) / 1000);
      before = now;
      this.position.step += 1;
      const done = (epoch - 1) * this.steps + this.position.step;
      // The first step too: a curve that begins at once tells the user that training has begun.
      if (done === 1 || done % this.stepEventStride === 0) this.surroundings.emit(this.stepEvent(epoch, step));
      await this.pause();
    }
  }

  private async endEpoch(): Promise<void> {
    const { epoch, sums } = this.position;
    const { learningRate } = this.experiment.optimizer;
    const before = performance.now();
    const validation = await this.evaluate('validation');
    const seconds = (performance.now() - before) / 1000;
    this.evaluationSeconds = seconds / this.dataset.counts.validation;
    const layers = layerFigures(this.network, sums);
    const logitStd = sums.logitStd / sums.steps;
    const figures = [logitStd, validation.loss, ...layers.flatMap((l) => [l.gradientNorm, l.updateRatio])];
    if (!figures.every(Number.isFinite)) {
      throw new UserError(message('figuresNotFinite', { epoch }), message('lossNotFiniteAdvice', { learningRate }));
    }
    const event: EpochEvent = {
      type: 'epoch',
      epoch,
      trainLoss: sums.loss / sums.examples,
      trainAccuracy: sums.correct / sums.examples,
      validationLoss: validation.loss,
      validationAccuracy: validation.accuracy,
      learningRate,
      seconds: sums.seconds + seconds,
      imagesPerSecond: sums.examples / sums.seconds,
      layers,
      logitStd,
    };
    this.surroundings.emit(event);
    (this.position.told ??= []).push(event);
    const isBest = !this.position.best || validation.accuracy > this.position.best.validationAccuracy;
    if (isBest) this.position.best = { epoch, validationAccuracy: validation.accuracy };
    this.position.epoch += 1;
    this.position.step = 0;
    this.position.sums = emptySums(sums);
    const last = this.position.epoch > this.experiment.epochs;
    // Without the last one the run would have nothing to show for itself; any other can wait for the next.
    if (last) await this.writeCheckpoint(isBest ? epoch : undefined);
    else if (this.checkpoints.due()) await this.attemptCheckpoint(isBest ? epoch : undefined);
    else if (isBest) await this.checkpoints.keepBest(epoch);
  }

  private async test(): Promise<FinishedEvent> {
    this.surroundings.progress(message('testing'));
    const testedOnTestSet = this.dataset.counts.test > 0;
    const { loss, accuracy, confusion } = await this.evaluate(testedOnTestSet ? 'test' : 'validation');
    return {
      type: 'finished',
      testLoss: loss,
      testAccuracy: accuracy,
      testedOnTestSet,
      bestEpoch: this.position.best!.epoch,
      bestValidationAccuracy: this.position.best!.validationAccuracy,
      confusion,
      seconds: this.elapsed(),
    };
  }

  private async evaluate(part: Part): Promise<{ loss: number; accuracy: number; confusion: number[][] }> {
    const classes = this.dataset.classNames.length;
    const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
    const { outputs } = this.network;
    const batchSize = evaluationBatchSize(this.experiment.batchSize, this.inputElements);
    let loss = 0;
    let correct = 0;
    const batches = evaluationBatches(this.dataset, part, this.inputElements, batchSize);
    for await (const batch of this.keptWhereUnreadable(batches)) {
      const { lossSum, logits } = await this.model.evaluate(batch);
      loss += lossSum;
      for (let i = 0; i < batch.size; i++) {
        const predicted = predictedClass(logits, i * outputs, outputs);
        confusion[batch.labels[i]!]![predicted]! += 1;
        if (predicted === batch.labels[i]) correct += 1;
      }
      await this.pause();
    }
    const count = this.dataset.counts[part];
    return { loss: loss / count, accuracy: correct / count, confusion };
  }

  private stepEvent(epoch: number, step: number): StepEvent {
    const { sums } = this.position;
    const imagesPerSecond = sums.examples / sums.seconds;
    const { train, validation } = this.dataset.counts;
    const trainLeft = this.experiment.epochs * train - (epoch - 1) * train - sums.examples;
    const evaluateLeft = (this.experiment.epochs - epoch + 1) * validation + evaluatedAtTheEnd(this.dataset.counts);
    // Before the first validation: a forward pass is about a third of a training step.
    const evaluationSeconds = this.evaluationSeconds || 1 / (3 * imagesPerSecond);
    const secondsLeft = trainLeft / imagesPerSecond + evaluateLeft * evaluationSeconds;
    return { type: 'step', epoch, step, loss: takeWindow(sums), imagesPerSecond, secondsLeft };
  }

  /** Where the data can no longer be read, what was trained so far is written down before the run ends. */
  private async *keptWhereUnreadable(batches: AsyncGenerator<Batch>): AsyncGenerator<Batch> {
    try {
      yield* batches;
    } catch (error) {
      await this.attemptCheckpoint();
      throw error;
    }
  }

  /** Lets messages in, writes a checkpoint when one is due, and stops where asked to. */
  private async pause(): Promise<void> {
    this.longest = Math.max(this.longest, (performance.now() - this.pausedAt) / 1000);
    const { signal, stopTakes } = this.surroundings;
    stopTakes(this.longest + this.checkpoints.expected);
    await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) await this.writeCheckpoint();
    else if (this.checkpoints.due(withinEpochSeconds)) await this.attemptCheckpoint();
    signal.throwIfAborted();
    this.pausedAt = performance.now();
  }

  private writeCheckpoint(best?: number): Promise<void> {
    return this.checkpoints.write({ ...this.position, seconds: this.elapsed() }, best);
  }

  /** A checkpoint that cannot be written is told; training goes on and tries again with the next. */
  private async attemptCheckpoint(best?: number): Promise<void> {
    const failure = await this.checkpoints.attempt({ ...this.position, seconds: this.elapsed() }, best);
    if (!failure) return;
    const text = message('checkpointNotWritten', { reason: failure.userMessage });
    this.surroundings.emit({ type: 'warning', message: text });
  }

  private elapsed(): number {
    return this.position.seconds + (performance.now() - this.startedAt) / 1000;
  }
}
