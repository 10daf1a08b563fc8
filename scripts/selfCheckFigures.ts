/**
 * `npm run selfcheck-figures`: writes src/trainer/engines/selfCheckFigures.json, which engines are held to before they
 * train, from the float64 reference of the tests. Due after a change to selfCheckCases.ts; takes a minute.
 */
import { writeFileSync } from 'node:fs';
import { format } from 'prettier';
import { selfCheckCases } from '../src/trainer/engines/selfCheckCases';
import { selfCheckFigures } from '../test/engines/selfCheckFigures';

const figures: Record<string, unknown> = {};
for (const each of selfCheckCases()) {
  const computed = selfCheckFigures(each);
  console.log(`${each.layer}: nearest kink ${computed.kinkDistance.toExponential(1)}`);
  figures[each.layer] = computed.figures;
}
// Eight digits: a thousandth of the tolerance.
const rounded = JSON.stringify(figures, (_, value: unknown) =>
  typeof value === 'number' ? Number(value.toPrecision(8)) : value,
);
void format(rounded, { parser: 'json', printWidth: 120 }).then((text) =>
  writeFileSync('src/trainer/engines/selfCheckFigures.json', text),
);
