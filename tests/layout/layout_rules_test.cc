#include "tests/layout/layout_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace pluto::layout {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A tree of three folders, base < db and base < costmodel, that obeys every rule; a test adds what
// does not.
class LayoutRulesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write("cmake/PlutoLibrary.cmake",
          "# set(PLUTO_RANK_ghost 9)\nset(PLUTO_RANK_base 0)\nset(PLUTO_RANK_db "
          "1)\nset(PLUTO_RANK_costmodel 1)\n");
    write("base/CMakeLists.txt",
          "pluto_add_library(base\n  HEADERS text.h\n  SOURCES text.cc late.cc)\n");
    write("db/CMakeLists.txt",
          "pluto_add_library(db SOURCES store.cc DEPENDS base PRIVATE_LINK sqlite)\n");
    write("costmodel/CMakeLists.txt", "pluto_add_library(costmodel DEPENDS base)\n");
    write("base/text.h", "#pragma once\n#include <string>\n");
    write("base/text.cc",
          "#include <fmt/format.h>\n#include <sys/stat.h>\n#include \"base/text.h\"\n");
    write("db/store.cc", "#include <sqlite3.h>\n#include \"base/text.h\"\n");
    write("tests/base/text_test.cc", "TEST(TextTest, Splits) {}\n");
    write("tests/db/store_test.cc", "#include \"tests/support/toy.h\"\n");
  }
  void write(const std::string& path, const std::string& content) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << content;
  }
  SourceTree tree() const { return load_source_tree(root_); }
  testing::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST_F(LayoutRulesTest, LawfulTreeHasNoViolation) {
  for (const auto rule :
       {undeclared_folders, climbing_includes, includes_without_folder, strayed_third_party,
        third_party_in_headers, forbidden_calls, oversized_files, unguarded_headers,
        unbuilt_sources, untested_sources, underscored_tests, shared_test_paths}) {
    EXPECT_THAT(rule(tree()), IsEmpty());
  }
}

TEST_F(LayoutRulesTest, CodeIsWhatIsNoCommentAndNoLiteral) {
  EXPECT_EQ(code_of("a // b\nc /* d\n e */ f"), "a     \nc     \n      f");
  EXPECT_EQ(code_of("x(\"a // \\\" b\") + 'c' + 1'000 + 2'0"),
            "x(\"         \") + ' ' + 1'000 + 2'0");
  EXPECT_EQ(code_of("R\"(exit(1))\" y"), "R\"         \" y");
}

TEST_F(LayoutRulesTest, StrangersAndUndeclaredFoldersAreSeen) {
  write("db/peek.h", "#pragma once\n// #include \"costmodel/x.h\"\n#include \"costmodel/y.h\"\n");
  write("base/up.h", "#include \"db/store.h\"\n");
  EXPECT_THAT(undeclared_folders(tree()),
              ElementsAre("base/up.h:1: includes db/store.h, but base reaches only nowhere",
                          "db/peek.h:3: includes costmodel/y.h, but db reaches only base"));
}

TEST_F(LayoutRulesTest, DeclaredDependencyOfEqualRankIsSeen) {
  write("db/CMakeLists.txt",
        "pluto_add_library(db\n  SOURCES store.cc\n  DEPENDS costmodel planets\n)\n");
  EXPECT_THAT(
      undeclared_folders(tree()),
      ElementsAre("db/CMakeLists.txt: DEPENDS costmodel, which is not of lower rank",
                  "db/CMakeLists.txt: DEPENDS planets, which has no rank",
                  "db/store.cc:2: includes base/text.h, but db reaches only costmodel, planets"));
}

TEST_F(LayoutRulesTest, ClimbingIncludeIsSeen) {
  write("tests/db/x_test.cc", "#include \"../support/toy.h\"\n");
  EXPECT_THAT(climbing_includes(tree()),
              ElementsAre("tests/db/x_test.cc:1: climbs with ../support/toy.h"));
}

TEST_F(LayoutRulesTest, IncludeWithoutFolderIsSeen) {
  write("base/x.h",
        "#include \"text.h\"\n#include \"base/text.h\"\n#include \"tests/support/toy.h\"\n");
  EXPECT_THAT(
      includes_without_folder(tree()),
      ElementsAre(
          "base/x.h:1: \"text.h\" does not begin with a folder of the project",
          "base/x.h:3: \"tests/support/toy.h\" does not begin with a folder of the project"));
}

TEST_F(LayoutRulesTest, ThirdPartyOutsideItsOwnerIsSeen) {
  write("base/x.cc", "#include <sqlite3.h>\n#include <fmt/core.h>\n#include <unknown/x.h>\n");
  EXPECT_THAT(
      strayed_third_party(tree()),
      ElementsAre("base/x.cc:1: <sqlite3.h> belongs to db",
                  "base/x.cc:3: <unknown/x.h> has no owner in tests/layout/layout_rules.cc"));
}

TEST_F(LayoutRulesTest, ThirdPartyInAHeaderIsSeenEvenAtItsOwner) {
  write("db/x.h", "#include <sqlite3.h>\n#include <vector>\n#include <fmt/core.h>\n");
  EXPECT_THAT(third_party_in_headers(tree()),
              ElementsAre("db/x.h:1: a header includes <sqlite3.h>",
                          "db/x.h:3: a header includes <fmt/core.h>"));
}

TEST_F(LayoutRulesTest, ForbiddenCallsAreSeenInCodeOnly) {
  write("db/x.cc",
        "// std::exit(1)\nauto s = "
        "\"getenv\";\nstd::exit(1);\natexit(f);\nsnprintf(b);\nstd::printf(\"\");\n"
        "scout = 1;\nstd::cout << 1;\n");
  EXPECT_THAT(forbidden_calls(tree()), ElementsAre("db/x.cc:3: exit( is allowed in: cli",
                                                   "db/x.cc:6: printf( is allowed in: cli",
                                                   "db/x.cc:8: cout is allowed in: cli"));
}

TEST_F(LayoutRulesTest, AllowanceHoldsForItsFileOrFolderOnly) {
  write("base/check.cc", "std::abort();\n");
  write("base/other.cc", "std::abort();\n");
  EXPECT_THAT(forbidden_calls(tree()),
              ElementsAre("base/other.cc:1: std::abort( is allowed in: base/check.cc, cli"));
}

TEST_F(LayoutRulesTest, OversizedFilesAreSeen) {
  const auto lines = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += '\n';
    return text;
  };
  write("base/a.h", lines(200));
  write("base/b.h", lines(201));
  write("base/c.cc", lines(601));
  write("tests/base/d_test.cc", lines(901));
  EXPECT_THAT(
      oversized_files(tree()),
      ElementsAre("base/b.h:201: longer than 200 lines", "base/c.cc:601: longer than 600 lines",
                  "tests/base/d_test.cc:901: longer than 900 lines"));
}

TEST_F(LayoutRulesTest, HeaderWithoutGuardIsSeen) {
  write("base/x.h", "// #pragma once\n");
  EXPECT_THAT(unguarded_headers(tree()), ElementsAre("base/x.h:1: no #pragma once"));
}

TEST_F(LayoutRulesTest, SourceThatNoTargetBuildsIsSeen) {
  write("base/lost.cc", "");
  EXPECT_THAT(unbuilt_sources(tree()),
              ElementsAre("base/lost.cc:1: no CMakeLists.txt of base names it"));
}

TEST_F(LayoutRulesTest, SourceWithoutTestIsSeen) {
  write("base/late.cc", "#include \"base/text.h\"\n");
  EXPECT_THAT(
      untested_sources(tree()),
      ElementsAre(
          "base/late.cc:1: no tests/base/late*.cc, and no test there includes base/text.h"));
  write("tests/db/late_test.cc", "");
  EXPECT_EQ(untested_sources(tree()).size(), 1U) << "the test of another folder does not count";
  write("tests/base/other_test.cc", "#include \"base/text.h\"\n");
  EXPECT_THAT(untested_sources(tree()), IsEmpty());
}

TEST_F(LayoutRulesTest, UnderscoreInATestNameIsSeen) {
  write("tests/base/x_test.cc",
        "TEST_F(Good, Fine) {}\nTEST_P(Good, Not_Fine) {}\nTEST(Not_Good, Fine) {}\n");
  EXPECT_THAT(underscored_tests(tree()),
              ElementsAre("tests/base/x_test.cc:2: an underscore in Good.Not_Fine",
                          "tests/base/x_test.cc:3: an underscore in Not_Good.Fine"));
}

TEST_F(LayoutRulesTest, PathsOfAFolderAllTestsShareAreSeen) {
  write("tests/base/x_test.cc",
        "auto a = ::testing::TempDir() + \"/one.json\";\n"
        "auto b = fs::temp_directory_path() / \"XXXXXX\";\nmkdtemp(b.data());\n");
  EXPECT_THAT(shared_test_paths(tree()),
              ElementsAre("tests/base/x_test.cc:1: a folder all tests share; use TemporaryFolder"));
}

}  // namespace
}  // namespace pluto::layout
