/**
 * Answers against libllama's on the same file: ours are shown to libllama, which says at every place
 * what it would have said, sampled with the same noise. Where the two differ, a model with the
 * same weights in F32 says which of them exact arithmetic supports.
 */
import { continueText } from '../../src/bench/continue-text.js';
import { Evaluator } from '../../src/bench/evaluator.js';
import { Chooser } from '../../src/decode/chooser.js';
import { gumbel, noiseKey } from '../../src/decode/noise.js';
import { resolveSampling } from '../../src/decode/settings.js';
import { loadModel } from '../../src/index.js';
import { Oracle } from '../../test/oracle/libllama.js';
import { instructions, type Subject } from './subjects.js';

export interface AnswersOptions {
  readonly path: string;
  /** The same weights in F32. */
  readonly exact: string;
  readonly temperature: number;
  /** How many instructions, and the most tokens of an answer. */
  readonly count: number;
  readonly tokens: number;
  readonly threads: number;
  readonly onStep: (done: number) => void;
}

/** A place where libllama would have said another token. */
interface Difference {
  /** Tokens of the answer before it. */
  readonly at: number;
  readonly ours: string;
  readonly theirs: string;
  /** How much less libllama gives our token than its own, in logits; noise counted. */
  readonly margin: number;
  /** What the same weights say in F32. */
  readonly exact: 'ours' | 'theirs' | 'another';
}

const contextLength = 512;

/**
 * One row an instruction: tokens until the first difference, and all differences along our answer. The
 * differences behind the first are of texts that libllama would not have written, and count as well: each
 * place is a comparison of its own.
 */
export async function compareAnswers(subject: Subject, options: AnswersOptions) {
  const { path, exact, temperature, count, tokens: most, threads, onStep } = options;
  await using model = await loadModel(path, { contextLength, threads });
  using oracle = new Oracle(path, { contextLength, threads });
  using reference = await Evaluator.open(exact, { contextLength, threads, kvType: 'f32' });
  const rows: object[] = [];
  let [compared, agreed, whole] = [0, 0, 0];
  const firsts: Difference[] = [];
  const all: Difference[] = [];
  for (const [index, instruction] of instructions.slice(0, count).entries()) {
    onStep(index);
    const prompt = subject.ask(model, [instruction]);
    const seed = index;
    const wanted = { temperature, seed, minP: 0, tokens: most, mayEnd: true };
    const answer = await continueText(model, prompt, { ...wanted, sources: [], mode: 'none' });
    const text = [...prompt, ...answer.tokens];
    oracle.clear();
    const logits = oracle.decode(text).slice(prompt.length - 1);
    const places = answer.tokens.flatMap((token, at) => {
      const row = logits[at] as Float32Array;
      const theirs = choice(row, text.slice(0, prompt.length + at), temperature, seed);
      return theirs === token ? [] : [{ at, token, theirs, row }];
    });
    const judged = await choicesAt(
      reference,
      text,
      places.map(({ at }) => prompt.length + at),
      temperature,
      seed,
    );
    const word = (token: number) => model.tokenizer.decode([token]);
    const differences = places.map(({ at, token, theirs, row }, place): Difference => {
      const score = (id: number) =>
        (row[id] as number) +
        (temperature === 0 ? 0 : temperature * gumbel(noiseKey(seed, prompt.length + at), id));
      const judge = judged[place];
      return {
        at,
        ours: word(token),
        theirs: word(theirs),
        margin: score(theirs) - score(token),
        exact: judge === token ? 'ours' : judge === theirs ? 'theirs' : 'another',
      };
    });
    compared += answer.tokens.length;
    agreed += answer.tokens.length - differences.length;
    const [first] = differences;
    if (first === undefined) whole++;
    else firsts.push(first);
    all.push(...differences);
    rows.push({
      instruction,
      tokens: answer.tokens.length,
      same_until: first?.at ?? answer.tokens.length,
      differences,
    });
  }
  const said = (who: Difference['exact']) => all.filter(({ exact: side }) => side === who).length;
  return {
    temperature,
    kv_type: model.info.kvType,
    kernels: model.info.kernels,
    answers: rows.length,
    same_to_the_end: whole,
    tokens: compared,
    same_tokens: agreed,
    largest_margin_of_first: Math.max(0, ...firsts.map(({ margin }) => margin)),
    largest_margin: Math.max(0, ...all.map(({ margin }) => margin)),
    f32_says: { ours: said('ours'), theirs: said('theirs'), another: said('another') },
    rows,
  };
}

/** What follows these tokens, by a row of logits and the noise of the seed. */
function choice(
  row: Float32Array,
  tokens: readonly number[],
  temperature: number,
  seed: number,
): number {
  const settings = resolveSampling({ temperature, seed, topK: 0, topP: 1, minP: 0 });
  return new Chooser({ settings, tokens }).choose(row).token;
}

/** The choices of a model at some places of a text, in ascending order. */
async function choicesAt(
  model: Evaluator,
  text: readonly number[],
  places: readonly number[],
  temperature: number,
  seed: number,
): Promise<number[]> {
  const [first] = places;
  if (first === undefined) return [];
  const found: number[] = [];
  let place = first;
  for await (const row of model.logits(text, first - 1)) {
    if (places.includes(place)) found.push(choice(row, text.slice(0, place), temperature, seed));
    place++;
  }
  return found;
}
