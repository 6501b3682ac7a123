// The table of struct sizes and offsets, made from the same field lists as the structs.
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "../../include/paceline.h"

#ifndef PL_ATTENTION_STRUCTS
#define PL_ATTENTION_STRUCTS(X)
#endif
#ifndef PL_RECURRENT_STRUCTS
#define PL_RECURRENT_STRUCTS(X)
#endif
#ifndef PL_COMPRESSED_STRUCTS
#define PL_COMPRESSED_STRUCTS(X)
#endif

namespace {

struct Text {
  char data[32768];
  size_t size = 0;
  void add(const char* s) {
    const size_t n = std::strlen(s);
    if (size + n + 1 > sizeof data) return;
    std::memcpy(data + size, s, n + 1);
    size += n;
  }
  void field(const char* name, char kind, size_t offset, bool first) {
    char line[128];
    std::snprintf(line, sizeof line, "%s\"%s\":[\"%c\",%zu]", first ? "" : ",", name, kind, offset);
    add(line);
  }
};

Text make() {
  Text t;
  t.add("{\"abi\":1,\"structs\":{");
  bool first_struct = true;
  char line[128];
#define ROW(letter, name) t.field(#name, letter, offset, first), first = false, offset += 8;
#define ROW_P(name) ROW('P', name)
#define ROW_I(name) ROW('I', name)
#define ROW_F(name) ROW('F', name)
#define ROW_S(name) ROW('S', name)
#define EMIT(name, FIELDS)                                                                     \
  {                                                                                            \
    std::snprintf(line, sizeof line, "%s\"" #name "\":{\"size\":%zu,\"fields\":{",             \
                  first_struct ? "" : ",", sizeof(name));                                      \
    t.add(line);                                                                               \
    first_struct = false;                                                                      \
    bool first = true;                                                                         \
    size_t offset = 0;                                                                         \
    FIELDS(ROW_P, ROW_I, ROW_F, ROW_S)                                                         \
    t.add("}}");                                                                               \
    static_assert(sizeof(name) % 8 == 0, "slots are 8 bytes");                                 \
  }
  PL_LINEAR_STRUCTS(EMIT)
  PL_EXPERTS_STRUCTS(EMIT)
  PL_ATTENTION_STRUCTS(EMIT)
  PL_RECURRENT_STRUCTS(EMIT)
  PL_COMPRESSED_STRUCTS(EMIT)
  PL_POOL_STRUCTS(EMIT)
  t.add("}}");
  return t;
}

}  // namespace

PL_API const char* pl_layout(void) {
  static const Text text = make();
  return text.data;
}
