#pragma once
// How wide a picture of characters may be.

namespace pluto {

/// Columns of the window that stdout shows in; kPipedWidth when it is none.
int window_width();
inline constexpr int kPipedWidth = 80;

}  // namespace pluto
