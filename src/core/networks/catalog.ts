/** The networks by the names that experiment files use. */
import { alexnet } from './alexnet';
import { alexnetKeras, alexnetTf, resnet50Keras, vgg16Keras, vgg16Tf } from './keras';
import { lenet5 } from './lenet5';
import { freezeFeatures, Network } from './network';
import { resnet18, resnet50 } from './resnet';
import { vgg16 } from './vgg16';

type Build = (input: readonly [number, number, number], outputs: number) => Network;

/** A file of pretrained weights; its name ends in the first eight digits of its SHA-256. */
export interface Checkpoint {
  readonly file: string;
}

/** Every architecture, with its name as it is printed, and torchvision's ImageNet weights (torchvision/models/*.py). */
export const networks = {
  lenet5: { title: 'LeNet-5', build: lenet5 },
  alexnet: { title: 'AlexNet', build: alexnet, imagenet: { file: 'alexnet-owt-7be5be79.pth' } },
  vgg16: { title: 'VGG-16', build: vgg16, imagenet: { file: 'vgg16-397923af.pth' } },
  resnet18: { title: 'ResNet-18', build: resnet18, imagenet: { file: 'resnet18-f37072fd.pth' } },
  resnet50: { title: 'ResNet-50', build: resnet50, imagenet: { file: 'resnet50-0676ba61.pth' } },
  'alexnet-tf': { title: 'AlexNet (Keras)', build: alexnetTf },
  'vgg16-tf': { title: 'VGG-16 (Keras)', build: vgg16Tf },
  'alexnet-keras': { title: 'AlexNet (Keras, padded)', build: alexnetKeras },
  'vgg16-keras': { title: 'VGG-16 (Keras, without dropout)', build: vgg16Keras },
  'resnet50-keras': { title: 'ResNet-50 (Keras)', build: resnet50Keras },
} satisfies Record<string, { title: string; build: Build; imagenet?: Checkpoint }>;

export type NetworkName = keyof typeof networks;
export const networkNames = Object.keys(networks) as [NetworkName, ...NetworkName[]];

/**
 * Builds a network.
 * @param input [channels, height, width]
 * @param outputs number of logits (1 for two classes under BCE)
 * @param freeze what is to stay as it is loaded
 * @throws WindowTooLarge when the input is too small for the network
 */
export function buildNetwork(
  name: NetworkName,
  input: readonly [number, number, number],
  outputs: number,
  freeze?: 'features',
): Network {
  const network = networks[name].build(input, outputs);
  return freeze ? freezeFeatures(network) : network;
}
