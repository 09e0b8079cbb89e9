#include "db/journal.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace pluto {
namespace {

TEST(JournalTest, OnlyKnownLocalFileSystemsMayShareMemory) {
  for (const std::int64_t local :
       {0xEF53LL, 0x58465342LL, 0x9123683ELL, 0x01021994LL, 0x794C7630LL}) {
    EXPECT_TRUE(allows_write_ahead_log(local))
        << std::hex << local;  // ext4 xfs btrfs tmpfs overlay
  }
  for (const std::int64_t other : {0x6969LL, 0xFF534D42LL, 0xFE534D42LL, 0x01021997LL, 0x65735546LL,
                                   0x0BD00BD0LL, 0x786F4256LL, 0LL}) {
    EXPECT_FALSE(allows_write_ahead_log(other))
        << std::hex << other;  // nfs cifs smb2 9p fuse lustre vboxsf
  }
}

TEST(JournalTest, FileSystemOfAPathIsThatOfItsFolder) {
  EXPECT_EQ(*file_system_type("/proc/none.db"), 0x9FA0);
  EXPECT_TRUE(file_system_type("name-without-folder.db").ok());
  const auto nowhere = file_system_type("/none/none.db");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_EQ(nowhere.error().code, ErrorCode::kIo);
  EXPECT_EQ(nowhere.error().message, "/none: No such file or directory");
}

TEST(JournalTest, SynchronousLevelFollowsTheMode) {
  const testing::TemporaryFolder folder;
  Connection connection = Connection::open(folder.file("x.db")).value();
  constexpr int kNormal = 1;
  constexpr int kFull = 2;
  EXPECT_EQ(*set_journal(connection, true), "wal");
  EXPECT_EQ(*connection.integer("PRAGMA synchronous"), kNormal);
  // A database that was moved to a network file system comes back from its log.
  EXPECT_EQ(*set_journal(connection, false), "delete");
  EXPECT_EQ(*connection.integer("PRAGMA synchronous"), kFull);
  EXPECT_FALSE(std::filesystem::exists(folder.file("x.db-wal")));
}

}  // namespace
}  // namespace pluto
