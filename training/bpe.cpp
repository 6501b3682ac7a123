// Byte-level BPE: pre-tokenisation with the qwen2 split, training by merge counts, encoding. Called through ctypes.
// Knows nothing of files or special tokens; ids 0..255 are bytes, 256+i is merge i.
#include <cstdint>
#include <cstring>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>
#include <algorithm>

namespace {
enum Class : uint8_t { OTHER = 0, LETTER = 1, NUMBER = 2, SPACE = 3, NEWLINE = 4 };
const uint8_t *table = nullptr;  // class of each code point, 0x110000 entries

struct Reader {
  const uint8_t *s; size_t n;
  // class and byte length of the code point at i (the text is valid UTF-8)
  uint8_t at(size_t i, size_t &len) const {
    if (i >= n) { len = 0; return 255; }
    uint32_t c = s[i];
    if (c < 0x80) len = 1;
    else if (c < 0xE0) { len = 2; c = (c & 31) << 6 | (s[i + 1] & 63); }
    else if (c < 0xF0) { len = 3; c = (c & 15) << 12 | (s[i + 1] & 63) << 6 | (s[i + 2] & 63); }
    else { len = 4; c = (c & 7) << 18 | (s[i + 1] & 63) << 12 | (s[i + 2] & 63) << 6 | (s[i + 3] & 63); }
    return table[c];
  }
};
bool spaceLike(uint8_t k) { return k == SPACE || k == NEWLINE; }

// byte length of the pre-token that starts at i
size_t piece(const Reader &r, size_t i) {
  size_t l0, l1; uint8_t k0 = r.at(i, l0);
  if (r.s[i] == '\'' && i + 1 < r.n) {
    auto low = [&](size_t p) { return p < r.n ? (char)(r.s[p] | 32) : '\0'; };
    char a = low(i + 1), b = low(i + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  }
  auto letters = [&](size_t p) { size_t l; while (r.at(p, l) == LETTER) p += l; return p; };
  if (k0 == LETTER) return letters(i + l0) - i;
  if (k0 != NUMBER && k0 != NEWLINE && r.at(i + l0, l1) == LETTER) return letters(i + l0) - i;
  if (k0 == NUMBER) return l0;
  size_t p = i, l;
  if (r.s[i] == ' ') p = i + 1;
  if (r.at(p, l) == OTHER) {
    while (r.at(p, l) == OTHER) p += l;
    while (p < r.n && (r.s[p] == '\n' || r.s[p] == '\r')) p++;
    return p - i;
  }
  size_t end = i, lastNewline = 0, lastStart = i;
  for (;;) {
    uint8_t k = r.at(end, l);
    if (k == 255 || !spaceLike(k)) break;
    lastStart = end; end += l;
    if (k == NEWLINE) lastNewline = end;
  }
  if (lastNewline) return lastNewline - i;
  if (end < r.n && lastStart > i) return lastStart - i;
  return end - i;
}

uint64_t key(uint32_t a, uint32_t b) { return (uint64_t)a << 32 | b; }
}  // namespace

extern "C" {
void bpe_classes(const uint8_t *classes) { table = classes; }

// Learns nmerges merges from documents separated by NUL; pairs gets 2*nmerges ids. Ties go to the smaller ids.
int bpe_train(const uint8_t *text, size_t n, int nmerges, uint32_t *pairs) {
  std::unordered_map<std::string_view, int64_t> counts;
  counts.reserve(1 << 20);
  for (size_t d = 0; d < n;) {
    const void *z = memchr(text + d, 0, n - d);
    size_t e = z ? (const uint8_t *)z - text : n;
    Reader r{text + d, e - d};
    for (size_t i = 0; i < r.n;) {
      size_t len = piece(r, i);
      if (len <= 48) counts[std::string_view((const char *)r.s + i, len)]++;
      i += len;
    }
    d = e + 1;
  }
  std::vector<std::pair<std::string_view, int64_t>> words(counts.begin(), counts.end());
  std::sort(words.begin(), words.end());
  std::vector<std::vector<uint32_t>> syms;
  std::vector<int64_t> freq;
  for (auto &w : words) {
    if (w.second < 2) continue;
    std::vector<uint32_t> v;
    for (unsigned char c : w.first) v.push_back(c);
    syms.push_back(std::move(v)); freq.push_back(w.second);
  }
  std::unordered_map<uint64_t, int64_t> pairCount;
  std::unordered_map<uint64_t, std::vector<uint32_t>> where;
  for (size_t w = 0; w < syms.size(); w++)
    for (size_t j = 0; j + 1 < syms[w].size(); j++) {
      uint64_t k = key(syms[w][j], syms[w][j + 1]);
      pairCount[k] += freq[w]; where[k].push_back((uint32_t)w);
    }
  struct Item { int64_t c; uint64_t k; };
  auto less = [](const Item &a, const Item &b) { return a.c != b.c ? a.c < b.c : a.k > b.k; };
  std::priority_queue<Item, std::vector<Item>, decltype(less)> heap(less);
  for (auto &p : pairCount) heap.push({p.second, p.first});
  std::vector<std::string> names(256 + nmerges);
  for (int b = 0; b < 256; b++) names[b] = std::string(1, (char)b);
  std::unordered_set<std::string> known;
  int done = 0;
  while (done < nmerges && !heap.empty()) {
    Item top = heap.top(); heap.pop();
    auto it = pairCount.find(top.k);
    if (it == pairCount.end() || it->second <= 0) continue;
    if (it->second != top.c) { heap.push({it->second, top.k}); continue; }
    uint32_t a = top.k >> 32, b = (uint32_t)top.k, id = 256 + done;
    if (!known.insert(names[a] + names[b]).second) { pairCount.erase(top.k); continue; }  // one id per string
    names[id] = names[a] + names[b];
    pairs[2 * done] = a; pairs[2 * done + 1] = b; done++;
    std::vector<uint32_t> list = std::move(where[top.k]);
    where.erase(top.k); pairCount.erase(top.k);
    std::unordered_set<uint64_t> touched;
    for (uint32_t w : list) {
      auto &v = syms[w];
      bool has = false;
      for (size_t j = 0; j + 1 < v.size(); j++) if (v[j] == a && v[j + 1] == b) { has = true; break; }
      if (!has) continue;
      for (size_t j = 0; j + 1 < v.size(); j++) { uint64_t k = key(v[j], v[j + 1]); if (k != top.k) pairCount[k] -= freq[w]; }
      std::vector<uint32_t> u;
      for (size_t j = 0; j < v.size();) {
        if (j + 1 < v.size() && v[j] == a && v[j + 1] == b) { u.push_back(id); j += 2; } else u.push_back(v[j++]);
      }
      v.swap(u);
      for (size_t j = 0; j + 1 < v.size(); j++) {
        uint64_t k = key(v[j], v[j + 1]);
        pairCount[k] += freq[w];
        if (v[j] == id || v[j + 1] == id) { touched.insert(k); where[k].push_back(w); }
      }
    }
    for (uint64_t k : touched) heap.push({pairCount[k], k});
  }
  return done;
}

// Encodes documents separated by NUL to uint16 ids, each document followed by eot. Returns the number of ids.
size_t bpe_encode(const uint8_t *text, size_t n, const uint32_t *pairs, int nmerges, int eot, uint16_t *out) {
  std::unordered_map<uint64_t, uint32_t> rank;
  for (int i = 0; i < nmerges; i++) rank.emplace(key(pairs[2 * i], pairs[2 * i + 1]), i);
  std::unordered_map<std::string_view, std::vector<uint16_t>> cache;
  size_t o = 0;
  for (size_t d = 0; d < n;) {
    const void *z = memchr(text + d, 0, n - d);
    size_t e = z ? (const uint8_t *)z - text : n;
    Reader r{text + d, e - d};
    for (size_t i = 0; i < r.n;) {
      size_t len = piece(r, i);
      std::string_view w((const char *)r.s + i, len);
      auto it = cache.find(w);
      if (it == cache.end()) {
        std::vector<uint32_t> v;
        for (unsigned char c : w) v.push_back(c);
        for (;;) {
          uint32_t best = UINT32_MAX; size_t at = 0;
          for (size_t j = 0; j + 1 < v.size(); j++) {
            auto f = rank.find(key(v[j], v[j + 1]));
            if (f != rank.end() && f->second < best) { best = f->second; at = j; }
          }
          if (best == UINT32_MAX) break;
          v[at] = 256 + best; v.erase(v.begin() + at + 1);
        }
        it = cache.emplace(w, std::vector<uint16_t>(v.begin(), v.end())).first;
      }
      for (uint16_t t : it->second) out[o++] = t;
      i += len;
    }
    if (eot >= 0) out[o++] = (uint16_t)eot;
    d = e + 1;
  }
  return o;
}
}
