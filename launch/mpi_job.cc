// Writing an MPIJob.
#include "launch/mpi_job.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "launch/placement.h"

namespace moat::launch {
namespace {

// A text as YAML takes it in one line: JSON's strings are YAML's.
std::string Quoted(const std::string& text) { return nlohmann::json(text).dump(); }

// Names of Kubernetes are letters, digits and dashes.
std::string ObjectName(const std::string& run) {
  std::string name = "moat-";
  for (const char c : run) {
    const auto letter = static_cast<unsigned char>(c);
    name += std::isalnum(letter) ? static_cast<char>(std::tolower(letter)) : '-';
  }
  name = name.substr(0, 50);
  while (name.back() == '-') name.pop_back();
  return name;
}

std::vector<std::string> Arguments(const JobSpec& job, const Placement& place) {
  std::vector<std::string> arguments = {"moat", "launch"};
  constexpr const char* kOurs[] = {"on",    "emit",           "dry_run",  "wait",
                                   "nodes", "ranks_per_node", "hostfile", "container"};
  for (const configs::FlagInfo& flag : configs::FlagsOf("launch")) {
    const bool ours = std::find(std::begin(kOurs), std::end(kOurs), flag.name) != std::end(kOurs);
    if (ours || !job.flags.given(flag.name)) continue;
    for (const std::string& value : job.flags.values(flag.name)) {
      arguments.push_back("--" + flag.name + "=" + value);
    }
  }
  arguments.push_back("--nodes=" + std::to_string(place.nodes));
  arguments.push_back("--ranks_per_node=" + std::to_string(place.ranks_per_node));
  arguments.push_back("--hostfile=/etc/mpi/hostfile");
  return arguments;
}

// The template of the launcher's pod or of a worker's.
std::string Pod(const JobSpec& job, const std::string& name, int replicas,
                const std::string& more) {
  return "    " + name + ":\n      replicas: " + std::to_string(replicas) +
         R"(
      restartPolicy: Never
      template:
        spec:
          containers:
            - name: moat
              image: )" +
         Quoted(job.config.container) +
         "\n              workingDir: " + Quoted(job.directory.string()) + "\n" + more +
         R"(              volumeMounts:
                - name: work
                  mountPath: )" +
         Quoted(job.directory.string()) + R"(
          volumes:
            - name: work
              persistentVolumeClaim:
                claimName: moat-work
)";
}

std::string Command(const JobSpec& job, const Placement& place) {
  std::string text = "              command:\n";
  for (const std::string& word : Arguments(job, place)) {
    text += "                - " + Quoted(word) + "\n";
  }
  return text;
}

std::string Resources(const JobSpec& job, const Placement& place) {
  const int threads = std::max(1, job.config.train.threads);
  std::string text = "              resources:\n                limits:\n                  cpu: " +
                     std::to_string(threads * place.ranks_per_node) + "\n";
  if (const int gpus = job.config.slurm.gpus_per_node; gpus > 0) {
    text += "                  nvidia.com/gpu: " + std::to_string(gpus) + "\n";
  }
  return text;
}

}  // namespace

std::string MpiJob(const JobSpec& job) {
  if (job.config.container.empty()) {
    throw core::ConfigError("--emit=mpijob needs --container=IMAGE, an image that has moat");
  }
  const Placement place = Place(job.config);
  return R"(apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata:
  name: )" +
         ObjectName(job.config.train.run) +
         "\nspec:\n  slotsPerWorker: " + std::to_string(place.ranks_per_node) +
         "\n  runPolicy:\n    cleanPodPolicy: Running\n  mpiReplicaSpecs:\n" +
         Pod(job, "Launcher", 1, Command(job, place)) +
         Pod(job, "Worker", place.nodes, Resources(job, place));
}

}  // namespace moat::launch
