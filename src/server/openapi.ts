/** `/openapi.json`: made from the schemas that check requests, so that it can't say anything else. */
import { z } from 'zod';
import { countSchema, messagesSchema } from './dialects/anthropic/messages-schema.js';
import {
  ollamaChatSchema,
  ollamaEmbedSchema,
  ollamaGenerateSchema,
  ollamaShowSchema,
} from './dialects/ollama/schema.js';
import { chatSchema } from './dialects/openai/chat-schema.js';
import { completionSchema } from './dialects/openai/completions.js';
import { embeddingSchema } from './dialects/openai/embeddings.js';
import { rerankSchema } from './dialects/openai/rerank.js';
import { responseSchema } from './dialects/openai/responses-schema.js';
import { loadSchema, modelSchema, verifySchema } from './dialects/paceline/schema.js';

const posts: readonly (readonly [path: string, summary: string, schema: z.ZodType])[] = [
  ['/v1/chat/completions', 'OpenAI: answer a conversation', chatSchema],
  ['/v1/completions', 'OpenAI: continue a text', completionSchema],
  ['/v1/responses', 'OpenAI: make a response', responseSchema],
  ['/v1/embeddings', 'OpenAI: embeddings', embeddingSchema],
  ['/v1/rerank', 'Documents ranked by a query, as Jina and Cohere have it', rerankSchema],
  ['/v1/messages', 'Anthropic: answer a conversation', messagesSchema],
  ['/v1/messages/count_tokens', 'Anthropic: count the tokens of a prompt', countSchema],
  ['/api/chat', 'Ollama: answer a conversation', ollamaChatSchema],
  ['/api/generate', 'Ollama: answer or continue a text', ollamaGenerateSchema],
  ['/api/embed', 'Ollama: embeddings', ollamaEmbedSchema],
  ['/api/show', 'Ollama: what a model is', ollamaShowSchema],
  ['/paceline/v1/verify', 'One text plainly and with drafts, compared to the byte', verifySchema],
  ['/paceline/v1/models/load', 'Load a model of the server, or one of the disk', loadSchema],
  ['/paceline/v1/models/unload', 'Unload a model that nobody uses', modelSchema],
];

const others: readonly (readonly [method: string, path: string, summary: string])[] = [
  ['get', '/v1/models', 'OpenAI: the models of this server'],
  ['get', '/v1/models/{model}', 'OpenAI: one model'],
  ['get', '/v1/responses/{response_id}', 'OpenAI: a stored response'],
  ['delete', '/v1/responses/{response_id}', 'OpenAI: forget a stored response'],
  ['get', '/v1/responses/{response_id}/input_items', 'OpenAI: what a stored response was asked'],
  ['get', '/api/tags', 'Ollama: the models of this server'],
  ['get', '/api/ps', 'Ollama: the models in memory'],
  ['get', '/api/version', 'Ollama: the version of this server'],
  ['get', '/paceline/v1/status', 'The server, its models, and what they hold in memory'],
  ['get', '/paceline/v1/activity', 'The last passes of a model: `model`, `since` a number'],
  ['get', '/paceline/v1/library', 'The models on the disk of this machine'],
  ['get', '/', 'The page, for browsers'],
  ['get', '/health', '200 when ready, 503 while loading'],
  ['get', '/metrics', 'Metrics for Prometheus'],
  ['get', '/openapi.json', 'This description'],
];

function parameters(path: string) {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

const responses = {
  200: { description: 'As the API has it' },
  400: { description: 'As the API has it' },
};

/** The description of all routes, in OpenAPI 3.1. */
export function openapi(version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [path, summary, schema] of posts) {
    const body = z.toJSONSchema(schema, { io: 'input' });
    paths[path] = {
      post: {
        summary,
        requestBody: { required: true, content: { 'application/json': { schema: body } } },
        responses,
      },
    };
  }
  for (const [method, path, summary] of others) {
    paths[path] = {
      ...paths[path],
      [method]: { summary, parameters: parameters(path), responses },
    };
  }
  return { openapi: '3.1.0', info: { title: 'Paceline', version }, paths };
}
