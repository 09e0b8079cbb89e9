#pragma once
// The verbs that read saved plans, declared as those of cli/commands.h.

#include "cli/commands.h"

namespace pluto {

void add_explain(CLI::App& app, Session& session);
void add_diff(CLI::App& app, Session& session);
void add_export(CLI::App& app, Session& session);

}  // namespace pluto
