#pragma once
// Integer ids that do not mix: an OpId is not a TensorId.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace pluto {

/// An index into the table of its kind; default-constructed ids are invalid.
template <class Tag>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(std::size_t index) : index_(static_cast<std::int32_t>(index)) {}
  constexpr bool valid() const { return index_ >= 0; }
  /// Precondition: valid().
  constexpr std::size_t index() const { return static_cast<std::size_t>(index_); }
  constexpr auto operator<=>(const StrongId&) const = default;

 private:
  std::int32_t index_ = -1;
};

}  // namespace pluto

template <class Tag>
struct std::hash<pluto::StrongId<Tag>> {
  std::size_t operator()(pluto::StrongId<Tag> id) const {
    return id.valid() ? id.index() : static_cast<std::size_t>(-1);
  }
};
