/**
 * The networks of the course notes' TensorFlow appendix (`-tf`, layer by layer as the notes build them) and of Keras itself:
 * Glorot-uniform weights, zero biases, a head that takes the flattened image at whatever size it has, and layer names as
 * Keras gives them. catalog.ts lists them. They are networks of their own, not torchvision's under other names.
 */
import { constant, glorotUniform, Network, NetworkBuilder } from './network';

type Input = readonly [number, number, number];

/** What keras.layers.Conv2D and Dense do unless told otherwise. */
const keras = { weightInit: glorotUniform, biasInit: constant(0) };

/** Flattened image, and two dropouts of one half, as both of the appendix's heads have it. */
function denseHead(net: NetworkBuilder, from: number, outputs: number): void {
  let x = net.flatten('flatten', from);
  x = net.dropout('dropout1', net.relu('relu6', net.linear('fc1', x, 4096, keras)), 0.5);
  x = net.dropout('dropout2', net.relu('relu7', net.linear('fc2', x, 4096, keras)), 0.5);
  net.linear('predictions', x, outputs, keras);
}

/**
 * The appendix's AlexNet: the channels of the first paper (Krizhevsky et al. 2012), in one column, without local response
 * normalisation. The first convolution names no padding, which is Keras's `valid`; the others name `same`.
 */
export const alexnetTf = (input: Input, outputs: number) => alexnetInKeras('alexnet-tf', input, outputs, 0);

/**
 * The former reading of the appendix's AlexNet, `same` in the first convolution too. It stays for the runs that were trained
 * with it, which open, go on and are started from under this name.
 */
export const alexnetKeras = (input: Input, outputs: number) => alexnetInKeras('alexnet-keras', input, outputs, 'same');

function alexnetInKeras(name: string, input: Input, outputs: number, first: 0 | 'same'): Network {
  const net = new NetworkBuilder(name, input);
  const conv = (
    index: number,
    from: number,
    channels: number,
    kernel: number,
    stride = 1,
    padding: 0 | 'same' = 'same',
  ) => net.relu(`relu${index}`, net.conv(`conv${index}`, from, channels, { kernel, stride, padding, ...keras }));
  const pool = (index: number, from: number) => net.maxPool(`pool${index}`, from, { kernel: 3, stride: 2 });
  let x = pool(1, conv(1, net.input, 96, 11, 4, first));
  x = pool(2, conv(2, x, 256, 5));
  x = conv(4, conv(3, x, 384, 3), 384, 3);
  denseHead(net, pool(5, conv(5, x, 256, 3)), outputs);
  return net.build();
}

/** The appendix's VGG-16: Keras's convolutions (`include_top=False`) with a head of the notes' own, which has dropout. */
export function vgg16Tf(input: Input, outputs: number): Network {
  const net = new NetworkBuilder('vgg16-tf', input);
  denseHead(net, vgg16Features(net), outputs);
  return net.build();
}

/** keras.applications.VGG16 with its own top: no dropout, unlike torchvision's and the notes'. */
export function vgg16Keras(input: Input, outputs: number): Network {
  const net = new NetworkBuilder('vgg16-keras', input);
  let x = net.flatten('flatten', vgg16Features(net));
  x = net.relu('fc1_relu', net.linear('fc1', x, 4096, keras));
  x = net.relu('fc2_relu', net.linear('fc2', x, 4096, keras));
  net.linear('predictions', x, outputs, keras);
  return net.build();
}

/** The convolutions of keras.applications.VGG16 (Simonyan & Zisserman 2014, configuration D). */
function vgg16Features(net: NetworkBuilder): number {
  const blocks = [
    [64, 2],
    [128, 2],
    [256, 3],
    [512, 3],
    [512, 3],
  ] as const;
  let x = net.input;
  blocks.forEach(([channels, depth], i) => {
    for (let j = 1; j <= depth; j++) {
      const name = `block${i + 1}_conv${j}`;
      x = net.relu(`${name}_relu`, net.conv(name, x, channels, { kernel: 3, padding: 'same', ...keras }));
    }
    x = net.maxPool(`block${i + 1}_pool`, x, { kernel: 2 });
  });
  return x;
}

/**
 * keras.applications.ResNet50 (He et al. 2015). Unlike torchvision's it strides in the first 1×1 convolution of a block,
 * gives every convolution a bias, and normalises with ε 1.001e-5 and running statistics that move by 0.01.
 */
export function resnet50Keras(input: Input, outputs: number): Network {
  const net = new NetworkBuilder('resnet50-keras', input);
  const convBn = (
    name: string,
    from: number,
    channels: number,
    kernel: number,
    stride = 1,
    padding: number | 'same' = 0,
  ) =>
    net.batchNorm(`${name}_bn`, net.conv(`${name}_conv`, from, channels, { kernel, stride, padding, ...keras }), {
      eps: 1.001e-5,
      momentum: 0.01,
      unbiasedRunningVariance: false,
    });
  let x = net.relu('conv1_relu', convBn('conv1', net.input, 64, 7, 2, 3));
  // Keras pads with zeros before it pools; after a ReLU those never win, so this is the usual padding.
  x = net.maxPool('pool1_pool', x, { kernel: 3, stride: 2, padding: 1 });
  [3, 4, 6, 3].forEach((depth, stage) => {
    for (let i = 1; i <= depth; i++) {
      const name = `conv${stage + 2}_block${i}`;
      const width = 64 << stage;
      const stride = stage > 0 && i === 1 ? 2 : 1;
      const shortcut = i === 1 ? convBn(`${name}_0`, x, 4 * width, 1, stride) : x;
      let y = net.relu(`${name}_1_relu`, convBn(`${name}_1`, x, width, 1, stride));
      y = net.relu(`${name}_2_relu`, convBn(`${name}_2`, y, width, 3, 1, 'same'));
      y = convBn(`${name}_3`, y, 4 * width, 1);
      x = net.relu(`${name}_out`, net.add(`${name}_add`, shortcut, y));
    }
  });
  x = net.flatten('flatten', net.adaptiveAvgPool('avg_pool', x, 1));
  net.linear('predictions', x, outputs, keras);
  return net.build();
}
