#include "base/fingerprint.h"

#include <gtest/gtest.h>

#include <set>

namespace pluto {
namespace {

// The finalizer of MurmurHash3, to compare with published values of plain FNV-1a.
std::uint64_t finalized(std::uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return hash ^ (hash >> 33);
}

TEST(FingerprintTest, BytesFollowThePublishedFnv1aValues) {
  EXPECT_EQ(Fingerprint().value(), finalized(0xcbf29ce484222325ULL));
  EXPECT_EQ(Fingerprint().add_bytes("a", 1).value(), finalized(0xaf63dc4c8601ec8cULL));
  EXPECT_EQ(Fingerprint().add_bytes("foobar", 6).value(), finalized(0x85944171f73967e8ULL));
}

TEST(FingerprintTest, NumbersAreEightBytesLeastSignificantFirst) {
  const unsigned char bytes[] = {8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(Fingerprint().add(std::uint64_t{0x0102030405060708}).value(),
            Fingerprint().add_bytes(bytes, 8).value());
}

TEST(FingerprintTest, NeverChangesBetweenVersions) {
  EXPECT_EQ(Fingerprint().add("pluto").add(std::uint64_t{42}).add(0.5).hex(), "d85ee549afb2e6ad");
}

TEST(FingerprintTest, SplitOfTextCounts) {
  EXPECT_NE(Fingerprint().add("ab").add("c").value(), Fingerprint().add("a").add("bc").value());
  EXPECT_NE(Fingerprint().add("").value(), Fingerprint().value());
  EXPECT_NE(Fingerprint().add("a").add("b").value(), Fingerprint().add("b").add("a").value());
}

TEST(FingerprintTest, FractionsCount) {
  EXPECT_NE(Fingerprint().add(0.25).value(), Fingerprint().add(0.75).value());
  EXPECT_EQ(Fingerprint().add(0.25F).value(), Fingerprint().add(0.25).value());
  EXPECT_EQ(Fingerprint().add(0.0).value(), Fingerprint().add(-0.0).value());
}

TEST(FingerprintTest, ManyInputsGiveManyValues) {
  std::set<std::uint64_t> values;
  for (std::uint64_t i = 0; i < 10'000; ++i) values.insert(Fingerprint().add(i).value());
  EXPECT_EQ(values.size(), 10'000U);
}

TEST(FingerprintTest, HexIsSixteenLowerCaseDigits) {
  EXPECT_EQ(to_hex(0), "0000000000000000");
  EXPECT_EQ(to_hex(0xABCDEF), "0000000000abcdef");
  EXPECT_EQ(Fingerprint().add("x").hex(), to_hex(Fingerprint().add("x").value()));
}

}  // namespace
}  // namespace pluto
