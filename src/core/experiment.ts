/**
 * The experiment file: its schema (from which media/experiment.schema.json is generated), its presets and defaults, and
 * the sentences that say what is wrong with one. Everything that trains starts from a {@link ResolvedExperiment}.
 */
import * as z from 'zod';
import { Message, message, UserError } from './messages/message';
import { MessageId, texts } from './messages/texts';
import { buildNetwork, networkNames, networks } from './networks/catalog';
import { Network, WindowTooLarge } from './networks/network';

// zod would otherwise try out whether code may be made at run time, which an editor logs as an error of the extension.
z.config({ jitless: true });

/** A check of our own names its sentence by id, because zod carries texts alone; {@link expectation} takes it up. */
type Expected = Extract<MessageId, `shouldBe${string}`>;
const expected = <Id extends Expected>(error: Id) => ({ error });

const positiveInt = z.int().positive();
const probability = z.number().min(0).max(1);
const range = z
  .tuple([z.number().positive(), z.number().positive()])
  .refine(([low, high]) => low <= high, expected('shouldBeRange'));
/** A share of the examples (below 1) or a number of them. */
const part = z
  .number()
  .positive()
  .refine((n) => n <= 1 || Number.isInteger(n), expected('shouldBePart'));

export const datasetNames = ['mnist', 'cat-dog', 'cifar8'] as const;
export type DatasetName = (typeof datasetNames)[number];

const jitter = z.number().min(0).max(1);

const id = z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, expected('shouldBeId'));
/** Which of a run's parameters: those after its last epoch, which its test was made with, or after its best one. */
const epoch = z.enum(['last', 'best']).optional().describe('After which epoch of that run; default: last.');
const weightsForms = [
  z.enum(['scratch', 'imagenet']),
  z.strictObject({
    experiment: id.describe('The newest finished run of this experiment in the same runs folder.'),
    epoch,
  }),
  z.strictObject({
    // A name inside the runs folder: never a path out of it.
    run: z.string().regex(/^[^/\\\0]*[^/\\\0.][^/\\\0]*$/, expected('shouldBeRunName')),
    epoch,
  }),
] as const;

const networkSchema = z.strictObject({
  name: z.enum(networkNames).describe('Architecture, as torchvision builds it.'),
  weights: z
    .union(weightsForms, expected('shouldBeWeights'))
    .default('scratch')
    .describe(
      'Where the weights start: drawn from the seed, torchvision’s pretrained ones, or those of a finished run. A last layer of another size is always new.',
    ),
  freeze: z
    .literal('features')
    .optional()
    .describe('features: only the linear layers at the end are trained; what lies before them stays as it started.'),
});

/** A file of weights is named by the user, on the command line or in a setting, and never by an experiment file. */
const resolvedNetworkSchema = networkSchema.extend({
  weights: z.union([...weightsForms, z.strictObject({ file: z.string().min(1) })], expected('shouldBeWeights')),
});

const inputSchema = z.strictObject({
  size: positiveInt.max(1024).describe('Height and width of the images as the network sees them, in pixels.'),
  channels: z.literal([1, 3]).describe('1 grey, 3 colour (grey images are copied to all three).'),
  fit: z
    .enum(['resize', 'pad'])
    .default('resize')
    .describe('resize: scaled to the size; pad: placed in the middle of zeros (MNIST’s 28 to 32).'),
  antialias: z
    .boolean()
    .default(true)
    .describe('Whether shrinking averages all pixels (PyTorch) or reads the nearest four alone (Keras’s default).'),
  normalize: z
    .enum(['none', 'half', 'imagenet'])
    .default('none')
    .describe('none: 0 to 1; half: mean 0.5 and std 0.5, so -1 to 1; imagenet: ImageNet’s mean and std per channel.'),
});

/** Applied to training images only, in this order, a jitter's four parts in a random one. */
const augmentSchema = z
  .strictObject({
    randomResizedCrop: z
      .strictObject({
        scale: range.describe('Share of the image’s area.'),
        ratio: range.describe('Width over height.'),
      })
      .optional()
      .describe('A random part of the image, resized to input.size (torchvision’s RandomResizedCrop).'),
    randomCrop: z
      .strictObject({
        enlarge: z.number().min(1).max(4),
        evaluation: z
          .literal('centre')
          .optional()
          .describe(
            'Validation and test images are enlarged as well, and cropped in the middle; left out: resized to input.size.',
          ),
      })
      .optional()
      .describe(
        'The image resized to input.size, from there to `enlarge` times that, and cropped to input.size at a random place (Keras’s Resizing and RandomCrop; 256 to 224 is 1.142857).',
      ),
    horizontalFlip: probability.optional(),
    rotation: z.number().min(0).max(180).optional().describe('Largest angle, in degrees (0.05 of a turn is 18).'),
    rotationFill: z
      .enum(['constant', 'reflect'])
      .default('constant')
      .describe('What appears in the corners: constant is black (torchvision), reflect mirrors the image (Keras).'),
    colorJitter: z
      .strictObject({
        brightness: jitter.default(0),
        contrast: jitter.default(0),
        saturation: jitter.default(0),
        hue: z.number().min(0).max(0.5).default(0),
      })
      .optional()
      .describe('torchvision’s ColorJitter.'),
    channelContrast: jitter
      .optional()
      .describe('Contrast about the mean of each channel, by a factor of 1 ± this (Keras’s RandomContrast).'),
  })
  .refine((augment) => !augment.randomResizedCrop || !augment.randomCrop, expected('shouldBeOneCrop'));

const optimizerSchema = z.strictObject({
  name: z.literal('adam').default('adam'),
  learningRate: z.number().positive().max(10),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.999),
  eps: z.number().positive().default(1e-8),
  epsilonHat: z
    .boolean()
    .optional()
    .describe('Whether eps is added before the bias correction, as Keras does; PyTorch adds it after.'),
});

const datasetSchema = z.strictObject({
  name: z.enum(datasetNames),
  split: z
    .strictObject({ train: part, validation: part, test: part.optional() })
    .describe('Shares or numbers of examples. Leave out `test` where the dataset brings its own.'),
  splitBy: z
    .literal('keras')
    .optional()
    .describe(
      'How a folder is divided into training and validation: as Keras’s image_dataset_from_directory does with this seed; left out: class by class, in the proportions of the whole.',
    ),
});

const settingsShape = {
  network: networkSchema,
  dataset: datasetSchema,
  input: inputSchema,
  augment: augmentSchema.optional(),
  loss: z
    .enum(['cross_entropy', 'bce_with_logits'])
    .optional()
    .describe('Default: cross_entropy, or bce_with_logits (one output unit) for two classes.'),
  optimizer: optimizerSchema,
  batchSize: positiveInt.max(4096),
  /** Examples per pass; the engine chooses where it is left out. */
  microBatch: positiveInt.optional(),
  epochs: positiveInt.max(10_000),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(1),
  limit: positiveInt
    .optional()
    .describe('At most this many training examples; validation and test shrink in proportion.'),
};

/** Any of an object's settings. Without defaults, which would undo what the experiment itself says. */
function inPart({ shape }: z.ZodObject): z.ZodObject {
  const entries = Object.entries(shape as Record<string, z.ZodType>);
  return z.strictObject(
    Object.fromEntries(
      entries.map(([key, type]) => [
        key,
        (type instanceof z.ZodDefault ? (type.unwrap() as z.ZodType) : type).optional(),
      ]),
    ),
  );
}

/** A preset: any of the settings, each of them in part. */
const overridesSchema = z
  .strictObject({
    network: inPart(networkSchema.omit({ name: true })),
    input: inPart(inputSchema),
    optimizer: inPart(optimizerSchema),
    batchSize: settingsShape.batchSize,
    microBatch: positiveInt,
    epochs: settingsShape.epochs,
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
    limit: positiveInt,
  })
  .partial();

export const experimentSchema = z.strictObject({
  $schema: z.string().optional(),
  id,
  title: z.string().min(1),
  chapter: z
    .string()
    .default('')
    .describe(
      'Chapter of the course notes and place in it; experiments are listed in this order. “A.…”: the appendix.',
    ),
  question: z.string().default('').describe('What the experiment is to find out, in one sentence.'),
  ...settingsShape,
  assumed: z
    .array(z.string())
    .default([])
    .describe('Paths of the settings that the course notes leave open and that were chosen here.'),
  presets: z.strictObject({ quick: overridesSchema.optional() }).default({}),
});

/** An experiment file with its defaults filled in. */
export type Experiment = z.output<typeof experimentSchema>;
export type Preset = 'course' | 'quick';
export const presetNames: readonly Preset[] = ['course', 'quick'];

/** An experiment with its preset and overrides applied: all that a trainer needs to know. Stored in run.json. */
const resolvedSchema = z.strictObject({
  ...experimentSchema.omit({ presets: true, $schema: true }).shape,
  network: resolvedNetworkSchema,
  preset: z.enum(['course', 'quick']),
  loss: z.enum(['cross_entropy', 'bce_with_logits']),
});
export type ResolvedExperiment = z.output<typeof resolvedSchema>;

/** Number of classes of each dataset. */
export const classCounts: Record<DatasetName, number> = { mnist: 10, 'cat-dog': 2, cifar8: 8 };
export const datasetTitles: Record<DatasetName, Message> = {
  mnist: message('datasetMnist'),
  'cat-dog': message('datasetCatDog'),
  cifar8: message('datasetCifar8'),
};

/** The JSON Schema of an experiment file (draft 2020-12), for editors. */
export function experimentJsonSchema(): object {
  return { title: 'ConvLab experiment', ...z.toJSONSchema(experimentSchema, { io: 'input' }) };
}

/**
 * Reads the text of an experiment file.
 * @param file its name, for the message
 * @throws UserError that names the file, the path in it and what was expected
 */
export function parseExperiment(text: string, file: string): Experiment {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new UserError(message('experimentNotJson', { file, reason: (error as Error).message }));
  }
  const parsed = experimentSchema.safeParse(value);
  if (!parsed.success) throw invalid(file, parsed.error, value);
  for (const preset of presetNames) resolveExperiment(parsed.data, preset, {}, file);
  return parsed.data;
}

/** A change to an experiment's settings, keyed by dotted path: {'optimizer.learningRate': 1e-4}. */
export type Overrides = Readonly<Record<string, unknown>>;

/**
 * Applies a preset and overrides to an experiment and checks the result.
 * @param overrides by dotted path; they win over the preset
 * @throws UserError for an unknown path, a value that does not fit, or an input too small for the network
 */
export function resolveExperiment(
  experiment: Experiment,
  preset: Preset,
  overrides: Overrides = {},
  file = experiment.id,
): ResolvedExperiment {
  const { presets, $schema: _, ...settings } = experiment;
  const merged = merge(settings, preset === 'quick' ? (presets.quick ?? {}) : {}) as Record<string, unknown>;
  for (const [path, value] of Object.entries(overrides)) setPath(merged, path, value);
  const classes = classCounts[experiment.dataset.name];
  merged['preset'] = preset;
  merged['loss'] ??= classes === 2 ? 'bce_with_logits' : 'cross_entropy';
  const source = Object.keys(overrides).length ? '--set' : file;
  const parsed = resolvedSchema.safeParse(merged);
  if (!parsed.success) throw invalid(source, parsed.error, merged);
  const resolved = parsed.data;
  const refuse = (path: string, problem: Message | string): never => {
    const problems = message('experimentProblem', { path, problem });
    throw new UserError(message('experimentInvalid', { file: source, problems }));
  };
  const { network, input } = resolved;
  if (network.weights === 'imagenet') {
    const pretrained = networkNames.filter((name) => 'imagenet' in networks[name]);
    if (!pretrained.includes(network.name)) {
      refuse('network.weights', message('imagenetNone', { networks: pretrained.join(', ') }));
    }
    if (input.channels !== 3) refuse('input.channels', message('imagenetColour'));
  }
  if (network.freeze && network.weights === 'scratch') refuse('network.freeze', message('freezeScratch'));
  try {
    networkOf(resolved);
  } catch (error) {
    if (!(error instanceof WindowTooLarge)) throw error;
    refuse('input.size', error.userMessage);
  }
  return resolved;
}

/** The network that an experiment trains. @throws WindowTooLarge when the input is too small for it */
export function networkOf(experiment: Pick<ResolvedExperiment, 'network' | 'input' | 'loss' | 'dataset'>): Network {
  const { name, freeze } = experiment.network;
  const { size, channels } = experiment.input;
  return buildNetwork(name, [channels, size, size], outputsOf(experiment), freeze);
}

/** Checks a resolved experiment that comes from a file (run.json) or another process. @throws UserError */
export function parseResolved(value: unknown, file: string): ResolvedExperiment {
  const parsed = resolvedSchema.safeParse(value);
  if (!parsed.success) throw invalid(file, parsed.error, value);
  return parsed.data;
}

/** Number of logits: one per class, or one alone under BCE. */
export function outputsOf(experiment: Pick<ResolvedExperiment, 'loss' | 'dataset'>): number {
  return experiment.loss === 'bce_with_logits' ? 1 : classCounts[experiment.dataset.name];
}

function merge(base: unknown, over: unknown): unknown {
  const isObject = (v: unknown): v is Record<string, unknown> =>
    typeof v === 'object' && v !== null && !Array.isArray(v);
  if (!isObject(base) || !isObject(over)) return over === undefined ? base : over;
  const out: Record<string, unknown> = { ...base };
  // Another start is another form, not more of the same one.
  for (const [key, value] of Object.entries(over)) out[key] = key === 'weights' ? value : merge(base[key], value);
  return out;
}

const settable = new Set([...Object.keys(settingsShape), 'title', 'question']);

function setPath(target: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.split('.');
  if (!settable.has(keys[0]!)) throw unknownSetting(path, keys[0]!);
  let at = target;
  for (const key of keys.slice(0, -1)) {
    const next =
      Object.hasOwn(at, key) && typeof at[key] === 'object' && at[key] !== null ? { ...(at[key] as object) } : {};
    Object.defineProperty(at, key, { value: next, enumerable: true, writable: true, configurable: true });
    at = next as Record<string, unknown>;
  }
  Object.defineProperty(at, keys[keys.length - 1]!, { value, enumerable: true, writable: true, configurable: true });
}

function unknownSetting(path: string, key: string): UserError {
  return new UserError(
    message('experimentInvalid', {
      file: '--set',
      problems: message('experimentProblem', { path, problem: unknownKey(key, [...settable]) }),
    }),
  );
}

function unknownKey(key: string, known: readonly string[]): Message {
  const near = nearest(key, known);
  return near ? message('unknownKeyNearest', { key, nearest: near }) : message('unknownKey', { key });
}

/** The candidate fewest edits away from `word`, if it is close enough to be what was meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let fewest = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const edits = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** As many problems as one reads; a file with thousands of them is not an experiment, and each costs time. */
const mostProblems = 20;

/** Turns zod's findings into sentences with paths; unknown keys get the nearest known one. */
function invalid(file: string, error: z.ZodError, value: unknown): UserError {
  const problems: Message[] = [];
  const pathOf = (issue: z.core.$ZodIssue): string => issue.path.map(String).join('.');
  // Of several bounds that a value is beyond, the last is the nearest.
  const telling = new Map(error.issues.map((issue) => [pathOf(issue), issue]));
  for (const [path, issue] of [...telling].slice(0, mostProblems)) {
    const found: readonly (Message | string)[] =
      issue.code === 'unrecognized_keys'
        ? issue.keys.slice(0, mostProblems).map((key) => unknownKey(key, knownKeys(issue.path)))
        : [describeIssue(issue, issue.path.reduce<unknown>(member, value))];
    for (const problem of found) {
      problems.push(
        path ? message('experimentProblem', { path, problem }) : message('experimentProblemTop', { problem }),
      );
    }
  }
  const joined = problems.reduceRight((more, problem) => message('experimentProblems', { problem, more }));
  return new UserError(message('experimentInvalid', { file, problems: joined }));
}

const member = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined;

function describeIssue(issue: z.core.$ZodIssue, found: unknown): Message {
  const problem = expectation(issue);
  if (found === undefined) return message('problemMissing', { problem });
  // JSON has no infinity, which a number such as 1e999 is read as.
  return message('problemFound', { problem, found: typeof found === 'number' ? String(found) : JSON.stringify(found) });
}

const typeExpectations: Readonly<Record<string, Expected>> = {
  number: 'shouldBeNumber',
  int: 'shouldBeInt',
  string: 'shouldBeText',
  boolean: 'shouldBeBoolean',
  array: 'shouldBeList',
  tuple: 'shouldBeList',
};

/** What the schema expects where zod found something else. */
function expectation(issue: z.core.$ZodIssue): Message {
  switch (issue.code) {
    case 'invalid_type':
      return message(typeExpectations[issue.expected] ?? 'shouldBeObject');
    case 'invalid_value': {
      const choices = issue.values.map((value) => JSON.stringify(value)).join(', ');
      return message(issue.values.length === 1 ? 'choiceOnly' : 'choiceOf', { choices });
    }
    case 'too_small':
      if (issue.origin === 'string') return message('shouldBeNotEmpty');
      if (issue.origin === 'array') return message('itemCount', { count: String(issue.minimum) });
      return message(issue.inclusive ? 'boundAtLeast' : 'boundAbove', { limit: String(issue.minimum) });
    case 'too_big':
      if (issue.origin === 'array') return message('itemCount', { count: String(issue.maximum) });
      return message(issue.inclusive ? 'boundAtMost' : 'boundBelow', { limit: String(issue.maximum) });
    default:
      // The others have sentences of our own, by id.
      return message(issue.message in texts ? (issue.message as Expected) : 'shouldBeObject');
  }
}

/** Keys that the schema knows at a path. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let at: unknown = z.toJSONSchema(experimentSchema, { io: 'input' });
  for (const key of path) at = member(member(at, 'properties'), key);
  return Object.keys((member(at, 'properties') as object | undefined) ?? {});
}
