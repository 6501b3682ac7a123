/** What tokenizer.json puts around a text and between two: TemplateProcessing, and RoBERTa's own kind. */
import { isRecord } from '../base/records.js';
import type { JsonObject } from './json.js';

/** Special tokens of the template for one text, '' for the text itself. */
export function templateOf(tokenizer: JsonObject | undefined): string[] {
  const template = postProcessing(tokenizer, 'single');
  return template.length < 2 ? [] : template.map(specialIn);
}

/** Special tokens between the two texts of a pair. */
export function betweenTexts(tokenizer: JsonObject | undefined): number {
  const template = postProcessing(tokenizer, 'pair').map(specialIn);
  return Math.max(0, template.lastIndexOf('') - template.indexOf('') - 1);
}

function postProcessing(
  tokenizer: JsonObject | undefined,
  name: 'single' | 'pair',
): readonly unknown[] {
  const given = tokenizer?.object('post_processor');
  const processors = (given?.list('processors') ?? [given?.values]).filter(isRecord);
  const template = processors.find(({ type }) => type === 'TemplateProcessing')?.[name];
  if (Array.isArray(template)) return template as readonly unknown[];
  const roberta = processors.find(({ type }) => type === 'RobertaProcessing');
  return roberta ? robertaTemplate(roberta, name) : [];
}

/** What RoBERTa's own kind of processing puts around texts, and two of between the texts of a pair. */
function robertaTemplate(
  { cls, sep }: Record<string, unknown>,
  name: 'single' | 'pair',
): readonly unknown[] {
  const [first, last] = [cls, sep].map((pair) => ({
    SpecialToken: { id: Array.isArray(pair) ? (pair[0] as unknown) : undefined },
  }));
  const text = { Sequence: {} };
  return name === 'single' ? [first, text, last] : [first, text, last, last, text, last];
}

function specialIn(part: unknown): string {
  const special = isRecord(part) ? part.SpecialToken : undefined;
  return isRecord(special) && typeof special.id === 'string' ? special.id : '';
}
