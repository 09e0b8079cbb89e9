#include "plan/export_trainers.h"

namespace pluto {

Result<Files> write_torchrun(const Exported& e) {
  const bool fsdp = e.target.trainer == ExportTarget::kFsdp;
  ShellScript script = node_script(
      e, fsdp ? "torchrun of PyTorch 2.6 on (fully_shard)" : "torchrun of PyTorch 1.13 on");
  add_rendezvous(script, launch_size(e.plan()));
  auto words = torchrun_words(e);
  words.push_back(ShellWord::expression("\"${TRAIN:-train.py}\" \"$@\""));
  script.command(words);
  Files files = {{"launch.sh", script.text(), true}};
  for (ExportedFile& file : python_module(e)) files.push_back(std::move(file));
  return files;
}

}  // namespace pluto
