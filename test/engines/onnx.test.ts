/** The embedded engine, on ONNX Runtime's CPU kernels. */
import { onnxProvider } from '../../src/trainer/engines/onnx/engine';
import { describeEngine } from './conformance';

describeEngine(onnxProvider, {
  goldenNetworks: ['alexnet', 'vgg16', 'resnet18', 'resnet50', 'alexnet-keras', 'vgg16-keras', 'resnet50-keras'],
});
// Every rule again without what the self-check can switch off.
describeEngine(onnxProvider, { engine: { without: ['winograd', 'fused-operators'] } });
