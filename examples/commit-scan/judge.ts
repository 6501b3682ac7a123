/**
 * Asks a model about one commit: one in this process by name, or one behind an endpoint of OpenAI's
 * kind. Both are models of the AI SDK, so that everything else is the same.
 */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, type LanguageModel, NoObjectGeneratedError, Output } from 'ai';
import { createPaceline, type PacelineMetadata } from '../../src/ai-sdk/index.js'; // in your program: from 'paceline/ai-sdk'
import type { Commit } from './commit.js';
import { type Answer, answerSchema, instructions, promptOf } from './prompt.js';

export interface Tokens {
  readonly prompt: number;
  /** Of the prompt, those that did not have to be computed. */
  readonly cached: number;
  readonly answer: number;
  readonly drafted: number;
  readonly accepted: number;
}

export interface Judgement {
  /** Undefined: the model gave no answer that keeps to the schema; `failure` says why. */
  readonly answer?: Answer;
  readonly failure?: string;
  /** The diff was cut to the budget. */
  readonly cut: boolean;
  readonly tokens: Tokens;
  readonly ms: number;
}

export interface Judge {
  /** For journals and reports. */
  readonly name: string;
  /** @throws where the model can't be asked at all. */
  judge(commit: Commit, signal: AbortSignal): Promise<Judgement>;
  dispose(): Promise<void>;
}

export interface JudgeOptions {
  readonly model: string;
  /** Base URL with `/v1`; undefined: the model runs in this process. */
  readonly url?: string | undefined;
  readonly apiKey?: string | undefined;
  /** Commits at once. */
  readonly parallel: number;
  /** Characters of a commit that the model sees. */
  readonly budget: number;
}

/** Tokens that an answer may have; the longest that the schema allows has fewer. */
const answerTokens = 256;
const contextLength = 8192;

/** A judge that asks the model. Nothing is loaded before the first commit. */
export function createJudge(options: JudgeOptions): Judge {
  const { model: name, url, apiKey, parallel, budget } = options;
  if (url !== undefined) {
    const endpoint = createOpenAICompatible({
      name: 'endpoint',
      baseURL: url,
      supportsStructuredOutputs: true,
      ...(apiKey === undefined ? {} : { apiKey }),
    });
    return judgeWith(endpoint(name), {
      name: `${name} at ${url}`,
      budget,
      dispose: async () => {},
    });
  }
  const provider = createPaceline({ load: { contextLength }, slots: parallel });
  const dispose = () => provider.dispose();
  return judgeWith(provider(name), { name, budget, dispose });
}

function judgeWith(
  model: LanguageModel,
  { name, budget, dispose }: Pick<Judge, 'name' | 'dispose'> & { readonly budget: number },
): Judge {
  const judge = async (commit: Commit, signal: AbortSignal): Promise<Judgement> => {
    const { text, cut } = promptOf(commit, budget);
    const start = performance.now();
    const told = (answer: Partial<Judgement>, tokens: Tokens): Judgement => ({
      ...answer,
      cut,
      tokens,
      ms: Math.round(performance.now() - start),
    });
    try {
      const result = await generateText({
        model,
        system: instructions,
        prompt: text,
        output: Output.object({ schema: answerSchema }),
        temperature: 0,
        seed: 0,
        maxOutputTokens: answerTokens,
        abortSignal: signal,
        // The slots of all commits have the same beginning, and are cut back to it.
        providerOptions: { paceline: { thinking: false, conversation: 'commit-scan' } },
      });
      const own = result.providerMetadata?.paceline as PacelineMetadata | undefined;
      const tokens = tokensOf(result.usage, own);
      try {
        return told({ answer: result.output }, tokens);
      } catch (error) {
        return told({ failure: messageOf(error) }, tokens);
      }
    } catch (error) {
      if (!NoObjectGeneratedError.isInstance(error)) throw error;
      return told({ failure: messageOf(error) }, tokensOf(error.usage ?? {}, undefined));
    }
  };
  return { name, judge, dispose };
}

interface Usage {
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  readonly inputTokenDetails?: { readonly cacheReadTokens?: number | undefined };
}

function tokensOf(usage: Usage, own: PacelineMetadata | undefined): Tokens {
  return {
    prompt: usage.inputTokens ?? 0,
    cached: usage.inputTokenDetails?.cacheReadTokens ?? 0,
    answer: usage.outputTokens ?? 0,
    drafted: own?.draftedTokens ?? 0,
    accepted: own?.acceptedTokens ?? 0,
  };
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 300);
}
