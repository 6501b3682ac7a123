/** Texts that try a tokenizer: the same for the same seed. */

/** A generator of numbers in [0, 1) (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

const fragments = [
  ...['Hello', ' world', "'s", "'re", "'LL", "'t", "I'VE ", "'Ve", "' s", 'ſ', "'ſ", 'don’t'],
  ...[' ', '  ', '   ', '\t', '\n', '\r\n', '\n\n', ' \n', '\u00a0', '\u3000', '\u2003', '\u0085'],
  ...['\u200b', '\u2028', '\v', '\f', '\u180e', '\ufeff', '\u0000', '\u001b', '\u00ad'],
  ...['1', '12', '123', '1234', '3.14', '٣٤', '½', 'Ⅷ', '𝟘𝟙', '一二', '²'],
  ...['const x = () => {\n  return a[0]?.b;\n};', 'def f(self, *args):', '#include <stdio.h>'],
  ...['<div class="a">', '</td>', '/* x */', '// y\n', 'a_b-c', 'CamelCaseWord', 'HTTPServer', '$'],
  ...['你好，世界。', '「こんにちは」', '안녕하세요', 'ㄱㄴ', 'Привет', 'ΑΒγ', 'עברית', 'العربية'],
  ...['हिन्दी', 'ไทยภาษา', 'កម្ពុជា', 'é', 'e\u0301', 'ß', 'İ', 'ǅ', 'ﬁ', 'Ω', 'K', 'ª'],
  ...['🦙', '😶‍🌫️', '👩‍👩‍👧', '🇩🇪', '✅', '𐐀𐐨', '𠀀', '𝒳', '\u{1f3fb}', '\u{e0001}', '\u{10ffff}'],
  ...['!', '!!', '...', '…', '?', ' ,', '，', '—', '“”', '$€+<=>^~|`', '[]{}()', '\\', '؟', '।'],
  ...['<s>', '</s>', '<unk>', '<|im_start|>', '<|im_end|>', '<|endoftext|>', '<|eot_id|>', '<bos>'],
  ...[
    '<｜begin▁of▁sentence｜>',
    '<0x0A>',
    '<0x41>',
    '▁',
    '▁▁',
    'Ġ',
    '<think>',
    '<|',
    '|>',
    '<',
    '>',
  ],
  ...['\ud800', '\udc00', '\uffff', '\ufffd', '\ue000', '�', 'a\u0300\u0301', '\u0e33', 'ˈ', 'ʻ'],
] as const;

function pick<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)] as T;
}

/** Any scalar value, most of them from the lower planes. */
function anyCharacter(random: () => number): string {
  const limits = [0x80, 0x250, 0x2000, 0xd800, 0x10000, 0x20000, 0x110000];
  const point = Math.floor(random() * pick(limits, random));
  return point >= 0xd800 && point <= 0xdfff ? '\ufffd' : String.fromCodePoint(point);
}

/** A text of up to `size` parts: words, signs, scripts, look-alikes of tokens, any characters. */
export function randomText(random: () => number, size: number, extra: readonly string[]): string {
  let text = '';
  for (let parts = Math.floor(random() * size) + 1; parts > 0; parts--) {
    const kind = random();
    if (kind < 0.7) text += pick(fragments, random);
    else if (kind < 0.8) text += anyCharacter(random);
    else if (kind < 0.9 && extra.length > 0) text += pick(extra, random);
    else text += pick(fragments, random).repeat(1 + Math.floor(random() * 5));
  }
  return text;
}
