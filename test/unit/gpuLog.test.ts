/**
 * TensorFlow's log about GPUs that it does not use, as sentences. The lines of TensorFlow 2.21 were recorded from pip's
 * CUDA build on machines without a driver and with stand-ins for one; those of 2.4 to 2.12 are from bug reports.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { english } from '../../src/core/messages/message';
import { whyNoGpu } from '../../src/trainer/tensorflow/gpuLog';
import { pciGpu } from '../../src/trainer/engines/tfjs/provider';

const of = (log: string, python?: string) => {
  const { reason, action } = whyNoGpu(log, 'Test GPU', '2.21.0', python);
  return { reason: english(reason), action: english(action) };
};
const prefix = 'TensorFlow 2.21.0 does not use the GPU Test GPU: ';

const notes = `WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795515941.113199   24543 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results due to floating-point round-off errors from different computation orders. To turn them off, set the environment variable \`TF_ENABLE_ONEDNN_OPTS=0\`.
I0000 00:00:1795515941.251368   24543 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use available CPU instructions in performance-critical operations.
To enable the following instructions: AVX2 AVX512F AVX512_VNNI AVX512_BF16 AVX_VNNI FMA, in other operations, rebuild TensorFlow with the appropriate compiler flags.
`;

const cases: [string, string, string, RegExp][] = [
  ['a build without CUDA says nothing of GPUs', notes, 'it was built without CUDA.', /CUDA 11\.2/],
  [
    '2.21 without a driver',
    `${notes}I0000 00:00:1795515941.149162   24543 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.
I0000 00:00:1795515941.251658   24543 dso_loader.cc:144] Could not load dynamic library 'libcuda.so.1'; dlerror: libcuda.so.1: cannot open shared object file: No such file or directory
E0000 00:00:1795515941.251684   24543 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)`,
    'it does not find the NVIDIA driver’s library (libcuda).',
    /NVIDIA driver/,
  ],
  [
    '2.21 without a driver, where it does not name the library',
    `I0000 00:00:1795515939.630459   24505 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.
E0000 00:00:1795515940.008014   24505 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)`,
    'it does not find the NVIDIA driver’s library (libcuda).',
    /NVIDIA driver/,
  ],
  [
    '2.21 with a driver that sees no device',
    `I0000 00:00:1795515941.729716   24562 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.
E0000 00:00:1795515941.773718   24562 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected`,
    'the NVIDIA driver refused (CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected).',
    /NVIDIA driver/,
  ],
  [
    '2.9 without cuDNN, and without TensorRT, which it does not need',
    `2022-07-10 15:08:09.276000: W tensorflow/stream_executor/platform/default/dso_loader.cc:64] Could not load dynamic library 'libnvinfer.so.7'; dlerror: libnvinfer.so.7: cannot open shared object file: No such file or directory
2022-07-10 15:08:09.276100: W tensorflow/stream_executor/platform/default/dso_loader.cc:64] Could not load dynamic library 'libcusolver.so.11'; dlerror: libcusolver.so.11: cannot open shared object file: No such file or directory; LD_LIBRARY_PATH: /usr/local/nvidia/lib
2022-07-10 15:08:09.276131: W tensorflow/stream_executor/platform/default/dso_loader.cc:64] Could not load dynamic library 'libcudnn.so.8'; dlerror: libcudnn.so.8: cannot open shared object file: No such file or directory; LD_LIBRARY_PATH: /usr/local/nvidia/lib
2022-07-10 15:08:09.276917: W tensorflow/core/common_runtime/gpu/gpu_device.cc:1850] Cannot dlopen some GPU libraries. Please make sure the missing libraries mentioned above are installed properly if you would like to use GPU. Follow the guide at https://www.tensorflow.org/install/gpu for how to download and setup the required libraries for your platform.
Skipping registering GPU devices...`,
    'it does not find libcusolver.so.11, libcudnn.so.8.',
    /CUDA 11\.2 with cuDNN 8\.1/,
  ],
  [
    '2.16, which names no library',
    `2024-05-08 10:00:00.000000: W tensorflow/core/common_runtime/gpu/gpu_device.cc:2251] Cannot dlopen some GPU libraries. Please make sure the missing libraries mentioned above are installed properly if you would like to use GPU.
Skipping registering GPU devices...`,
    'CUDA libraries are missing, and it does not say which.',
    /CUDA 11\.2/,
  ],
  [
    'a driver that was updated and not restarted',
    `2022-01-01 10:00:00.000000: E tensorflow/stream_executor/cuda/cuda_driver.cc:271] failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: system has unsupported display driver / cuda driver combination
2022-01-01 10:00:00.000000: E tensorflow/stream_executor/cuda/cuda_diagnostics.cc:313] kernel version 470.57.2 does not match DSO version 510.47.3 -- cannot find working devices in this configuration`,
    'the NVIDIA driver at work is version 470.57.2, but its library is version 510.47.3.',
    /Restart/,
  ],
  [
    'an old driver',
    `tensorflow.python.framework.errors_impl.InternalError: cudaGetDevice() failed. Status: CUDA driver version is insufficient for CUDA runtime version`,
    'the NVIDIA driver is older than its CUDA libraries.',
    /current NVIDIA driver/,
  ],
  [
    'an old GPU',
    `2021-01-01 10:00:00.000000: I tensorflow/core/common_runtime/gpu/gpu_device.cc:1812] Ignoring visible gpu device (device: 0, name: GeForce GT 730, pci bus id: 0000:01:00.0, compute capability: 3.0) with Cuda compute capability 3.0. The minimum required Cuda capability is 3.5.`,
    'its compute capability is 3.0, and 3.5 is needed.',
    /another engine/,
  ],
];

describe('a GPU that TensorFlow does not use', () => {
  it.each(cases)('%s', (_, log, reason, action) => {
    const said = of(log);
    expect(said.reason).toBe(prefix + reason);
    expect(said.action).toMatch(action);
  });

  it('is for Python’s TensorFlow a matter of pip', () => {
    expect(of('', '/opt/venv/bin/python').action).toContain(
      '“/opt/venv/bin/python -m pip install "tensorflow[and-cuda]"”',
    );
  });
});

describe('a graphics processor without a driver', () => {
  it('is found on the PCI bus, unless the user hides it', () => {
    const devices = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-pci-'));
    onTestFinished(() => (vi.unstubAllEnvs(), fs.rmSync(devices, { recursive: true })));
    vi.stubEnv('CUDA_VISIBLE_DEVICES', undefined);
    const plug = (slot: string, files: Record<string, string>) => {
      fs.mkdirSync(path.join(devices, slot));
      for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(devices, slot, name), `${text}\n`);
    };
    expect(pciGpu(path.join(devices, 'none'))).toBeUndefined();
    plug('0000:00:01.0', { vendor: '0x8086', class: '0x030000', device: '0x9a60' });
    // Its sound.
    plug('0000:01:00.1', { vendor: '0x10de', class: '0x040300', device: '0x2288' });
    plug('0000:02:00.0', {});
    expect(pciGpu(devices)).toBeUndefined();
    plug('0000:01:00.0', { vendor: '0x10de', class: '0x030000', device: '0x2520' });
    expect(pciGpu(devices)).toEqual({ name: 'NVIDIA 0x2520' });
    vi.stubEnv('CUDA_VISIBLE_DEVICES', '-1');
    expect(pciGpu(devices)).toBeUndefined();
  });
});
