/** What ONNX Runtime writes to stderr by itself: native code writes there past Node, so a process of its own is asked. */
import { spawnSync } from 'node:child_process';
import * as path from 'node:path';
import { buildSync } from 'esbuild';
import { expect, it } from 'vitest';

/** A session without options of ours, over a model that declares a wrong shape: of that the library warns. */
const provoked = (load: string) => {
  const contents = `
    import { Graph } from './graph';
    import { nativeLibrary } from './runtime';
    (async () => {
      const ort = await ${load};
      const graph = new Graph('wrong');
      graph.output(graph.node('Relu', [graph.input('x', [1])], [2]));
      await (await ort.InferenceSession.create(graph.encode())).release();
      console.log('created');
    })();`;
  const resolveDir = path.resolve('src/trainer/engines/onnx');
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir, loader: 'ts' },
    bundle: true,
    platform: 'node',
    packages: 'external',
    write: false,
  });
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', outputFiles[0]!.text], { encoding: 'utf8' });
  return { stdout, stderr };
};

it('ONNX Runtime’s warnings do not reach the user', () => {
  // The library as it comes does warn of this model.
  expect(provoked(`import('onnxruntime-node').then((module) => module.default ?? module)`).stderr).toContain(
    '[W:onnxruntime:',
  );
  expect(provoked('nativeLibrary.load()')).toEqual({ stdout: 'created\n', stderr: '' });
}, 60_000);
