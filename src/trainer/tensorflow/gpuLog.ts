/**
 * What TensorFlow's log says about a GPU that it does not use, as a sentence with the one action that would change it.
 * setup.ts and engines/tfjs/provider.ts ask when a GPU is there and TensorFlow computes on the processor.
 */
import { Message, message } from '../../core/messages/message';

export interface GpuFailure {
  readonly reason: Message;
  readonly action: Message;
}

/** Libraries that TensorFlow looks for and can do without: TensorRT, and the driver's library for monitoring. */
const dispensable = /^(lib)?(nvinfer|nvidia-ml|nvml)/;

/**
 * @param log TensorFlow's standard error (2.5 and later)
 * @param gpu name of the GPU that the driver reports
 * @param python the interpreter whose TensorFlow it is; undefined for the one that npm downloads, which wants CUDA 11.2
 */
export function whyNoGpu(log: string, gpu: string, tensorflow: string, python?: string): GpuFailure {
  const about = { tensorflow, gpu };
  const libraries = python ? message('tensorflowGpuPip', { python }) : message('tensorflowGpuCuda112');
  const driver = message('tensorflowGpuDriverAdvice');

  const missing = [...log.matchAll(/Could not load dynamic library '([^']+)'/g)].map(([, name]) => name!);
  const needed = [...new Set(missing)].filter((name) => !dispensable.test(name));
  if (needed.some((name) => /^(libcuda\.so|libcuda\.dylib|nvcuda\.dll)/.test(name))) {
    return { reason: message('tensorflowGpuNoDriver', about), action: driver };
  }
  const versions = /kernel version ([\d.]+) does not match DSO version ([\d.]+)/.exec(log);
  if (versions) {
    const [, kernel, library] = versions as unknown as [string, string, string];
    return {
      reason: message('tensorflowGpuVersions', { ...about, kernel, library }),
      action: message('tensorflowGpuRestart'),
    };
  }
  if (/CUDA driver version is insufficient/.test(log)) {
    return { reason: message('tensorflowGpuOldDriver', about), action: driver };
  }
  const init = /failed call to cuInit: (?:INTERNAL: )?(?:CUDA error: )?(?:Failed call to cuInit: )?(.+)/.exec(log);
  if (init && !/UNKNOWN ERROR \(303\)/.test(init[1]!)) {
    return { reason: message('tensorflowGpuInit', { ...about, error: init[1]!.trim() }), action: driver };
  }
  if (needed.length > 0) {
    return { reason: message('tensorflowGpuLibraries', { ...about, libraries: needed.join(', ') }), action: libraries };
  }
  const old = /Cuda compute capability (\d+\.\d+)\. The minimum required Cuda capability is (\d+\.\d+)/i.exec(log);
  if (old) {
    const [, has, wants] = old as unknown as [string, string, string];
    return {
      reason: message('tensorflowGpuCapability', { ...about, has, wants }),
      action: message('tensorflowGpuOther'),
    };
  }
  if (/Cannot dlopen some GPU libraries/.test(log)) {
    return { reason: message('tensorflowGpuSomeLibraries', about), action: libraries };
  }
  // 303: the driver's library could not even be loaded.
  if (init || /Could not find cuda drivers|kernel driver does not appear to be running/.test(log)) {
    return { reason: message('tensorflowGpuNoDriver', about), action: driver };
  }
  return { reason: message('tensorflowGpuBuild', about), action: libraries };
}
