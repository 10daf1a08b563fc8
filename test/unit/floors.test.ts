/** The linter's rule on the house's floors, run on texts that stand for files of src. */
import { ESLint } from 'eslint';
import { describe, expect, it } from 'vitest';

const eslint = new ESLint({ ruleFilter: ({ ruleId }) => ruleId === 'convlab/floors' });

async function complaints(filePath: string, text: string): Promise<string[]> {
  const [result] = await eslint.lintText(text, { filePath });
  return result!.messages.map((found) => found.message);
}

describe('The floors of the house', () => {
  it('lets a file import from the floors below', async () => {
    const text =
      "import { x } from '../core/random';\nimport type { Y } from '../trainerClient';\nexport const z: Y = x;\n";
    expect(await complaints('src/host/run.ts', text)).toEqual([]);
  });

  it.each([
    ['src/core/random.ts', '../disk/files', 'core may not import disk: it stands on nothing.'],
    ['src/disk/files.ts', '../trainerClient', 'disk may not import trainerClient: it stands on core.'],
    ['src/trainerClient.ts', './trainer/stop', 'trainerClient may not import trainer: it stands on core, disk.'],
    ['src/host/log.ts', '../trainer/stop', 'host may not import trainer: it stands on core, disk, trainerClient.'],
    ['src/webview/dom.ts', '../disk/files', 'webview may not import disk: it stands on core.'],
  ])('refuses that %s imports %s, the types too', async (file, target, sentence) => {
    expect(await complaints(file, `import { x } from '${target}';\nexport const y = x;\n`)).toContain(sentence);
    expect(await complaints(file, `import type { X } from '${target}';\nexport type Y = X;\n`)).toContain(sentence);
    expect(await complaints(file, `export type Y = import('${target}').X;\n`)).toContain(sentence);
  });

  it('names the files of a circle, though only types close it', async () => {
    const back = "import type { Convolution } from './convolution';\nexport type Y = LineProgram;\n";
    expect(await complaints('src/trainer/engines/onnx/convolutionRule.ts', back)).toEqual([
      'A circle of imports: trainer/engines/onnx/convolutionRule.ts → trainer/engines/onnx/convolution.ts → trainer/engines/onnx/convolutionRule.ts.',
    ]);
  });

  it('leaves a file alone that reaches no circle of its own', async () => {
    const text = "import type { Value } from './graph';\nexport type Y = Value;\n";
    expect(await complaints('src/trainer/engines/onnx/convolutionRule.ts', text)).toEqual([]);
  });

  it('asks for a floor for a new file beside them', async () => {
    expect(await complaints('src/elsewhere.ts', 'export const x = 1;\n')).toHaveLength(1);
  });
});
