#pragma once
// The closed-form plan of a search: which cell to price first, and what to compare the answer with.

#include <cstddef>
#include <optional>
#include <vector>

#include "planner/closed_form_plan.h"
#include "planner/plan_space.h"

namespace pluto {

/// A cell whose plans may fit.
struct BoundedCell {
  std::size_t cell = 0;
  CellBound bound;
};

struct ClosedFormSeed {
  std::size_t cell = 0;  ///< the one nearest to the choice
  ClosedFormChoice choice;
};

/// For each instance type a closed form with
///   b     the least bound of its cells per sample and device;
///   a(n)  ring all_reduce of the whole gradient over n devices by datasheet, as if nothing hid it,
///         and a millionth of a second;
///   Emin, Bc  of the job's law (exponent 1), or a batch that is fixed;
///   price of the cheaper market.
/// minimize cost or risk with a deadline: fewest_devices(); else the devices of its cells that
/// closed_form_at() makes best by the objective within the limits. The choice is the best of all
/// types, the cell the nearest to it in ln n and ln B of that type. Nullopt: the space knows no
/// places, or no number of devices meets the limits. Ignores: memory, start-up, interruptions,
/// overlap, stages. Test: planner/closed_form_seed_test.cc.
std::optional<ClosedFormSeed> closed_form_seed(const TrainingJob& job, const PlanSpace& space,
                                               const std::vector<BoundedCell>& cells);

}  // namespace pluto
