// What a token's rows see: positions [low, high). Included inside an anonymous namespace.
struct Span {
  int64_t low, high;
};
inline Span visible(const Unit& u, int token) {
  const int64_t own = u.position + token;
  const int64_t low = u.window > 0 && own - u.window + 1 > 0 ? own - u.window + 1 : 0;
  return {low, u.end > 0 ? u.end : own + 1};
}
