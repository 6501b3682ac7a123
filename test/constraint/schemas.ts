/** Schemas of the kinds that requests have; each can be satisfied. */
import type { Json } from '../../src/constraint/schema/json.js';

const address: Json = {
  type: 'object',
  properties: { street: { type: 'string' }, zip: { type: 'string', pattern: '^[0-9]{5}$' } },
  required: ['street'],
  additionalProperties: false,
};

export const schemas: Readonly<Record<string, Json>> = {
  flat: {
    type: 'object',
    properties: { name: { type: 'string' }, age: { type: 'integer' }, tall: { type: 'boolean' } },
    required: ['name', 'age'],
    additionalProperties: false,
  },
  open: { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
  typedRest: {
    type: 'object',
    properties: { a: { type: 'null' } },
    additionalProperties: { type: 'integer' },
  },
  nested: {
    type: 'object',
    properties: {
      home: address,
      work: address,
      tags: { type: 'array', items: { type: 'string', maxLength: 5 } },
    },
    required: ['home'],
    additionalProperties: false,
  },
  patternKeys: {
    type: 'object',
    patternProperties: { '^n_': { type: 'integer' }, _s$: { type: 'string' } },
    additionalProperties: false,
  },
  patternRest: {
    type: 'object',
    patternProperties: { '^x-': {} },
    additionalProperties: { type: 'boolean' },
  },
  names: { type: 'object', propertyNames: { pattern: '^[a-z]{1,3}$' }, maxProperties: 3 },
  counts: {
    type: 'object',
    properties: { a: { type: 'integer' }, b: { type: 'integer' }, c: { type: 'integer' } },
    minProperties: 2,
    maxProperties: 2,
    additionalProperties: false,
  },
  recursive: {
    $defs: {
      node: {
        type: 'object',
        properties: {
          value: { type: 'integer' },
          children: { type: 'array', items: { $ref: '#/$defs/node' } },
        },
        required: ['value', 'children'],
        additionalProperties: false,
      },
    },
    $ref: '#/$defs/node',
  },
  tuple: {
    type: 'array',
    prefixItems: [{ type: 'integer' }, { type: 'string' }],
    items: { type: 'boolean' },
    minItems: 2,
    maxItems: 4,
  },
  oldTuple: {
    type: 'array',
    items: [{ type: 'integer' }, { const: 'x' }],
    additionalItems: false,
    minItems: 1,
  },
  range: { type: 'integer', minimum: -17, maximum: 1234 },
  open01: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
  decimals: { type: 'number', minimum: -2.5, maximum: 13.75 },
  negative: { type: 'number', maximum: -0.125 },
  large: { type: 'integer', minimum: 5 },
  multiple: { type: 'integer', multipleOf: 7, minimum: 0 },
  cents: { type: 'number', multipleOf: 0.25, minimum: 0, maximum: 100 },
  lengths: { type: 'string', minLength: 3, maxLength: 6 },
  pattern: { type: 'string', pattern: '^(?:[a-c]+|\\d{2,4})-x?$' },
  partPattern: { type: 'string', pattern: 'ab+c', maxLength: 12 },
  unicode: { type: 'string', pattern: '^[äöü\\u{1F600}-\\u{1F64F}"\\\\\\n]{1,4}$' },
  enum: { enum: ['red', 'green', 12, null, true, { a: [1] }, [], 'a"b\\c'] },
  anyOf: {
    anyOf: [
      {
        type: 'object',
        properties: { kind: { const: 'a' }, x: { type: 'integer' } },
        required: ['kind', 'x'],
      },
      {
        type: 'object',
        properties: { kind: { const: 'b' }, y: { type: 'string' } },
        required: ['kind', 'y'],
      },
      { type: 'null' },
    ],
  },
  oneOf: {
    oneOf: [
      {
        type: 'object',
        properties: { kind: { const: 'a' } },
        required: ['kind'],
        additionalProperties: false,
      },
      { type: 'object', properties: { kind: { enum: ['b', 'c'] } }, required: ['kind'] },
      { type: 'integer', minimum: 3 },
      { type: 'integer', maximum: 2 },
      { type: 'string' },
    ],
  },
  oneOfOverlap: { type: 'string', oneOf: [{ enum: ['a', 'b'] }, { enum: ['b', 'c'] }] },
  allOf: {
    allOf: [
      { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
      { properties: { b: { type: 'string', maxLength: 4 } }, required: ['b'] },
      { properties: { a: { minimum: 5 } } },
    ],
    unevaluatedProperties: false,
  },
  allOfRef: {
    definitions: {
      base: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
    },
    allOf: [{ $ref: '#/definitions/base' }, { properties: { id: { maximum: 9 } } }],
  },
  nullable: { type: ['string', 'null', 'integer'], maxLength: 3 },
  openapi: {
    type: 'object',
    properties: { a: { type: 'string', nullable: true, maxLength: 3 } },
    required: ['a'],
    additionalProperties: false,
  },
  conditional: {
    type: 'object',
    properties: { kind: { enum: ['a', 'b'] }, x: { type: ['integer', 'string'], maxLength: 3 } },
    required: ['kind', 'x'],
    if: { properties: { kind: { const: 'a' } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON schema
    then: { properties: { x: { type: 'integer' } } },
    else: { properties: { x: { type: 'string' } } },
    additionalProperties: false,
  },
  dependent: {
    type: 'object',
    properties: { a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' } },
    dependentRequired: { a: ['b'] },
    additionalProperties: false,
  },
  not: { type: 'string', maxLength: 3, not: { enum: ['a', 'ab'] } },
  notRequired: {
    type: 'object',
    properties: { a: { type: 'null' }, b: { type: 'null' } },
    not: { required: ['a', 'b'] },
    additionalProperties: false,
  },
  anything: {},
  anyArray: { type: 'array', maxItems: 3 },
  date: { type: 'string', format: 'date' },
  time: { type: 'string', format: 'time' },
  dateTime: { type: 'string', format: 'date-time' },
  duration: { type: 'string', format: 'duration' },
  email: { type: 'string', format: 'email' },
  hostname: { type: 'string', format: 'hostname' },
  ipv4: { type: 'string', format: 'ipv4' },
  ipv6: { type: 'string', format: 'ipv6' },
  uri: { type: 'string', format: 'uri' },
  uriReference: { type: 'string', format: 'uri-reference' },
  uuid: { type: 'string', format: 'uuid' },
  pointer: { type: 'string', format: 'json-pointer' },
};
