/** What a dataset is to the training loop: three parts whose examples can be read by index, ready for the network. */
import type { ResolvedExperiment } from '../../core/experiment';
import type { Message } from '../../core/messages/message';
import type { DataProvenance } from '../../core/contracts/events';
import type { StepPosition } from '../engines/engine';
import type { Part, StoredSplit } from './split';

export interface Dataset {
  readonly classNames: readonly string[];
  /** Number of examples in each part; test is 0 where the data has none. */
  readonly counts: Readonly<Record<Part, number>>;
  /** Which data this is, for the user. */
  readonly provenance: DataProvenance;
  /** What the user should know about it, such as files that were left out. */
  readonly warnings: readonly Message[];
  /** The parts by name, where a later process could not draw them again from the experiment alone. */
  readonly split?: StoredSplit;
  /** Whether the test images that a limit leaves are drawn by the seed; absent where the parts are kept by name. */
  readonly testDrawn?: boolean;
  /** Batches that are worth reading ahead while the engine works on another; default 1. */
  readonly readAhead?: number;
  /**
   * Reads examples of a part as the network sees them.
   * @param indices positions within the part
   * @param epoch decides the augmentation of training examples together with the seed and the index; 0: none
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
  /** Ends what works in the background; nothing is read afterwards. */
  close?(): Promise<void>;
}

/** Mean and standard deviation by channel, of values 0 to 1. */
export const normalizations: Record<
  ResolvedExperiment['input']['normalize'],
  { readonly mean: readonly number[]; readonly std: readonly number[] }
> = {
  none: { mean: [0, 0, 0], std: [1, 1, 1] },
  half: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  // torchvision's ImageNet statistics.
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
};
