/** VGG-16, configuration D without batch norm (Simonyan & Zisserman 2014; torchvision/models/vgg.py). */
import { constant, kaimingNormalFanOut, Network, NetworkBuilder, normal } from './network';

const stages = [
  [64, 64],
  [128, 128],
  [256, 256, 256],
  [512, 512, 512],
  [512, 512, 512],
];

export function vgg16(input: readonly [number, number, number], outputs: number): Network {
  const net = new NetworkBuilder('vgg16', input);
  const head = { weightInit: normal(0.01), biasInit: constant(0) };
  let x = net.input;
  let index = 0;
  for (const stage of stages) {
    for (const channels of stage) {
      x = net.conv(`features.${index}`, x, channels, {
        kernel: 3,
        padding: 1,
        weightInit: kaimingNormalFanOut,
        biasInit: constant(0),
      });
      x = net.relu(`features.${index + 1}`, x);
      index += 2;
    }
    x = net.maxPool(`features.${index}`, x, { kernel: 2 });
    index += 1;
  }
  x = net.flatten('flatten', net.adaptiveAvgPool('avgpool', x, 7));
  x = net.dropout('classifier.2', net.relu('classifier.1', net.linear('classifier.0', x, 4096, head)), 0.5);
  x = net.dropout('classifier.5', net.relu('classifier.4', net.linear('classifier.3', x, 4096, head)), 0.5);
  // The course replaces the last layer after construction, so it has PyTorch's default initialisation.
  net.linear('classifier.6', x, outputs);
  return net.build();
}
