#pragma once
// Which kernel serves an op kind and pass: the table that the backends in host memory fill and
// compile from.

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "runtime/device.h"

namespace pluto {

constexpr std::size_t kOpPassCount = 4;

/// Makes the kernel of one op instance. Sizes come from the operand types and the micro-batch of
/// the request. Errors: kUnsupported when it does not serve these shapes, types or attributes;
/// kInvalidInput when the operands are not those of docs/operators.md.
using KernelFactory = std::function<Result<std::unique_ptr<Kernel>>(const KernelRequest&)>;

/// At most one factory per (kind, pass). Thread-safe once filled, if its factories are.
class KernelTable {
 public:
  /// Precondition: the pair has no factory yet.
  void add(OpKind kind, OpPass pass, KernelFactory factory);
  bool has(OpKind kind, OpPass pass) const;
  /// Errors: kUnsupported naming kind, pass and `backend` when the pair has no factory; else the
  /// factory's, with kind, pass and backend in front.
  Result<std::unique_ptr<Kernel>> compile(const KernelRequest& request,
                                          const std::string& backend) const;

 private:
  std::array<std::array<KernelFactory, kOpPassCount>, kOpKindCount> factories_;
};

}  // namespace pluto
