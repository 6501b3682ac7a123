"""Writes the fixture of the unigram tokenizer: a small vocabulary trained by sentencepiece with a map of characters of
its own, the tokenizer.json that XLM-RoBERTa's checkpoints have, and what PyPI's tokenizers makes of some texts and pairs.

    python3 unigram.py > ../fixtures/unigram.json      # needs sentencepiece and tokenizers
"""
import base64
import json
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

TEXT = '''The river flows to the sea, and the sea is wide. Rivers of Europe: the Danube, the Rhine and the Volga.
A model reads a text as tokens, and it cuts a text into the likeliest tokens. The quick brown fox jumps over the lazy dog.
In the beginning there was a word, and the word was a token. Tokens are cheap; words are not.
What is the capital of France? Paris is the capital of France. What is the capital of Japan? Tokyo.
Der Fluss ist lang und das Meer ist weit. La mer est grande et la riviere est longue.
'''
RULES = [('\u00c4', 'A'), ('\u00e4', 'a'), ('\u00e9', 'e'), ('\u00fc', 'u'), ('\ufb01', 'fi'), ('\u2026', '...'), ('\u2121', 'TEL'),
         ('\t', ' '), ('\n', ' '), ('\u3000', ' '), ('\uff21', 'A'), ('e\u0301', 'e')]
MARKS = ['<s>', '<pad>', '</s>', '<unk>']
TEXTS = ['The river flows.', 'the  likeliest   tokens ', ' What is\tthe capital\nof France? ', 'Caf\u00e9 na\u00efve \uff21\ufb01n\u2026',
         'cafe\u0301 \u00fcber \u6771\u4eac \U0001f600\U0001f600 tokens', '', '   ', 'a', 'zzzz qqq', '\u3000\u3000words\u3000', 'I <mask> the </s> sea',
         'Der Fluss ist lang', 'x' * 40, '\u2121 \u00c4rger']
PAIRS = [('What is the capital?', 'Paris is the capital of France.'), ('the sea', ' wide  ')]

with tempfile.TemporaryDirectory() as folder:
    rules, text = Path(folder, 'rules.tsv'), Path(folder, 'text.txt')
    hexes = lambda part: ' '.join(f'{ord(letter):X}' for letter in part)
    rules.write_text(''.join(f'{hexes(a)}\t{hexes(b)}\n' for a, b in RULES))
    text.write_text(TEXT * 3)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(Path(folder, 'small')), vocab_size=100, model_type='unigram', num_threads=1,
        normalization_rule_tsv=str(rules), minloglevel=2)
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(Path(folder, 'small.model').read_bytes())

vocab = [[text, 0.0] for text in MARKS] + [[piece.piece, round(piece.score, 5)] for piece in model.pieces[3:]] + [['<mask>', 0.0]]
special = {text: index for index, text in enumerate(MARKS)} | {'<mask>': len(vocab) - 1}
mark = lambda text: {'SpecialToken': {'id': text, 'type_id': 0}}
part = lambda name: {'Sequence': {'id': name, 'type_id': 0}}
tokenizer = {
    'version': '1.0', 'truncation': None, 'padding': None,
    'added_tokens': [{'id': index, 'content': text, 'single_word': False, 'lstrip': text == '<mask>', 'rstrip': False, 'normalized': False,
                      'special': True} for text, index in special.items()],
    'normalizer': {'type': 'Precompiled', 'precompiled_charsmap': base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()},
    'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [
        {'type': 'WhitespaceSplit'}, {'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always', 'split': True}]},
    'post_processor': {
        'type': 'TemplateProcessing', 'single': [mark('<s>'), part('A'), mark('</s>')],
        'pair': [mark('<s>'), part('A'), mark('</s>'), mark('</s>'), part('B'), mark('</s>')],
        'special_tokens': {text: {'id': text, 'ids': [special[text]], 'tokens': [text]} for text in ('<s>', '</s>')}},
    'decoder': {'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always', 'split': True},
    'model': {'type': 'Unigram', 'unk_id': 3, 'vocab': vocab, 'byte_fallback': False},
}
truth = Tokenizer.from_str(json.dumps(tokenizer))
print(json.dumps({
    'tokenizer': tokenizer,
    'texts': [{'text': text, 'tokens': truth.encode(text).ids} for text in TEXTS],
    'pairs': [{'pair': pair, 'tokens': truth.encode(*pair).ids} for pair in PAIRS],
}, ensure_ascii=True))
