#include "cli/parse.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "base/text.h"

namespace pluto {

namespace {

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

Error unknown_argument(const CLI::App& app, const std::string& argument) {
  const CLI::App* verb = app.get_subcommands().empty() ? nullptr : app.get_subcommands().front();
  if (argument.rfind('-', 0) == 0) {
    std::vector<std::string> names = option_names(app);
    if (verb) {
      for (const std::string& name : option_names(*verb)) names.push_back(name);
    }
    const auto near = nearest_word(argument.substr(0, argument.find('=')), names);
    return invalid_input(fmt::format("unknown option {}", argument),
                         near ? fmt::format("did you mean {}?", *near)
                              : fmt::format("pluto-plan {}--help lists the options",
                                            verb ? verb->get_name() + " " : ""));
  }
  if (verb) {
    return invalid_input(
        fmt::format("{} does not take the argument '{}'", verb->get_name(), argument),
        fmt::format("pluto-plan {} --help", verb->get_name()));
  }
  std::vector<std::string> verbs;
  for (const CLI::App* subcommand : app.get_subcommands({})) {
    if (!subcommand->get_group().empty()) verbs.push_back(subcommand->get_name());
  }
  const auto near = nearest_word(argument, verbs);
  return invalid_input(
      fmt::format("unknown command '{}'", argument),
      near ? fmt::format("did you mean {}?", *near) : "pluto-plan --help lists the commands");
}

}  // namespace

Result<ParseOutcome> parse_command_line(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return ParseOutcome::kRun;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return ParseOutcome::kPrinted;
  } catch (const CLI::CallForVersion&) {
    std::puts(app.version().c_str());
    return ParseOutcome::kPrinted;
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> extras = app.remaining(true);
    // An unknown option leaves its value behind too; the option is the mistake.
    const auto option = std::find_if(extras.begin(), extras.end(), [](const std::string& word) {
      return word.rfind('-', 0) == 0;
    });
    if (option != extras.end()) return unknown_argument(app, *option);
    return unknown_argument(app, extras.empty() ? "" : extras.back());
  } catch (const CLI::RequiredError& error) {
    // Without a verb, leftovers are what was meant as one.
    const std::vector<std::string> extras = app.remaining(true);
    if (app.get_subcommands().empty() && !extras.empty())
      return unknown_argument(app, extras.front());
    return invalid_input(
        error.what(),
        app.get_subcommands().empty()
            ? "pluto-plan --help lists the commands"
            : fmt::format("pluto-plan {} --help", app.get_subcommands().front()->get_name()));
  } catch (const CLI::ParseError& error) {
    return invalid_input(error.what(), "pluto-plan --help");
  }
}

std::string top_level_examples() {
  return "Examples:\n"
         "  pluto-plan doctor                                   what this machine can do, and what "
         "to fix\n"
         "  pluto-plan inspect resnet50                         parameters, FLOPs, largest layers\n"
         "  pluto-plan profile job.yaml                         measure what the database lacks\n"
         "  pluto-plan search job.yaml -o plan.json             what to rent and how to run it\n"
         "  pluto-plan run plan.json -o run.json                train with the bundled executor\n"
         "  pluto-plan report run.json                          predicted against measured, term "
         "by term\n";
}

}  // namespace pluto
