#include "base/strong_id.h"

#include <gtest/gtest.h>

#include <type_traits>
#include <unordered_set>

namespace pluto {
namespace {

using CatId = StrongId<struct CatTag>;
using DogId = StrongId<struct DogTag>;

static_assert(!std::is_convertible_v<CatId, DogId>);
static_assert(!std::is_constructible_v<CatId, DogId>);
static_assert(!std::is_convertible_v<std::size_t, CatId>);

TEST(StrongIdTest, DefaultIsInvalid) {
  EXPECT_FALSE(CatId().valid());
  EXPECT_TRUE(CatId(0).valid());
  EXPECT_EQ(CatId(5).index(), 5U);
}

TEST(StrongIdTest, OrderIsThatOfTheIndex) {
  EXPECT_LT(CatId(1), CatId(2));
  EXPECT_EQ(CatId(3), CatId(3));
  EXPECT_LT(CatId(), CatId(0));
}

TEST(StrongIdTest, IdsAreKeysOfHashTables) {
  const std::unordered_set<CatId> ids = {CatId(1), CatId(2), CatId(1), CatId()};
  EXPECT_EQ(ids.size(), 3U);
  EXPECT_TRUE(ids.contains(CatId()));
}

}  // namespace
}  // namespace pluto
