/**
 * torchvision's ImageNet weights: the user's own copy, or one downloaded from its published address into the user's cache
 * folder. start.ts asks for them where an experiment starts from them.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Message, message, UserError } from '../../core/messages/message';
import { Checkpoint, NetworkName, networks } from '../../core/networks/catalog';
import { cacheFolder } from '../../disk/places';
import { digestOf, download } from './download';

/** Where torchvision's models have their weights (torchvision/models/*.py); CONVLAB_WEIGHTS names a mirror of it. */
const published = 'https://download.pytorch.org/models/';

/** Experiments that stand in for ImageNet where it cannot be had: they train the same network on other images. */
const standIns: Partial<Record<NetworkName, string>> = { alexnet: 'alexnet-cifar8' };

export interface ImagenetSurroundings {
  /** A folder of the user's with torchvision's files under their own names; it is asked first. */
  readonly weightsFolder?: string;
  progress(message: Message): void;
  readonly signal: AbortSignal;
}

/** The first eight digits of the file's SHA-256, which its name ends in. */
const digitsOf = ({ file }: Checkpoint): string => /-([0-9a-f]{8})\.pth$/.exec(file)![1]!;

/**
 * A network's ImageNet weights, on disk and verified.
 * @param checkpoint other than the network's own only in tests
 * @throws UserError where they cannot be had, and the signal's reason
 */
export async function imagenetFile(
  network: NetworkName,
  surroundings: ImagenetSurroundings,
  checkpoint = checkpointOf(network),
): Promise<{ readonly file: string; readonly sha256: string }> {
  const { weightsFolder, progress, signal } = surroundings;
  const digits = digitsOf(checkpoint);
  if (weightsFolder !== undefined) {
    const file = path.join(weightsFolder, checkpoint.file);
    if (fs.existsSync(file)) {
      const sha256 = await digestOf(file, signal);
      if (sha256.startsWith(digits)) return { file, sha256 };
      const found = sha256.slice(0, digits.length);
      throw new UserError(message('imagenetAltered', { file, digits, found }), message('weightsDamagedAdvice'));
    }
  }
  const file = path.join(cacheFolder(), 'weights', checkpoint.file);
  if (fs.existsSync(file)) {
    const sha256 = await digestOf(file, signal);
    if (sha256.startsWith(digits)) return { file, sha256 };
    fs.rmSync(file);
  }
  const base = process.env['CONVLAB_WEIGHTS'] || published;
  let told = -1;
  try {
    const address = new URL(checkpoint.file, base.endsWith('/') ? base : `${base}/`).href;
    const sha256 = await download({ address, file, digits }, {
      signal,
      received(bytes, total) {
        const megabytes = Math.floor(bytes / 1e6);
        if (megabytes === told) return;
        told = megabytes;
        const args = { file: checkpoint.file, done: megabytes };
        progress(
          total === undefined
            ? message('downloadingWeights', args)
            : message('downloadingWeightsOf', { ...args, total: Math.ceil(total / 1e6) }),
        );
      },
    }); // prettier-ignore
    return { file, sha256 };
  } catch (error) {
    if (!(error instanceof UserError) || error.advice) throw error;
    const experiment = standIns[network];
    const title = networks[network].title;
    throw new UserError(
      error.userMessage,
      experiment === undefined
        ? message('imagenetAdvice', { file: checkpoint.file, network: title })
        : message('imagenetAdviceStandIn', { file: checkpoint.file, experiment }),
      { cause: error },
    );
  }
}

function checkpointOf(name: NetworkName): Checkpoint {
  const network: { readonly title: string; readonly imagenet?: Checkpoint } = networks[name];
  if (!network.imagenet) throw new Error(`there are no ImageNet weights for ${name}`);
  return network.imagenet;
}
