/**
 * The formats of strings that are enforced, as patterns of whole strings. Where a format has
 * spellings beyond any use (comments in e-mail addresses), the pattern is the part in use. Data only.
 */

export interface Format {
  readonly pattern: string;
  readonly maxLength?: number;
}

const leap = '(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29';
const date =
  `(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|` +
  `(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|${leap})`;
const time =
  '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?' +
  '(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])';

const n = '[0-9]{1,9}';
const clock = `T(?:${n}S|${n}M(?:${n}S)?|${n}H(?:${n}M(?:${n}S)?)?)`;
const days = `(?:${n}D|${n}M(?:${n}D)?|${n}Y(?:${n}M(?:${n}D)?)?)`;

const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}";

const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const ipv4 = `${octet}(?:\\.${octet}){3}`;

const h = '[0-9A-Fa-f]{1,4}';
const low32 = `(?:${h}:${h}|${ipv4})`;
const ipv6 = [
  `(?:${h}:){6}${low32}`,
  `::(?:${h}:){5}${low32}`,
  `(?:${h})?::(?:${h}:){4}${low32}`,
  `(?:(?:${h}:){0,1}${h})?::(?:${h}:){3}${low32}`,
  `(?:(?:${h}:){0,2}${h})?::(?:${h}:){2}${low32}`,
  `(?:(?:${h}:){0,3}${h})?::${h}:${low32}`,
  `(?:(?:${h}:){0,4}${h})?::${low32}`,
  `(?:(?:${h}:){0,5}${h})?::${h}`,
  `(?:(?:${h}:){0,6}${h})?::`,
].join('|');

const percent = '%[0-9A-Fa-f]{2}';
const name = "A-Za-z0-9._~!$&'()*+,;=";
const pathCharacter = `(?:[${name}:@-]|${percent})`;
const authority = `//(?:(?:[${name}:-]|${percent})*@)?(?:\\[(?:${ipv6})\\]|(?:[${name}-]|${percent})*)(?::[0-9]{0,5})?(?:/${pathCharacter}*)*`;
const absolute = `/(?:${pathCharacter}+(?:/${pathCharacter}*)*)?`;
const suffix = `(?:\\?(?:${pathCharacter}|[/?])*)?(?:#(?:${pathCharacter}|[/?])*)?`;
const uri = `[A-Za-z][A-Za-z0-9+.-]*:(?:${authority}|${absolute}|${pathCharacter}+(?:/${pathCharacter}*)*)${suffix}`;
const relative = `(?:${authority}|${absolute}|(?:[${name}@-]|${percent})+(?:/${pathCharacter}*)*)?${suffix}`;
const pointer = '(?:/(?:[^~/]|~[01])*)*';

export const formats: Readonly<Record<string, Format>> = {
  date: { pattern: date },
  time: { pattern: time },
  'date-time': { pattern: `${date}T${time}` },
  duration: { pattern: `P(?:${n}W|${days}(?:${clock})?|${clock})` },
  email: { pattern: `${atom}(?:\\.${atom})*@(?:${label}\\.)+${label}` },
  hostname: { pattern: `${label}(?:\\.${label})*`, maxLength: 253 },
  ipv4: { pattern: ipv4 },
  ipv6: { pattern: ipv6 },
  uri: { pattern: uri },
  'uri-reference': { pattern: `(?:${uri}|${relative})` },
  uuid: { pattern: '[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}' },
  'json-pointer': { pattern: pointer },
  'relative-json-pointer': { pattern: `(?:0|[1-9][0-9]{0,17})(?:#|${pointer})` },
  byte: { pattern: '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?' },
};

/** Formats that only tell a reader more, so that there is nothing to enforce. */
export const annotations: ReadonlySet<string> = new Set(['password', 'binary', 'float', 'double']);

/** Formats of numbers (OpenAPI): whole numbers between bounds. */
export const integerFormats: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63],
};
