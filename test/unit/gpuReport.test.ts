/** The GPU section of docs/benchmarks.md as bench/gpu.ts writes it. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Checked, GpuFigures, gpuSection, withSection } from '../../bench/parts/gpuReport';

const webgpu: Checked = {
  engine: 'webgpu',
  device: 'nvidia-h100',
  versions: { webgpu: '0.6.2' },
  passed: 104,
  failures: [],
  agree: ['lenet5', 'vgg16'],
  disagree: [],
};
const figures: GpuFigures = {
  machine: 'A processor, Node 20.20.2',
  checked: [webgpu],
  pytorch: 'PyTorch 2.9 on NVIDIA H100',
  races: [
    {
      title: 'LeNet-5, 64',
      contestants: [
        { title: 'webgpu', own: true, rates: [12000, 10000, 11000] },
        { title: 'tensorflow', own: true, rates: [30000, 20000, 22000] },
        { title: 'PyTorch 2.9, fp32', own: false, rates: [20000, 20000, 10000] },
      ],
    },
    { title: 'VGG-16, 32', contestants: [{ title: 'webgpu', own: true, rates: [98.76] }] },
  ],
  unmeasured: ['`tensorflow`. Native TensorFlow is not set up.'],
};

describe('the section', () => {
  test('names devices and versions, and pairs every figure with those of the same turn', () => {
    const section = gpuSection(figures);
    expect(section).toMatch(/^## GPU\n\n`npm run bench -- gpu --write` on A processor, Node 20\.20\.2, beside PyTorch/);
    expect(section).toContain('beside PyTorch 2.9 on NVIDIA H100.');
    expect(section).toContain(
      "`webgpu` on nvidia-h100 (webgpu 0.6.2): all 104 tests of the conformance suite pass; PyTorch's and Keras's figures hold for lenet5, vgg16.",
    );
    expect(section.split('\n').filter((line) => line.startsWith('|'))).toEqual([
      '| network, batch | webgpu, images/s | tensorflow, images/s | PyTorch 2.9, fp32, images/s |',
      '| --- | --- | --- | --- |',
      // Pair by pair: 12/20, 10/20, 11/10 and 30/20, 20/20, 22/10.
      '| LeNet-5, 64 | 11 000 | 22 000 | 20 000: webgpu 0.60 (0.50-1.10), tensorflow 1.50 (1.00-2.20) |',
      '| VGG-16, 32 | 98.8 | unmeasured | unmeasured |',
    ]);
    expect(section.endsWith('Unmeasured: `tensorflow`. Native TensorFlow is not set up.')).toBe(true);
  });

  test('does not hide what fails', () => {
    const checked = [{ ...webgpu, failures: ['engine webgpu vgg16'], disagree: ['vgg16'], agree: ['lenet5'] }];
    expect(gpuSection({ ...figures, checked })).toContain(
      "1 of 105 tests of the conformance suite FAIL (engine webgpu vgg16); PyTorch's and Keras's figures hold for lenet5; they DO NOT hold for vgg16.",
    );
  });
});

describe('the page', () => {
  test('gets the section in the place of the one before, and keeps the rest', () => {
    const page = '# Benchmarks\n\n## GPU\n\nUnmeasured.\n\n## After\n\nText.\n';
    expect(withSection(page, '## GPU\n\nMeasured.')).toBe('# Benchmarks\n\n## GPU\n\nMeasured.\n\n## After\n\nText.\n');
    expect(withSection('# Benchmarks\n\n## GPU\n\nUnmeasured.\n', '## GPU\n\nMeasured.')).toBe(
      '# Benchmarks\n\n## GPU\n\nMeasured.\n',
    );
    expect(() => withSection('# Benchmarks\n', '## GPU\n\nMeasured.')).toThrow('The page has no section “## GPU”.');
  });

  test('that there is has such a section', () => {
    const page = readFileSync(path.join(import.meta.dirname, '../../docs/benchmarks.md'), 'utf8');
    const written = withSection(page, gpuSection(figures));
    expect(written.split('\n').filter((line) => line.startsWith('## '))).toEqual(
      page.split('\n').filter((line) => line.startsWith('## ')),
    );
    expect(withSection(written, gpuSection(figures))).toBe(written);
  });
});
