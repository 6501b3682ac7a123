// What the paths that this library was built with give to the operations.
#pragma once
#include "../attention/attention.h"
#include "../compressed/compressed.h"
#include "../linear/path.h"
#include "../recurrent/delta_net.h"
#include "cpu.h"

namespace pl {

// Null where a path was not built.
const LinearPath* built_linear(Path path);
const attention::Ops* built_attention(Path path);
const recurrent::Ops* built_recurrent(Path path);
const compressed::Ops* built_compressed(Path path);
inline bool built(Path path) { return built_linear(path) != nullptr; }

}  // namespace pl
