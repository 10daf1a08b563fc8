/** The check that every engine passes before it trains: its stored figures, and what it finds when something is wrong. */
import { describe, expect, it } from 'vitest';
import { selfCheckCases } from '../../src/trainer/engines/selfCheckCases';
import storedFigures from '../../src/trainer/engines/selfCheckFigures.json';
import { selfCheckFigures } from './selfCheckFigures';

describe('the stored figures', () => {
  const cases = selfCheckCases();

  it('are there for each case, and for nothing else', () => {
    expect(Object.keys(storedFigures)).toEqual(cases.map((each) => each.layer));
  });

  it.each(cases.map((each) => [each.layer, each] as const))('are the reference’s: %s', (layer, each) => {
    const { figures, kinkDistance } = selfCheckFigures(each);
    expectNumbers((storedFigures as Record<string, unknown>)[layer], figures, layer);
    // TF32 rounds at 5e-4: nearer than this, rounding alone could open or close a ReLU.
    expect(kinkDistance).toBeGreaterThan(5e-3);
  });
});

/** The same structure, and in each list of numbers the same to 1e-6 of its largest: a hundredth of what engines may be off. */
function expectNumbers(stored: unknown, computed: unknown, path: string): void {
  if (typeof computed === 'number') return expectNumbers([stored], [computed], path);
  if (!Array.isArray(computed)) {
    expect(Object.keys(stored as object), path).toEqual(Object.keys(computed as object));
    for (const [key, value] of Object.entries(computed as object)) {
      expectNumbers((stored as Record<string, unknown>)[key], value, `${path}: ${key}`);
    }
    return;
  }
  const numbers = computed as number[];
  expect(stored, path).toHaveLength(numbers.length);
  // A gradient that cancels exactly has only the rounding of finite differences.
  const scale = Math.max(...numbers.map(Math.abs), 1e-3);
  numbers.forEach((n, i) => expect(Math.abs((stored as number[])[i]! - n) / scale, path).toBeLessThan(1e-6));
}
