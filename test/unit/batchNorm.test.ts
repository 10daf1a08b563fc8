/** Settings with which batch norm would meet one value per channel are refused, as PyTorch refuses them. */
import { expect, it } from 'vitest';
import { buildNetwork } from '../../src/core/networks/catalog';
import { freezeFeatures } from '../../src/core/networks/network';
import { refuseSingleValues } from '../../src/trainer/training/batchNorm';

const resnet = (size: number) => buildNetwork('resnet18', [3, size, size], 1);

// At 32 pixels ResNet-18's last layers have one pixel, at 64 four.
it.each<[string, number, number, number, number?]>([
  ['several images', 32, 10, 4],
  ['one image of several pixels', 64, 10, 1],
  ['a last image of several pixels', 64, 9, 4],
  ['one batch that is not full', 32, 3, 8],
  ['passes of several', 32, 16, 8, 4],
  ['passes without a rest', 32, 24, 6, 3],
])('%s are taken', (_, size, examples, batchSize, passes) => {
  expect(() => refuseSingleValues(resnet(size), examples, batchSize, passes)).not.toThrow();
});

it.each<[string, number, number, number | undefined, RegExp]>([
  ['a batch of one', 10, 1, undefined, /With one image at a time, .*in layer4\.0\.bn1/],
  ['passes of one', 10, 4, 1, /With one image at a time/],
  ['one training image', 1, 4, undefined, /With one image at a time/],
  ['a last batch of one', 9, 4, undefined, /9 training images in batches of 4 leave a last batch of one image/],
  ['a last pass of one', 20, 5, 2, /in batches of 5, 2 passing through the network at a time, leave a single image/],
  ['a last pass of one in the last batch', 11, 8, 2, /11 training images in batches of 8, 2 passing/],
])('%s is refused', (_, examples, batchSize, passes, sentence) => {
  expect(() => refuseSingleValues(resnet(32), examples, batchSize, passes)).toThrow(sentence);
});

it('is of no matter without batch norm, or where it stays as it was loaded', () => {
  expect(() => refuseSingleValues(buildNetwork('lenet5', [1, 32, 32], 10), 9, 1)).not.toThrow();
  expect(() => refuseSingleValues(freezeFeatures(resnet(32)), 9, 1)).not.toThrow();
});
