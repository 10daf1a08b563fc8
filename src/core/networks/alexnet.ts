/** AlexNet as torchvision builds it (Krizhevsky 2014, "One weird trick"; torchvision/models/alexnet.py). */
import { Network, NetworkBuilder } from './network';

export function alexnet(input: readonly [number, number, number], outputs: number): Network {
  const net = new NetworkBuilder('alexnet', input);
  let x = net.input;
  x = net.relu('features.1', net.conv('features.0', x, 64, { kernel: 11, stride: 4, padding: 2 }));
  x = net.maxPool('features.2', x, { kernel: 3, stride: 2 });
  x = net.relu('features.4', net.conv('features.3', x, 192, { kernel: 5, padding: 2 }));
  x = net.maxPool('features.5', x, { kernel: 3, stride: 2 });
  x = net.relu('features.7', net.conv('features.6', x, 384, { kernel: 3, padding: 1 }));
  x = net.relu('features.9', net.conv('features.8', x, 256, { kernel: 3, padding: 1 }));
  x = net.relu('features.11', net.conv('features.10', x, 256, { kernel: 3, padding: 1 }));
  x = net.maxPool('features.12', x, { kernel: 3, stride: 2 });
  x = net.flatten('flatten', net.adaptiveAvgPool('avgpool', x, 6));
  x = net.dropout('classifier.0', x, 0.5);
  x = net.relu('classifier.2', net.linear('classifier.1', x, 4096));
  x = net.dropout('classifier.3', x, 0.5);
  x = net.relu('classifier.5', net.linear('classifier.4', x, 4096));
  net.linear('classifier.6', x, outputs);
  return net.build();
}
