/** What a dataset is to the training loop: three parts whose examples can be read by index, ready for the network. */
import type { StepPosition } from '../engines/engine';

export type Part = 'train' | 'validation' | 'test';

export interface Dataset {
  readonly classNames: readonly string[];
  /** Number of examples in each part; test is 0 where the data has none. */
  readonly counts: Readonly<Record<Part, number>>;
  /**
   * Reads examples of a part as the network sees them.
   * @param indices positions within the part
   * @param epoch decides the augmentation of training examples together with the seed and the index
   * @param images filled with indices.length × channels × height × width values
   * @param labels filled with class indices
   */
  read(
    part: Part,
    indices: Uint32Array,
    epoch: StepPosition['epoch'],
    images: Float32Array,
    labels: Int32Array,
  ): void | Promise<void>;
}
