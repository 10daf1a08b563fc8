/** Writes media/experiment.schema.json from the schema in src/experiment.ts. */
import { writeFileSync } from 'node:fs';
import { experimentJsonSchema } from '../src/core/experiment';

writeFileSync('media/experiment.schema.json', `${JSON.stringify(experimentJsonSchema(), undefined, 2)}\n`);
