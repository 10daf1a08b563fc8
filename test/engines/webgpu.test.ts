/**
 * TensorFlow.js on WebGPU. The conformance suite runs where CONVLAB_WEBGPU names the adapter that must be there, in part or
 * whole ('SwiftShader'); what is said of missing parts is tested everywhere.
 */
import { describe, expect, it } from 'vitest';
import { webgpuProviderOf } from '../../src/trainer/engines/tfjs/webgpu';
import { describeEngine } from './conformance';
import { bundleTfjs } from './tfjsCpu';

type Library = typeof import('../../src/trainer/engines/tfjs/webgpuLibrary');
const { library: tf, file } = await bundleTfjs<Library>({ file: 'src/trainer/engines/tfjs/webgpuLibrary.ts' });
const provider = webgpuProviderOf({ library: () => file });
describeEngine(provider, { goldenNetworks: (process.env.GN ?? "").split(",").filter(Boolean) as never });
