/** The real models that are measured, what they are asked, and how each is asked. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promptTokens } from '../../src/bench/text-prompts.js';
import type { BenchText } from '../../src/bench/texts.js';
import type { Model } from '../../src/index.js';

/** A model, and the tokens of a question to it. */
export interface Subject {
  readonly name: string;
  readonly file: string;
  ask(model: Model, messages: readonly string[]): readonly number[];
}

const roles = ['user', 'assistant'] as const;

const subjects: readonly Subject[] = [
  {
    name: 'smollm2',
    file: 'smollm2-135m-instruct-q4_1.gguf',
    ask(model, messages) {
      const turns = messages.map((content, at) => ({ role: roles[at % 2] ?? 'user', content }));
      return promptTokens(model, { messages: turns });
    },
  },
  {
    // Not tuned for instructions, and without a template: it is shown what an answer looks like.
    name: 'gemma3',
    file: 'gemma-3-270m-q4_k_m.gguf',
    ask(model, messages) {
      const turns = messages.map((text, at) => `${at % 2 === 0 ? 'Question' : 'Answer'}: ${text}`);
      return promptTokens(model, { text: `${turns.join('\n')}\nAnswer:` });
    },
  },
];

/** Those whose files are in the folder, with their paths. */
export function subjectsIn(folder: string): (Subject & { readonly path: string })[] {
  return subjects
    .map((subject) => ({ ...subject, path: join(folder, subject.file) }))
    .filter(({ path }) => existsSync(path));
}

export const instructions: readonly string[] = [
  'Name three rivers in Europe.',
  'Write a haiku about the sea.',
  'What is the capital of Japan?',
  'Explain in one sentence what a compiler does.',
  'List the days of the week.',
  'Give two reasons to learn a musical instrument.',
  'Translate "good morning" into French and Spanish.',
  'What is seven times eight?',
  'Write a short e-mail that asks for a day off.',
  'Describe photosynthesis to a child.',
  'Which is heavier, a kilogram of iron or a kilogram of feathers, and why?',
  'Suggest a name for a café that is run by cats.',
  'How do I boil an egg?',
  'Write the first three lines of a fairy tale.',
  'What does the HTTP status code 404 mean?',
  'Give an example of a metaphor.',
  'Rewrite in the past tense: "She walks to school and meets her friend."',
  'What are the three states of matter?',
  'Write a Python function that adds two numbers.',
  'How many legs do two spiders and one dog have together?',
];

const paragraph =
  'The Danube is the second longest river of Europe. It rises in the Black Forest of Germany and flows ' +
  'through ten countries before it reaches the Black Sea. Vienna, Bratislava, Budapest and Belgrade lie on ' +
  'its banks. For centuries it was a border of the Roman Empire, and today it is an important route for ' +
  'ships between central and eastern Europe. Its delta is a reserve with more than three hundred kinds of birds.';

const code = `function total(prices) {
  let sum = 0;
  for (const price of prices) {
    if (price > 0) {
      sum += price;
    }
  }
  return sum;
}

function average(prices) {
  if (prices.length === 0) {
    return 0;
  }
  return total(prices) / prices.length;
}`;

const people =
  'Anna Schmidt is 34, lives in Berlin and is an engineer. Pierre Martin is 41, lives in Lyon and is a ' +
  'teacher. Olga Ivanova is 28, lives in Sofia and is a nurse. Tom Baker is 52, lives in Leeds and is a driver.';

/** Questions whose answers repeat what was asked, more or less: what n-grams are for. */
const tasks: Readonly<Record<string, readonly string[]>> = {
  editing: [
    `Rewrite this code with "prices" renamed to "amounts", and change nothing else.\n\n${code}`,
    `Copy this text, but write "stream" in place of "river".\n\n${paragraph}`,
  ],
  summarising: [
    `Summarise this text in two sentences.\n\n${paragraph} ${people}`,
    `Summarise this text in three bullet points.\n\n${paragraph}`,
  ],
  json: [
    `Write these people as a JSON array of objects with the keys "name", "age", "city" and "job".\n\n${people}`,
    'Write a JSON array of the twelve months, each an object with the keys "name", "number" and "days".',
  ],
  code: [
    `Write tests for these functions with node:test.\n\n${code}`,
    'Write a JavaScript class for a stack with push, pop, peek and size.',
  ],
};

/** What drafters are compared on: what people say to a model. */
const talks: Readonly<Record<string, readonly (readonly string[])[]>> = {
  instructions: instructions.slice(3, 11).map((text) => [text]),
  code: [
    ['Write a Python function that checks whether a word is a palindrome, with a test.'],
    ['Write a C function that reverses a string.'],
    ['Write a JavaScript function that removes duplicates from a list, and explain it.'],
    ['Write an SQL query that counts the orders of each customer.'],
  ],
  chat: [
    ['Hello! I would like to cook something.', 'Sure! What do you have?', 'Eggs, flour and milk.'],
    [
      'I feel tired today.',
      'I am sorry to hear that. Did you sleep well?',
      'Not really. Any tips?',
    ],
    ['Tell me about whales.', 'Whales are mammals that live in the sea.', 'How do they breathe?'],
    ['What can I see in Vienna?', 'The opera and many museums.', 'And where do I eat well there?'],
  ],
};

function textsOf(
  model: Model,
  { ask }: Subject,
  groups: Readonly<Record<string, readonly (readonly string[])[]>>,
): BenchText[] {
  return Object.entries(groups).map(([name, prompts]) => ({
    name,
    prompts: prompts.map((messages) => ({ tokens: ask(model, messages) })),
  }));
}

/** Editing, summarising, JSON and code. */
export function taskTexts(model: Model, subject: Subject): BenchText[] {
  const groups = Object.entries(tasks).map(([name, texts]) => [name, texts.map((text) => [text])]);
  return textsOf(model, subject, Object.fromEntries(groups));
}

/** Answers to instructions, code and chat. */
export function talkTexts(model: Model, subject: Subject): BenchText[] {
  return textsOf(model, subject, talks);
}
