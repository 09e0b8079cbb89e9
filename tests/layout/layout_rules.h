#pragma once
// The rules of the house that the compiler cannot see. Each returns its violations as "path:line:
// what is wrong", none when the tree obeys.

#include <string>
#include <vector>

#include "tests/layout/source_tree.h"

namespace pluto::layout {

using Violations = std::vector<std::string>;

/// A folder declares and includes only folders of strictly lower rank, and includes only what it
/// declares (or what that declares).
Violations undeclared_folders(const SourceTree& tree);
/// No include climbs with "..".
Violations climbing_includes(const SourceTree& tree);
/// A quoted include begins with its folder: "plan/job.h", "tests/support/toy_graph.h".
Violations includes_without_folder(const SourceTree& tree);
/// A third-party header is included only by the folder that owns it, and one without an owner by
/// none.
Violations strayed_third_party(const SourceTree& tree);
/// No header of a library includes a third-party header.
Violations third_party_in_headers(const SourceTree& tree);
/// No exit, output, environment, clock or random source where the folder may not have it.
Violations forbidden_calls(const SourceTree& tree);
/// At most 200 lines in a header, 600 in a source, 900 in a file of the tests.
Violations oversized_files(const SourceTree& tree);
/// Every header has "#pragma once".
Violations unguarded_headers(const SourceTree& tree);
/// Every source is named in a CMakeLists.txt of its folder.
Violations unbuilt_sources(const SourceTree& tree);
/// Every source of a library has a test in tests/<folder>: one whose name begins with the name of
/// the source, or one that includes its header. The header of a source has its name or, if there is
/// none, is the first header of the same folder that the source includes.
Violations untested_sources(const SourceTree& tree);
/// GoogleTest composes identifiers from names; an underscore in one is undefined.
Violations underscored_tests(const SourceTree& tree);
/// A test writes into a TemporaryFolder of its own: tests run side by side, and two that write one
/// path of a common folder read each other's files. The common folder may be named only where the
/// next line calls mkdtemp.
Violations shared_test_paths(const SourceTree& tree);

}  // namespace pluto::layout
