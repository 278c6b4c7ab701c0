// Fills holes with a network that learns, from the known values alone, to guess what was punched out of them.
import { AdamW, CosineAnnealingLR, clipGradNorm, manualSeed, maskedL1Loss, noGrad, type StateDict, tidy } from 'partialconv';
import { generator, hideStretches } from './holes';
import { hintCount, punch, type Sample, teacher } from './lesson';
import { fromRows, map, row, type Signals } from './signals';
import { UNet } from './unet';

export interface LearnOptions {
  readonly seed: number;
  /** Lengths of the holes to expect. */
  readonly lengths: readonly number[];
  /** At most so many for each network. Default 300. */
  readonly steps?: number;
  /** Networks whose answers are averaged, each with another held-back part. Default 3. */
  readonly networks?: number;
  readonly onStep?: (step: Step) => void;
}

export interface Step {
  /** How much is done, from 0 to 1. */
  readonly share: number;
  readonly step: number;
  /** Mean absolute error of the punched values, in units of the spread. */
  readonly loss: number;
}

/** One point of a loss curve; the first is the untrained network's: straight lines. */
export interface Check {
  readonly network: number;
  readonly step: number;
  /** Mean of the losses since the last check. */
  readonly loss: number;
  /** Mean absolute error of the held-back values. */
  readonly heldBack: number;
}

const [BATCH, SHARE, CHECK_EVERY, PATIENCE] = [8, 0.25, 25, 6];

/** Fills every NaN; known values stay as they are. The same seed gives the same result. */
export function learnToFill(x: Signals, options: LearnOptions): { filled: Signals; checks: Check[] } {
  const { networks = 3 } = options;
  const padded = Math.ceil(x.length / UNet.multiple) * UNet.multiple;
  const rows = Array.from({ length: x.channels }, (_, c) => {
    const values = new Float32Array(padded).fill(Number.NaN);
    values.set(row(x, c));
    return values;
  });
  const signals = fromRows(rows);
  const sum = new Float32Array(signals.data.length);
  const checks: Check[] = [];
  for (let network = 0; network < networks; network++) {
    const share = (done: number): number => (network + done) / networks;
    const onStep = (step: Step): void => options.onStep?.({ ...step, share: share(step.share) });
    const trained = train(signals, { ...options, seed: options.seed * networks + network, onStep });
    checks.push(...trained.checks.map((check) => ({ ...check, network })));
    trained.answer.forEach((v, i) => {
      sum[i] = (sum[i] ?? 0) + v / networks;
    });
  }
  const answer = { ...signals, data: sum };
  const answers = fromRows(rows.map((_, c) => row(answer, c).subarray(0, x.length)));
  return { filled: map(x, (known, i) => (Number.isNaN(known) ? (answers.data[i] ?? 0) : known)), checks };
}

/** One network: learns until the held-back values stop getting better, then answers with its best weights. */
function train(
  x: Signals,
  { seed, lengths, steps = 300, onStep }: LearnOptions,
): { answer: Float32Array; checks: Omit<Check, 'network'>[] } {
  manualSeed(seed);
  const random = generator(seed);
  const { known, kept, heldBack } = holdBack(x, lengths, seed);
  const lesson = teacher(x);
  const model = new UNet(x.channels, hintCount(x.channels));
  const parameters = [...model.parameters()];
  const optimizer = new AdamW(parameters, { lr: 0.005 });
  const schedule = new CosineAnnealingLR(optimizer, { tMax: steps });

  const loss = (samples: readonly Sample[]) => {
    const { x: truth, shown, asked, hints } = lesson(samples);
    return maskedL1Loss(model.forward(truth, shown, hints), truth, asked);
  };
  const learn = (): number =>
    tidy(() => {
      optimizer.zeroGrad();
      const value = loss(Array.from({ length: BATCH }, () => punch(kept, x.length, Math.max(...lengths), SHARE, random)));
      value.backward();
      clipGradNorm(parameters, 1);
      optimizer.step();
      schedule.step();
      return value.item() as number;
    });
  const check = (): number => tidy(() => noGrad(() => loss([{ shown: kept, asked: heldBack, sign: 1 }]).item() as number));

  const checks: Omit<Check, 'network'>[] = [];
  let best = { heldBack: check(), step: 0, weights: weightsOf(model) };
  for (let step = 1, sum = 0; step <= steps && step - best.step <= PATIENCE * CHECK_EVERY; step++) {
    const value = learn();
    sum += value;
    if (step === 1) checks.push({ step: 0, loss: value, heldBack: best.heldBack });
    onStep?.({ share: step / steps, step, loss: value });
    if (step % CHECK_EVERY !== 0) continue;
    checks.push({ step, loss: sum / CHECK_EVERY, heldBack: check() });
    sum = 0;
    const now = checks.at(-1)?.heldBack ?? Number.NaN;
    if (now < best.heldBack) best = { heldBack: now, step, weights: weightsOf(model) };
  }
  model.loadStateDict(best.weights);
  const { x: truth, shown, hints } = lesson([{ shown: known, asked: known, sign: 1 }]);
  return { answer: Float32Array.from(noGrad(() => model.forward(truth, shown, hints)).readSync(), Number), checks };
}

/**
 * Splits what is known: a tenth, in stretches like the holes to expect, only tells when to stop. What is usual and how channels
 * correlate still comes from all of it.
 */
function holdBack(x: Signals, lengths: readonly number[], seed: number): Record<'known' | 'kept' | 'heldBack', Float32Array> {
  const rows = Array.from({ length: x.channels }, (_, c) => Float64Array.from(row(x, c)));
  const known = x.data.map((v) => (Number.isNaN(v) ? 0 : 1));
  const heldBack = fromRows(hideStretches(rows, { lengths, share: 0.1, seed: seed + 1_000_000 })).data;
  return { known, kept: known.map((k, i) => k - (heldBack[i] ?? 0)), heldBack };
}

const weightsOf = (model: UNet): StateDict => Object.fromEntries(Object.entries(model.stateDict()).map(([name, t]) => [name, t.clone()]));
