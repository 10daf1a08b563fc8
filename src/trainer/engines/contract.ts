/**
 * The failure contract of engine.ts, kept in one place for every engine: what a caller gets wrong, what goes wrong inside
 * the library, and what is disposed. Engines give their models to {@link engineOf} and check nothing themselves.
 */
import type { Network } from '../../core/networks/network';
import type { Batch, Engine, Model, ModelOptions, ModelState, StepPosition } from './engine';
import { checkArrays, checkBatch, checkState, computationError } from './step';

/** An engine as its own code makes it. */
export interface EngineParts extends Omit<Engine, 'compile' | 'dispose'> {
  /**
   * Compiles a network. Of the model that it gives, dispose() is called once, load() with what fits the network, all else
   * after load() with batches that fit the options, and nothing after a call that failed but dispose().
   */
  build(network: Network, options: ModelOptions): Model | Promise<Model>;
  /**
   * Asked after every computation, with what it threw if it failed: what the device reported to have gone wrong, for a
   * library that otherwise hands on wrong numbers.
   */
  trouble?(thrown?: unknown): Promise<Error | undefined>;
  /** Lets go of the library, once, when all models have gone. */
  close?(): void | Promise<void>;
}

/** An engine whose models keep the contract. */
export function engineOf({ build, trouble, close, ...about }: EngineParts): Engine {
  const models = new Set<Model>();
  let disposed = false;
  return {
    ...about,
    async compile(network, options) {
      if (disposed) throw new Error('The engine has been disposed.');
      let built: Model;
      try {
        built = await build(network, options);
      } catch (error) {
        throw computationError(error, options.batchSize);
      }
      const model: Model = new HeldModel(built, options, () => models.delete(model), trouble);
      models.add(model);
      return model;
    },
    async dispose() {
      if (disposed) return;
      disposed = true;
      try {
        await Promise.all([...models].map((model) => model.dispose()));
      } finally {
        await close?.();
      }
    },
  };
}

class HeldModel implements Model {
  readonly network: Network;
  readonly microBatch: number;
  readonly warnings: NonNullable<Model['warnings']>;
  private loaded = false;
  private disposed = false;

  constructor(
    private readonly model: Model,
    private readonly options: ModelOptions,
    private readonly onDispose: () => void,
    private readonly trouble: EngineParts['trouble'],
  ) {
    this.network = model.network;
    this.microBatch = model.microBatch;
    this.warnings = model.warnings ?? [];
  }

  async load(state: ModelState): Promise<void> {
    this.open();
    checkState(this.network, state);
    await this.guarded(() => this.model.load(state));
    this.loaded = true;
  }

  async save(withMoments?: boolean): Promise<ModelState> {
    this.ready();
    return this.guarded(() => this.model.save(withMoments));
  }

  async trainStep(batch: Batch, at: StepPosition, learningRate: number): ReturnType<Model['trainStep']> {
    this.ready();
    checkBatch(batch, this.network, this.options);
    return this.guarded(() => this.model.trainStep(batch, at, learningRate));
  }

  async gradients(batch: Batch, at: StepPosition): ReturnType<Model['gradients']> {
    this.ready();
    checkBatch(batch, this.network, this.options);
    return this.guarded(() => this.model.gradients(batch, at));
  }

  async evaluate(batch: Batch): ReturnType<Model['evaluate']> {
    this.ready();
    checkArrays(batch, this.network);
    return this.guarded(() => this.model.evaluate(batch));
  }

  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.onDispose();
    await this.model.dispose();
  }

  private open(): void {
    if (this.disposed) throw new Error('The model has been disposed.');
  }

  private ready(): void {
    this.open();
    if (!this.loaded) throw new Error('The model has no parameters yet: load() comes first.');
  }

  /** Runs a computation; when it fails the model is disposed, because nobody can say how far it came. */
  private async guarded<Result>(compute: () => Promise<Result>): Promise<Result> {
    try {
      const result = await compute();
      const trouble = await this.trouble?.();
      if (trouble) throw trouble;
      return result;
    } catch (error) {
      const cause = (await this.trouble?.(error)) ?? error;
      // Why it failed is what the caller must hear, whatever else goes wrong now.
      await this.dispose().catch(() => undefined);
      throw computationError(cause, this.options.batchSize);
    }
  }
}
