/** ResNet-18 and ResNet-50 (He et al. 2015; torchvision/models/resnet.py, the v1.5 bottleneck with its stride in the 3×3). */
import { kaimingNormalFanOut, Network, NetworkBuilder } from './network';

type Block = (net: NetworkBuilder, name: string, from: number, width: number, stride: number) => number;

const convBn = (net: NetworkBuilder, conv: string, bn: string, from: number, out: number, kernel: number, stride = 1) =>
  net.batchNorm(
    bn,
    net.conv(conv, from, out, {
      kernel,
      stride,
      padding: (kernel - 1) / 2,
      bias: false,
      weightInit: kaimingNormalFanOut,
    }),
  );

/** The shortcut: identity where the shapes agree, else a strided 1×1 convolution and batch norm. */
function shortcut(net: NetworkBuilder, name: string, from: number, out: number, stride: number): number {
  if (stride === 1 && net.shape(from)[0] === out) return from;
  return convBn(net, `${name}.downsample.0`, `${name}.downsample.1`, from, out, 1, stride);
}

const basic: Block = (net, name, from, width, stride) => {
  let x = net.relu(`${name}.relu1`, convBn(net, `${name}.conv1`, `${name}.bn1`, from, width, 3, stride));
  x = convBn(net, `${name}.conv2`, `${name}.bn2`, x, width, 3);
  return net.relu(`${name}.relu`, net.add(`${name}.add`, x, shortcut(net, name, from, width, stride)));
};

const bottleneck: Block = (net, name, from, width, stride) => {
  let x = net.relu(`${name}.relu1`, convBn(net, `${name}.conv1`, `${name}.bn1`, from, width, 1));
  x = net.relu(`${name}.relu2`, convBn(net, `${name}.conv2`, `${name}.bn2`, x, width, 3, stride));
  x = convBn(net, `${name}.conv3`, `${name}.bn3`, x, width * 4, 1);
  return net.relu(`${name}.relu`, net.add(`${name}.add`, x, shortcut(net, name, from, width * 4, stride)));
};

function resnet(
  name: string,
  block: Block,
  depths: readonly number[],
  input: readonly [number, number, number],
  outputs: number,
): Network {
  const net = new NetworkBuilder(name, input);
  let x = net.relu('relu', convBn(net, 'conv1', 'bn1', net.input, 64, 7, 2));
  x = net.maxPool('maxpool', x, { kernel: 3, stride: 2, padding: 1 });
  depths.forEach((depth, stage) => {
    for (let i = 0; i < depth; i++) {
      x = block(net, `layer${stage + 1}.${i}`, x, 64 << stage, stage > 0 && i === 0 ? 2 : 1);
    }
  });
  x = net.flatten('flatten', net.adaptiveAvgPool('avgpool', x, 1));
  net.linear('fc', x, outputs);
  return net.build();
}

export const resnet18 = (input: readonly [number, number, number], outputs: number): Network =>
  resnet('resnet18', basic, [2, 2, 2, 2], input, outputs);

export const resnet50 = (input: readonly [number, number, number], outputs: number): Network =>
  resnet('resnet50', bottleneck, [3, 4, 6, 3], input, outputs);
