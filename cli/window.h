#pragma once
// How wide a picture of characters may be.

namespace pluto {

/// Columns of the window that stdout shows in; kPipedWidth when it is none.
int window_width();
/// Likewise of tables, which may be as wide as they are where there is no window: 0.
int table_width();
inline constexpr int kPipedWidth = 80;

}  // namespace pluto
