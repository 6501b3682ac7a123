/** Classes of checkpoints that can be converted, and what GGUF calls their architectures. */

export const bertArchitecture = 'bert';
export const embeddingGemma = 'gemma-embedding';
export const lfm2Architecture = 'lfm2';
export const lfm2MoeArchitecture = 'lfm2moe';
export const nomicArchitecture = 'nomic-bert';
/** Of the same class. */
export const nomicMoeArchitecture = 'nomic-bert-moe';
export const hunyuanArchitecture = 'hunyuan-dense';
export const gemma4Architecture = 'gemma4';
export const jinaArchitecture = 'jina-bert-v2';
export const emoClass = 'EmoForCausalLM';
/** GLM-4.7-Flash. */
export const glmFlashClass = 'Glm4MoeLiteForCausalLM';

/** Classes of BERT's architecture. */
const bertClasses = [
  ...['BertModel', 'BertForMaskedLM', 'BertForSequenceClassification'],
  ...['XLMRobertaModel', 'XLMRobertaForMaskedLM', 'XLMRobertaForSequenceClassification'],
] as const;

/** GGUF's names of the architectures by the class that config.json names. */
export const architectures: Readonly<Record<string, string>> = {
  LlamaForCausalLM: 'llama',
  MistralForCausalLM: 'llama',
  MixtralForCausalLM: 'llama',
  Qwen2ForCausalLM: 'qwen2',
  Qwen3ForCausalLM: 'qwen3',
  Qwen3ForSequenceClassification: 'qwen3',
  Qwen3MoeForCausalLM: 'qwen3moe',
  OlmoeForCausalLM: 'olmoe',
  [emoClass]: 'deepseek',
  Olmo2ForCausalLM: 'olmo2',
  Olmo3ForCausalLM: 'olmo2',
  SmolLM3ForCausalLM: 'smollm3',
  GraniteForCausalLM: 'granite',
  GraniteMoeForCausalLM: 'granitemoe',
  Ernie4_5ForCausalLM: 'ernie4_5',
  Phi3ForCausalLM: 'phi3',
  SeedOssForCausalLM: 'seed_oss',
  HunYuanDenseV1ForCausalLM: hunyuanArchitecture,
  Ministral3ForCausalLM: 'mistral3',
  Mistral3ForConditionalGeneration: 'mistral3',
  Gemma2ForCausalLM: 'gemma2',
  Gemma3ForCausalLM: 'gemma3',
  Gemma3ForConditionalGeneration: 'gemma3',
  Gemma4ForCausalLM: gemma4Architecture,
  Gemma4ForConditionalGeneration: gemma4Architecture,
  Gemma3TextModel: embeddingGemma,
  ...Object.fromEntries(bertClasses.map((name) => [name, bertArchitecture])),
  Qwen3_5ForCausalLM: 'qwen35',
  Qwen3_5ForConditionalGeneration: 'qwen35',
  Qwen3_5MoeForCausalLM: 'qwen35moe',
  Qwen3_5MoeForConditionalGeneration: 'qwen35moe',
  DeepseekV2ForCausalLM: 'deepseek2',
  DeepseekV3ForCausalLM: 'deepseek2',
  [glmFlashClass]: 'deepseek2',
  DeepseekV4ForCausalLM: 'deepseek4',
  GptOssForCausalLM: 'gpt-oss',
  Glm4ForCausalLM: 'glm4',
  Glm4MoeForCausalLM: 'glm4moe',
  Lfm2ForCausalLM: lfm2Architecture,
  Lfm2MoeForCausalLM: lfm2MoeArchitecture,
  JinaBertModel: jinaArchitecture,
  JinaBertForMaskedLM: jinaArchitecture,
  NomicBertModel: nomicArchitecture,
};

/** Classes of checkpoints that can be converted. */
export const supportedClasses: readonly string[] = Object.keys(architectures);
