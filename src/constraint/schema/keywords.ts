/**
 * The keywords of JSON Schema by what is done with them. A keyword that is in none of these lists
 * is reported as unknown: it may be a misspelt one. Data only.
 */

/** Keywords that say something to a reader, and nothing about which values are valid. */
export const annotationKeywords: ReadonlySet<string> = new Set([
  ...[
    '$schema',
    '$id',
    'id',
    '$anchor',
    '$dynamicAnchor',
    '$comment',
    '$defs',
    '$vocabulary',
    'definitions',
  ],
  ...[
    'title',
    'description',
    'default',
    'examples',
    'example',
    'deprecated',
    'readOnly',
    'writeOnly',
  ],
  ...['contentEncoding', 'contentMediaType', 'contentSchema', 'externalDocs', 'xml'],
  ...['markdownDescription', 'enumDescriptions', 'discriminator', 'strict'],
]);

/** Keywords that are enforced. */
export const enforcedKeywords: ReadonlySet<string> = new Set([
  ...['type', 'enum', 'const', 'nullable', '$ref', 'allOf', 'anyOf', 'oneOf', 'not'],
  ...['if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'dependencies'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  ...['minLength', 'maxLength', 'pattern', 'format'],
  ...['items', 'prefixItems', 'additionalItems', 'minItems', 'maxItems', 'uniqueItems', 'contains'],
  ...['minContains', 'maxContains'],
  ...['properties', 'required', 'additionalProperties', 'patternProperties', 'propertyNames'],
  ...['minProperties', 'maxProperties', 'unevaluatedProperties', 'unevaluatedItems'],
]);

/** Keywords of the specification that are not enforced. */
export const unsupportedKeywords: ReadonlyMap<string, string> = new Map([
  ['$dynamicRef', 'references that depend on who refers are not followed'],
  ['$recursiveRef', 'references that depend on who refers are not followed'],
  ['$recursiveAnchor', 'references that depend on who refers are not followed'],
]);
