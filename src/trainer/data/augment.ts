/**
 * Augmentation: draws what is to be done to a training image, with torchvision's and Keras's distributions, and does
 * it. What is drawn is a function of seed, epoch and the image's index alone. prepare.ts calls it for every image.
 */
import type { ResolvedExperiment } from '../../core/experiment';
import { permutation, Purpose, StreamKey, streamKey, uniform } from '../../core/random';
import { Axis, chainAxes, Image, partOfAxis, Raster, resizeAxis } from './raster';

type Settings = NonNullable<ResolvedExperiment['augment']>;

/** A part of an image, in pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** What happens to one image in one epoch, in this order. */
export interface Augmentation {
  readonly crop?: Box;
  /** Where the network's square lies in the enlarged one, as shares of the room that there is. */
  readonly shift?: { readonly x: number; readonly y: number };
  readonly mirrored: boolean;
  /** Counter-clockwise. */
  readonly degrees: number;
  /** The jitter's parts in the order in which they are applied. */
  readonly jitter: readonly { readonly part: JitterPart; readonly amount: number }[];
  readonly channelContrast?: number;
}

const jitterParts = ['brightness', 'contrast', 'saturation', 'hue'] as const;
type JitterPart = (typeof jitterParts)[number];

/** Each random choice has a stream of its own, so that one more setting leaves the others as they were. */
const Stream = { crop: 0, mirror: 1, rotation: 2, jitter: 3, jitterOrder: 4, shift: 5, channelContrast: 6 } as const;

/**
 * Draws the augmentation of one chart.
 * @param index position among the training examples
 * @param width,height of the image's file
 */
export function drawAugmentation(
  settings: Settings,
  seed: number,
  epoch: number,
  index: number,
  width: number,
  height: number,
): Augmentation {
  const stream = (which: number) => streamKey(seed, Purpose.augment, epoch, index, which);
  const between = (low: number, high: number, key: StreamKey, i = 0) => low + (high - low) * uniform(key, i);
  const { randomResizedCrop, randomCrop, horizontalFlip, rotation = 0, colorJitter, channelContrast } = settings;
  const order = permutation(stream(Stream.jitterOrder), jitterParts.length);
  const jitter = !colorJitter
    ? []
    : Array.from(order, (i) => {
        const part = jitterParts[i]!;
        const range = colorJitter[part];
        const centre = part === 'hue' ? 0 : 1;
        const low = part === 'hue' ? -range : Math.max(0, 1 - range);
        return { part, range, amount: between(low, centre + range, stream(Stream.jitter), i) };
      }).filter(({ range }) => range > 0);
  return {
    ...(randomResizedCrop ? { crop: drawCrop(randomResizedCrop, stream(Stream.crop), width, height) } : {}),
    ...(randomCrop ? { shift: { x: uniform(stream(Stream.shift), 0), y: uniform(stream(Stream.shift), 1) } } : {}),
    mirrored: horizontalFlip !== undefined && uniform(stream(Stream.mirror), 0) < horizontalFlip,
    degrees: rotation === 0 ? 0 : between(-rotation, rotation, stream(Stream.rotation)),
    jitter,
    ...(channelContrast
      ? { channelContrast: between(1 - channelContrast, 1 + channelContrast, stream(Stream.channelContrast)) }
      : {}),
  };
}

/** torchvision's RandomResizedCrop.get_params: ten attempts, then the largest part in the middle that fits. */
function drawCrop(
  { scale, ratio }: NonNullable<Settings['randomResizedCrop']>,
  key: StreamKey,
  width: number,
  height: number,
): Box {
  const area = width * height;
  for (let attempt = 0; attempt < 10; attempt++) {
    const u = (i: number) => uniform(key, attempt * 4 + i);
    const target = area * (scale[0] + (scale[1] - scale[0]) * u(0));
    const [low, high] = [Math.log(ratio[0]), Math.log(ratio[1])];
    const aspect = Math.exp(low + (high - low) * u(1));
    const w = Math.round(Math.sqrt(target * aspect));
    const h = Math.round(Math.sqrt(target / aspect));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const top = Math.floor(u(2) * (height - h + 1));
    const left = Math.floor(u(3) * (width - w + 1));
    return { left, top, width: w, height: h };
  }
  const own = width / height;
  const w = own > ratio[1] ? Math.round(height * ratio[1]) : width;
  const h = own < ratio[0] ? Math.round(width / ratio[0]) : height;
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/** How an image meets the network, beside its augmentation. */
export interface Framing {
  readonly antialias: boolean;
  /** Side of the enlarged square that is cropped, over the network's; 1 for none. */
  readonly enlarge: number;
  /** Whether an image that is not augmented is enlarged and cropped too, in the middle. */
  readonly centred?: boolean;
}

/**
 * Makes the network's square of an image, augmented or as it is, in `raster`.
 * @param augmentation undefined: the whole image resized, or its middle where `centred` says so, as for evaluation
 */
export function apply(
  raster: Raster,
  image: Image,
  augmentation: Augmentation | undefined,
  { antialias, enlarge, centred = false }: Framing,
  fill: Settings['rotationFill'],
): void {
  const { size } = raster;
  const { width, height } = image;
  // torchvision's stages hand on images of bytes, Keras's floats.
  const whole = antialias;
  const box = augmentation?.crop ?? { left: 0, top: 0, width, height };
  const axis = (length: number, from: number, span: number, shift: number | undefined): Axis => {
    const direct = resizeAxis(length, from, span, size, antialias);
    if (shift === undefined && (augmentation || !centred)) return direct;
    const enlarged = Math.round(size * enlarge);
    const room = enlarged - size;
    const second = resizeAxis(size, 0, size, enlarged, antialias);
    // Keras's CenterCrop rounds down.
    const first = shift === undefined ? Math.floor(room / 2) : Math.floor(shift * (room + 1));
    return partOfAxis(chainAxes(direct, second), first, size);
  };
  const rows = axis(height, box.top, box.height, augmentation?.shift?.y);
  const columns = axis(width, box.left, box.width, augmentation?.shift?.x);
  raster.resample(image, rows, augmentation?.mirrored ? partOfAxis(columns, 0, size, true) : columns, whole);
  if (augmentation && augmentation.degrees !== 0) raster.rotate(augmentation.degrees, fill, whole);
  raster.separate();
  for (const { part, amount } of augmentation?.jitter ?? []) raster[part](amount);
  if (augmentation?.channelContrast !== undefined) raster.channelContrast(augmentation.channelContrast);
}
