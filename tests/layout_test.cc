// The house rules of docs and cmake/PlutoLibrary.cmake, held against the source tree itself. What
// each rule means and where its table is: tests/layout/layout_rules.h.

#include <gtest/gtest.h>

#include "tests/layout/layout_rules.h"

namespace pluto::layout {
namespace {

const SourceTree& tree() {
  static const SourceTree kTree = load_source_tree(PLUTO_SOURCE_DIR);
  return kTree;
}

void expect_none(const Violations& violations) {
  for (const std::string& violation : violations) ADD_FAILURE() << violation;
}

TEST(LayoutTest, TreeIsFound) {
  EXPECT_EQ(tree().folders.at("base").rank, 0);
  EXPECT_TRUE(tree().folders.at("plan").reach.contains("base"));
  EXPECT_GT(tree().libraries.size(), 20U);
  EXPECT_GT(tree().others.size(), 10U);
}

TEST(LayoutTest, FoldersIncludeOnlyWhatTheyDeclareBelowThem) {
  expect_none(undeclared_folders(tree()));
}
TEST(LayoutTest, NoIncludeClimbs) { expect_none(climbing_includes(tree())); }
TEST(LayoutTest, QuotedIncludesBeginWithAFolder) { expect_none(includes_without_folder(tree())); }
TEST(LayoutTest, ThirdPartyStaysWithItsOwner) { expect_none(strayed_third_party(tree())); }
TEST(LayoutTest, HeadersAreFreeOfThirdParty) { expect_none(third_party_in_headers(tree())); }
TEST(LayoutTest, LibrariesLeaveTheWorldAlone) { expect_none(forbidden_calls(tree())); }
TEST(LayoutTest, FilesStaySmall) { expect_none(oversized_files(tree())); }
TEST(LayoutTest, HeadersAreIncludedOnce) { expect_none(unguarded_headers(tree())); }
TEST(LayoutTest, EverySourceIsBuilt) { expect_none(unbuilt_sources(tree())); }
TEST(LayoutTest, EverySourceHasATest) { expect_none(untested_sources(tree())); }
TEST(LayoutTest, TestNamesHaveNoUnderscore) { expect_none(underscored_tests(tree())); }
TEST(LayoutTest, TestsWriteOnlyIntoTheirOwnFolders) { expect_none(shared_test_paths(tree())); }

}  // namespace
}  // namespace pluto::layout
