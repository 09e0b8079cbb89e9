#include "runtime/kernel_table.h"

#include <utility>

#include "base/check.h"

namespace pluto {
namespace {

std::size_t index_of(OpKind kind) { return static_cast<std::size_t>(kind); }
std::size_t index_of(OpPass pass) { return static_cast<std::size_t>(pass); }

/// Backward nodes have no shape rule to hold them against.
Result<void> check_types(const OpSignature& signature) {
  if (signature.pass != OpPass::kForward) return {};
  if (default_attrs(signature.kind).index() != signature.attrs.index()) {
    return invalid_input("the attributes are those of another op kind");
  }
  PLUTO_ASSIGN(const std::vector<TensorType> outputs,
               schema_of(signature.kind).infer(signature.attrs, signature.inputs));
  if (outputs == signature.outputs) return {};
  return invalid_input("the output types are not those that its inputs give");
}

}  // namespace

void KernelTable::add(OpKind kind, OpPass pass, KernelFactory factory) {
  PLUTO_CHECK(!has(kind, pass), "two factories for one kind and pass");
  factories_[index_of(kind)][index_of(pass)] = std::move(factory);
}

bool KernelTable::has(OpKind kind, OpPass pass) const {
  return static_cast<bool>(factories_[index_of(kind)][index_of(pass)]);
}

Result<std::unique_ptr<Kernel>> KernelTable::compile(const KernelRequest& request,
                                                     const std::string& backend) const {
  const OpKind kind = request.signature.kind;
  const OpPass pass = request.signature.pass;
  const std::string what = std::string(to_text(kind)) + " " + to_text(pass);
  if (!has(kind, pass)) return unsupported("the " + backend + " backend has no kernel for " + what);
  const std::string where = backend + " kernel of " + what;
  PLUTO_TRY_AT(where, check_types(request.signature));
  PLUTO_ASSIGN_AT(where, auto kernel, factories_[index_of(kind)][index_of(pass)](request));
  return kernel;
}

}  // namespace pluto
