/**
 * The claims of the course notes, each with a rule that decides from measured figures whether ConvLab's runs agree,
 * disagree, or cannot show it at their size. Nothing here is decided by hand; report.ts prints what the rules say.
 */
import { median } from '../src/core/statistics';
import { asManyDigits, augmentationAlone, MeasuredEpoch, MeasuredRun, stepAlone } from './measured';

export type Verdict = 'agrees' | 'disagrees' | 'cannot be shown at this size' | 'not yet run';

export interface Claim {
  /** What the notes say. */
  readonly claim: string;
  /** The rule, in words. */
  readonly rule: string;
  readonly verdict: Verdict;
  /** The figures that decided. */
  readonly measured: string;
}

/** Runs of one experiment and preset with unchanged settings, or of one of its variants. */
export type Find = (
  id: string,
  preset: 'course' | 'quick',
  variant?: Readonly<Record<string, unknown>>,
) => MeasuredRun[];

export function finder(runs: readonly MeasuredRun[]): Find {
  return (id, preset, variant = {}) =>
    runs.filter(
      (run) => run.id === id && run.preset === preset && JSON.stringify(run.overrides) === JSON.stringify(variant),
    );
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** A mean over runs and its standard error. */
export interface Level {
  readonly mean: number;
  /** The larger of what the number of images allows and what the seeds show. */
  readonly error: number;
}

/** Accuracy over runs that were each measured on `images` images. */
export function level(accuracies: readonly number[], images: number): Level {
  const p = mean(accuracies);
  // A share that was seen as 0 or 1 is not certain: half an image more or less keeps the error from being 0.
  const bounded = Math.min(1 - 0.5 / images, Math.max(0.5 / images, p));
  const binomial = Math.sqrt((bounded * (1 - bounded)) / (images * accuracies.length));
  return { mean: p, error: Math.max(binomial, seedError(accuracies)) };
}

/** The standard error of a mean over seeds; 0 of a single one, which does not tell. */
function seedError(values: readonly number[]): number {
  const middle = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / Math.max(1, values.length - 1);
  return Math.sqrt(variance / values.length);
}

/** Test accuracy, or validation accuracy where there is no test set. */
export function finalLevel(runs: readonly MeasuredRun[]): Level {
  const { examples, testedOnTestSet } = runs[0]!;
  return level(
    runs.map(({ accuracy }) => accuracy),
    testedOnTestSet ? examples.test : examples.validation,
  );
}

/** a above b (1), below (-1), or within two standard errors of the difference (0). */
export function order(a: Level, b: Level): -1 | 0 | 1 {
  const difference = a.mean - b.mean;
  if (Math.abs(difference) <= 2 * Math.hypot(a.error, b.error)) return 0;
  return difference > 0 ? 1 : -1;
}

export const figure = (value: number): string => value.toFixed(3);
const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
export const shown = ({ mean: value, error }: Level): string =>
  Number.isFinite(error) ? `${percent(value)} ± ${percent(error)}` : percent(value);
const times = (ratio: number): string => (ratio >= 10 ? ratio.toFixed(0) : ratio.toPrecision(2));

const chance = Math.LN2;
/** Gradient norm of the first layer over that of the last. */
const gradientSpan = ({ firstGradientNorm, lastGradientNorm }: MeasuredEpoch): number =>
  firstGradientNorm / lastGradientNorm;
const lastThird = <T>(values: readonly T[]): readonly T[] => values.slice(-Math.max(1, Math.floor(values.length / 3)));
const each = (runs: readonly MeasuredRun[], of: (run: MeasuredRun) => number, write = figure): string =>
  runs.map((run) => write(of(run))).join(', ');

/** Whether a run did nothing but guess: the loss never left ln 2 after the first epoch, and accuracy is that of chance. */
export function isStuck(run: MeasuredRun): boolean {
  const later = run.epochs.slice(1);
  const images = run.testedOnTestSet ? run.examples.test : run.examples.validation;
  const luck = 2 * Math.sqrt(0.25 / images);
  return later.every(({ trainLoss }) => Math.abs(trainLoss - chance) < 0.01) && Math.abs(run.accuracy - 0.5) <= luck;
}

/** How uneven a run's training is: how much of its movement the training loss spent on going up, 0 to 1. */
export function unevenness({ epochs }: MeasuredRun): number {
  let up = 0;
  let down = 0;
  for (let i = 1; i < epochs.length; i++) {
    const change = epochs[i]!.trainLoss - epochs[i - 1]!.trainLoss;
    if (change > 0) up += change;
    else down -= change;
  }
  return up + down === 0 ? 0 : up / (up + down);
}

/** Mean change of validation accuracy from one epoch to the next, up or down. */
export function restlessness({ epochs }: MeasuredRun): number {
  if (epochs.length < 2) return 0;
  return mean(
    epochs.slice(1).map(({ validationAccuracy }, i) => Math.abs(validationAccuracy - epochs[i]!.validationAccuracy)),
  );
}

type Decided = Pick<Claim, 'verdict' | 'measured'>;
const open = (...missing: string[]): Decided => ({
  verdict: 'not yet run',
  measured: `Missing: ${missing.map((id) => `\`${id}\``).join(', ')}.`,
});

export function claims(find: Find): Claim[] {
  const lenetCourse = find('lenet5-mnist', 'course');
  const lenet = find('lenet5-mnist', 'quick', asManyDigits);
  const digits = find('alexnet-mnist', 'quick');
  const scratch = find('alexnet-catdog-scratch', 'quick');
  const augmented = find('alexnet-catdog', 'quick');
  const vgg = find('vgg16-catdog', 'quick');
  const resnet = find('resnet18-catdog', 'quick');
  const pretrained = find('alexnet-catdog-pretrained', 'quick');
  const missing = (...wanted: [string, readonly MeasuredRun[]][]): string[] =>
    wanted.filter(([, runs]) => runs.length === 0).map(([id]) => id);
  const decide = (wanted: [string, readonly MeasuredRun[]][], rule: () => Decided): Decided => {
    const absent = missing(...wanted);
    return absent.length > 0 ? open(...absent) : rule();
  };

  return [
    {
      claim: 'LeNet-5 comes near 100 % on MNIST.',
      rule: 'Agrees if the median test accuracy of the `course` preset is at least 98 %, disagrees below 95 %.',
      ...decide([['lenet5-mnist course', lenetCourse]], () => {
        const accuracy = median(lenetCourse.map((run) => run.accuracy));
        return {
          verdict: accuracy >= 0.98 ? 'agrees' : accuracy < 0.95 ? 'disagrees' : 'cannot be shown at this size',
          measured: `Median test accuracy ${percent(accuracy)} (${each(lenetCourse, (r) => r.accuracy, percent)}).`,
        };
      }),
    },
    {
      claim: 'AlexNet takes longer for an epoch of MNIST than LeNet-5.',
      rule: 'Agrees if the median epoch takes at least twice as long, disagrees if it is no longer; same examples in both.',
      ...decide(
        [
          ['lenet5-mnist', lenet],
          ['alexnet-mnist', digits],
        ],
        () => {
          const [small, large] = [lenet, digits].map((runs) => median(runs.map((r) => r.secondsPerEpoch)));
          const ratio = large! / small!;
          const same = digits[0]!.examples.train === lenet[0]!.examples.train;
          return {
            verdict: same && ratio >= 2 ? 'agrees' : same && ratio <= 1 ? 'disagrees' : 'cannot be shown at this size',
            measured: `${times(ratio)} times as long for ${digits[0]!.examples.train} images, at ${digits[0]!.size} instead of ${lenet[0]!.size} pixels.`,
          };
        },
      ),
    },
    {
      claim: 'After the same epochs its loss on MNIST is slightly higher than LeNet-5’s.',
      rule: 'Compares the training loss after the same number of epochs on the same number of images: agrees if it is more than 5 % higher, disagrees if more than 5 % lower.',
      ...decide(
        [
          ['lenet5-mnist', lenet],
          ['alexnet-mnist', digits],
        ],
        () => {
          const epochs = digits[0]!.epochs.length;
          const same = epochs === lenet[0]!.epochs.length && digits[0]!.examples.train === lenet[0]!.examples.train;
          const last = (runs: readonly MeasuredRun[]) => mean(runs.map((r) => r.epochs.at(-1)!.trainLoss));
          const ratio = last(digits) / last(lenet);
          return {
            verdict:
              !same || Math.abs(ratio - 1) <= 0.05
                ? 'cannot be shown at this size'
                : ratio > 1
                  ? 'agrees'
                  : 'disagrees',
            measured: `Training loss after ${epochs} epochs: AlexNet ${figure(last(digits))}, LeNet-5 ${figure(last(lenet))}; test accuracy ${percent(finalLevel(digits).mean)} and ${percent(finalLevel(lenet).mean)}.`,
          };
        },
      ),
    },
    {
      claim: 'AlexNet from scratch (no augmentation, Adam 1e-3) gets stuck on cats vs dogs.',
      rule: 'A run is stuck if after its first epoch the training loss stays within 0.01 of ln 2 = 0.693 and its test accuracy is within two standard errors of 50 %. Agrees if all runs are, disagrees if none is.',
      ...decide([['alexnet-catdog-scratch', scratch]], () => {
        const stuck = scratch.filter(isStuck).length;
        return {
          verdict: stuck === scratch.length ? 'agrees' : stuck === 0 ? 'disagrees' : 'cannot be shown at this size',
          measured: [
            `${stuck} of ${scratch.length} runs stuck over ${scratch[0]!.epochs.length} epochs; last training loss ${each(scratch, (r) => r.epochs.at(-1)!.trainLoss)}, test accuracy ${each(scratch, (r) => r.accuracy, percent)}.`,
            ...(stuck > 0 ? scratch.filter((run) => !isStuck(run)).map(gettingAway) : []),
          ].join(' '),
        };
      }),
    },
    {
      claim: 'It is stuck because gradients vanish on their way back through its layers.',
      rule: 'Were that the cause, the first layer’s share of the gradient (its norm over the last layer’s) would be far below that of the AlexNet that learns while getting stuck, in the first epoch. Agrees if it is below a tenth of it in every run that is stuck; disagrees if it is not in any.',
      ...decide(
        [
          ['alexnet-catdog-scratch', scratch],
          ['alexnet-catdog', augmented],
        ],
        () => explanation(scratch, augmented),
      ),
    },
    {
      claim: 'Augmentation and Adam 1e-4 unstick it.',
      rule: 'Agrees if the mean test accuracy is more than two standard errors above 50 % and no run is stuck; disagrees if all runs are.',
      ...decide([['alexnet-catdog', augmented]], () => {
        const stuck = augmented.filter(isStuck).length;
        const accuracy = finalLevel(augmented);
        const moving = stuck === 0 && order(accuracy, { mean: 0.5, error: 0 }) > 0;
        return {
          verdict: moving ? 'agrees' : stuck === augmented.length ? 'disagrees' : 'cannot be shown at this size',
          measured: `Test accuracy ${shown(accuracy)}, ${stuck} of ${augmented.length} runs stuck. ${whichOfBoth(find)}`,
        };
      }),
    },
    {
      claim: 'Then it overfits.',
      rule: 'Compares training and validation accuracy over the last third of the epochs, and the mean validation loss there with the lowest of any epoch. Agrees if training accuracy is above by more than two standard errors and that loss is more than 5 % above the lowest; disagrees if training accuracy is below.',
      ...decide([['alexnet-catdog', augmented]], () => {
        const ends = augmented.map((run) => lastThird(run.epochs));
        const training = mean(ends.flat().map((e) => e.trainAccuracy));
        const validation = level(
          ends.map((epochs) => mean(epochs.map((e) => e.validationAccuracy))),
          augmented[0]!.examples.validation,
        );
        const gap = order({ mean: training, error: 0 }, validation);
        const rise = mean(
          augmented.map((run, i) => {
            const lowest = Math.min(...run.epochs.map((e) => e.validationLoss));
            return mean(ends[i]!.map((e) => e.validationLoss)) / lowest - 1;
          }),
        );
        return {
          verdict: gap > 0 && rise > 0.05 ? 'agrees' : gap < 0 ? 'disagrees' : 'cannot be shown at this size',
          measured: `Last third of the epochs: training accuracy ${percent(training)}, validation ${shown(validation)}; validation loss ${percent(rise)} above its lowest.`,
        };
      }),
    },
    {
      claim: 'AlexNet’s validation accuracy tops out near 80 %.',
      rule: 'Takes the mean of the runs’ best validation accuracies. Agrees from 75 % to 85 %, disagrees above 85 % by more than two standard errors; below 75 % fewer and smaller images are reason enough.',
      ...decide([['alexnet-catdog', augmented]], () => {
        const best = bestLevel(augmented);
        const above = order(best, { mean: 0.85, error: 0 }) > 0;
        return {
          verdict: above
            ? 'disagrees'
            : best.mean >= 0.75 && best.mean <= 0.85
              ? 'agrees'
              : 'cannot be shown at this size',
          measured: `Best validation accuracy ${shown(best)}.`,
        };
      }),
    },
    {
      claim: 'VGG-16’s validation accuracy stays above AlexNet’s 80 %.',
      rule: 'Takes validation accuracy over the last third of the epochs. Agrees if it is at least 80 % and no more than two standard errors below AlexNet’s. Below that, smaller and fewer images are reason enough; disagrees only if VGG-16 saw images at least as large as AlexNet’s and is more than two standard errors below.',
      ...decide(
        [
          ['vgg16-catdog', vgg],
          ['alexnet-catdog', augmented],
        ],
        () => {
          const [ours, theirs] = [endLevel(vgg), endLevel(augmented)];
          const below = order(ours, theirs) < 0;
          const fair = vgg[0]!.size >= augmented[0]!.size;
          return {
            verdict:
              ours.mean >= 0.8 && !below ? 'agrees' : below && fair ? 'disagrees' : 'cannot be shown at this size',
            measured: `Last third of the epochs: VGG-16 ${shown(ours)} at ${vgg[0]!.size} pixels after ${vgg[0]!.epochs.length} epochs, AlexNet ${shown(theirs)} at ${augmented[0]!.size} pixels after ${augmented[0]!.epochs.length}.`,
          };
        },
      ),
    },
    {
      claim: 'ResNet-18 trains most steadily.',
      rule: 'Compares, over the networks that learn, how much of its movement the training loss spends on going up, and how far validation accuracy moves from epoch to epoch. Agrees if ResNet-18 has less of both than every other by more than two standard errors, disagrees if another has less of each by as much.',
      ...decide(
        [
          ['resnet18-catdog', resnet],
          ['alexnet-catdog', augmented],
          ['vgg16-catdog', vgg],
        ],
        () => steadiness({ 'ResNet-18': resnet, AlexNet: augmented, 'VGG-16': vgg }),
      ),
    },
    {
      claim: 'A pretrained AlexNet is above all the others.',
      rule: 'Agrees if its mean test accuracy is more than two standard errors above every other network’s; disagrees if it is as far below any, and it started from ImageNet as in the notes.',
      ...decide(
        [
          ['alexnet-catdog-pretrained', pretrained],
          ['alexnet-catdog', augmented],
          ['vgg16-catdog', vgg],
          ['resnet18-catdog', resnet],
        ],
        () => {
          const ours = finalLevel(pretrained);
          const others = { AlexNet: augmented, 'VGG-16': vgg, 'ResNet-18': resnet };
          const orders = Object.values(others).map((runs) => order(ours, finalLevel(runs)));
          const fromImagenet = pretrained.every(({ start }) => start === 'imagenet');
          return {
            verdict: orders.every((o) => o > 0)
              ? 'agrees'
              : fromImagenet && orders.some((o) => o < 0)
                ? 'disagrees'
                : 'cannot be shown at this size',
            measured: `Test accuracy ${shown(ours)} (started from ${pretrained[0]!.start}); ${Object.entries(others)
              .map(([name, runs]) => `${name} ${shown(finalLevel(runs))}`)
              .join(', ')}.`,
          };
        },
      ),
    },
  ];
}

const bestLevel = (runs: readonly MeasuredRun[]): Level =>
  level(
    runs.map((run) => run.bestValidationAccuracy),
    runs[0]!.examples.validation,
  );

/** Validation accuracy over the last third of the epochs. */
const endLevel = (runs: readonly MeasuredRun[]): Level =>
  level(
    runs.map((run) => mean(lastThird(run.epochs).map((e) => e.validationAccuracy))),
    runs[0]!.examples.validation,
  );

/** When a run's loss fell below ln 2, where others' stayed. */
function gettingAway({ seed, epochs }: MeasuredRun): string {
  const at = epochs.findIndex(({ trainLoss }, i) => i > 0 && trainLoss < chance - 0.01);
  return at < 0 ? `Seed ${seed} wavers about ln 2.` : `Seed ${seed} gets below ln 2 in epoch ${at + 1}.`;
}

/** Whether vanishing gradients explain the stuck runs, and what the other diagnostics say. */
function explanation(scratch: readonly MeasuredRun[], learning: readonly MeasuredRun[]): Decided {
  const stuck = scratch.filter(isStuck);
  const away = scratch.filter((run) => !isStuck(run));
  if (stuck.length === 0) return { verdict: 'cannot be shown at this size', measured: 'No run is stuck.' };
  const learns = learning.length === 1 ? 'the run that learns' : 'the runs that learn';
  const first = (run: MeasuredRun) => run.epochs[0]!;
  const reference = median(learning.map((run) => gradientSpan(first(run))));
  const spans = stuck.map((run) => gradientSpan(first(run)));
  const vanished = spans.filter((span) => span < 0.1 * reference).length;
  const middle = (runs: readonly MeasuredRun[], of: (run: MeasuredRun) => number) => median(runs.map(of));
  const step = (run: MeasuredRun) => first(run).updateRatio;
  const dead = (run: MeasuredRun) => run.epochs[1]?.deadShare ?? first(run).deadShare;
  const spread = (run: MeasuredRun) => run.epochs.at(-1)!.logitStd;
  const lastSpan = (run: MeasuredRun) => gradientSpan(run.epochs.at(-1)!);
  const jump = (run: MeasuredRun) => run.highestLoss.loss;
  const gone = stuck.every((run) => lastSpan(run) < 0.1 * reference);
  return {
    verdict: vanished === stuck.length ? 'agrees' : vanished === 0 ? 'disagrees' : 'cannot be shown at this size',
    measured: [
      `In the first epoch the first layer has ${spans.map(times).join(', ')} times the last layer’s gradient norm, ${times(reference)} in ${learns}; in the last epoch ${each(stuck, lastSpan, (n) => n.toPrecision(1))}${vanished === 0 && gone ? ': they vanish, but when training is stuck already' : ''}.`,
      `What differs from ${learns} is the step: a median update of ${percent(middle(stuck, step))} of the weights against ${percent(middle(learning, step))}.`,
      `In the first epoch the loss of a step jumps to ${each(stuck, jump, (n) => n.toFixed(2))} (${each(learning, jump, (n) => n.toFixed(2))} in ${learns});`,
      `in the second, ${percent(middle(stuck, dead))} of the channels of the layer with the most dead ReLUs are dead (${percent(middle(learning, dead))}),`,
      `and at the end the logits spread by ${middle(stuck, spread).toFixed(4)} (${middle(learning, spread).toFixed(2)}).`,
      ...away.map(
        (run) =>
          `Seed ${run.seed}, which is not stuck, began alike (gradient ${times(gradientSpan(first(run)))}, step ${percent(step(run))}, jump to ${jump(run).toFixed(2)}, ${percent(dead(run))} dead), so these alone do not decide it.`,
      ),
    ].join(' '),
  };
}

/** What each of the two changes does alone. */
function whichOfBoth(find: Find): string {
  const step = find('alexnet-catdog-scratch', 'quick', stepAlone);
  const augmentation = find('alexnet-catdog', 'quick', augmentationAlone);
  const alone = (what: string, runs: readonly MeasuredRun[]) =>
    runs.length === 0
      ? `${what} alone: not yet run.`
      : `${what} alone: ${runs.every(isStuck) ? 'stuck' : 'it learns'}, test accuracy ${shown(finalLevel(runs))}.`;
  return [alone('The smaller step', step), alone('Augmentation', augmentation)].join(' ');
}

/** A measure of movement over runs; of a single one it is not known how much it varies. */
function movement(runs: readonly MeasuredRun[], of: (run: MeasuredRun) => number): Level {
  const values = runs.map(of);
  return { mean: mean(values), error: values.length > 1 ? seedError(values) : Infinity };
}

function steadiness(networks: Readonly<Record<string, readonly MeasuredRun[]>>): Decided {
  const moving = Object.entries(networks).filter(([, runs]) => !runs.every(isStuck));
  const ours = 'ResNet-18';
  const others = moving.filter(([name]) => name !== ours).map(([, runs]) => runs);
  const its = moving.find(([name]) => name === ours)?.[1];
  const against = (of: (run: MeasuredRun) => number) =>
    others.map((runs) => order(movement(its!, of), movement(runs, of)));
  const compared = its && others.length > 0 ? [against(unevenness), against(restlessness)] : undefined;
  const least = compared?.every((orders) => orders.every((sign) => sign < 0));
  const beaten = compared?.every((orders) => orders.some((sign) => sign > 0));
  return {
    verdict: least ? 'agrees' : beaten ? 'disagrees' : 'cannot be shown at this size',
    measured: `${Object.entries(networks)
      .map(([name, runs]) =>
        runs.every(isStuck)
          ? `${name} did not learn at this size`
          : `${name}: ${shown(movement(runs, unevenness))} of the loss’s movement is upward, validation accuracy moves by ${shown(movement(runs, restlessness))} an epoch`,
      )
      .join('; ')}.`,
  };
}
