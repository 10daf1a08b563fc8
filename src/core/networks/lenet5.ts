/** LeNet-5 (LeCun et al. 1998) as the course notes write it: ReLU, 2×2 average pooling, plain linear head. */
import { Network, NetworkBuilder } from './network';

export function lenet5(input: readonly [number, number, number], outputs: number): Network {
  const net = new NetworkBuilder('lenet5', input);
  let x = net.input;
  x = net.relu('relu1', net.conv('conv1', x, 6, { kernel: 5 }));
  x = net.avgPool('pool1', x, { kernel: 2 });
  x = net.relu('relu2', net.conv('conv2', x, 16, { kernel: 5 }));
  x = net.avgPool('pool2', x, { kernel: 2 });
  x = net.flatten('flatten', x);
  x = net.relu('relu3', net.linear('fc1', x, 120));
  x = net.relu('relu4', net.linear('fc2', x, 84));
  net.linear('fc3', x, outputs);
  return net.build();
}
