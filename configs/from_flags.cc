// From parsed flags to validated structs.
#include <charconv>
#include <functional>

#include "configs/bounds.h"
#include "configs/command_line.h"
#include "core/clock.h"
#include "core/comma_list.h"
#include "core/error.h"

namespace moat::configs {
namespace {

// The words of a list flag, whose values may be lists with commas.
std::vector<std::string> WordsOf(const std::vector<std::string>& texts) {
  std::vector<std::string> words;
  for (const std::string& text : texts) {
    for (std::string& word : core::SplitAtCommas(text)) words.push_back(std::move(word));
  }
  return words;
}

// One of an enumeration's values, by the names the flag knows.
template <typename Enum>
Enum Choice(const CommandLine& line, const std::string& flag, const std::vector<Enum>& values) {
  const std::string text = line.value(flag);
  std::string names;
  for (size_t i = 0; i < values.size(); ++i) {
    if (text == Name(values[i])) return values[i];
    names += (i == 0 ? "" : i + 1 == values.size() ? " or " : ", ") + std::string(Name(values[i]));
  }
  throw core::ConfigError("--" + flag + "=" + text + ": expected " + names);
}

core::DType DTypeOfFlag(const CommandLine& line) {
  if (line.value("dtype") == Name(MatmulDType::kFp8)) {
    throw core::ConfigError("--dtype=fp8: products alone; write --dtype=bf16 --matmul_dtype=fp8");
  }
  return Choice(line, "dtype", std::vector{core::DType::kF32, core::DType::kBF16});
}

// Refuses what would make a data set disagree with itself.
void FillAppend(const CommandLine& line, ImportConfig* config) {
  for (const char* flag :
       {"tokenizer", "vocab_size", "split", "validation_fraction", "test_fraction", "seed"}) {
    if (!line.given(flag)) continue;
    throw core::ConfigError("--" + std::string(flag) + "=" + line.value(flag) +
                            " does not go with --append: new interactions get the tokenizer, the "
                            "split rule and the seed of the data set --out=" +
                            line.value("out") + "; leave the flag out");
  }
  if (!line.given("dedup")) config->dedup = "";
  if (!line.given("near_threshold")) config->near_threshold = 0;
}

// Adds to a message where the flags it names were set, if in a flagfile.
std::string WithOrigins(const std::string& message, const CommandLine& line) {
  if (message.find(" is set at ") != std::string::npos) return message;  // it says so already
  std::string places;
  for (const std::string& name : FlagNamesOf(FindCommand(line.command()).bit)) {
    const size_t at = message.find("--" + name);
    if (at == std::string::npos || !line.given(name)) continue;
    const char next = at + name.size() + 2 < message.size() ? message[at + name.size() + 2] : ' ';
    const bool longer_name = std::isalnum(static_cast<unsigned char>(next)) || next == '_';
    if (longer_name || line.origin(name) == "command line") continue;
    places += (places.empty() ? "" : ", ") + ("--" + name + " is set at " + line.origin(name));
  }
  return places.empty() ? message : message + " (" + places + ")";
}

template <typename Config>
Config Filled(const CommandLine& line, const std::function<Config()>& fill) {
  try {
    Config config = fill();
    Validate(config);
    return config;
  } catch (const core::ConfigError& error) {
    throw core::ConfigError(WithOrigins(error.what(), line));
  }
}

ModelConfig ModelOf(const CommandLine& line) {
  ModelConfig model;
  model.vocab_size = line.Int("vocab_size");
  model.layers = line.Int("layers");
  model.width = line.Int("width");
  model.heads = line.Int("heads");
  model.kv_heads = line.Int("kv_heads");
  model.ffn = line.Int("ffn");
  model.seq_len = line.Int("seq_len");
  model.norm = Choice(line, "norm", std::vector{Norm::kRms, Norm::kLayer});
  model.position = Choice(line, "position", std::vector{Position::kRotary, Position::kLearned});
  model.mlp = Choice(line, "mlp", std::vector{Mlp::kSwiglu, Mlp::kGelu});
  model.tie_embeddings = line.Bool("tie_embeddings");
  model.bias = line.Bool("bias");
  model.rotary_base = line.Double("rotary_base");
  model.norm_epsilon = line.Double("norm_epsilon");
  model.dropout = line.Double("dropout");
  return model;
}

void FillGrid(const CommandLine& line, TrainConfig& train) {
  train.dp = static_cast<int>(line.Int("dp"));
  train.tp = static_cast<int>(line.Int("tp"));
  train.sequence_parallel = line.Bool("sequence_parallel");
  train.zero = static_cast<int>(line.Int("zero"));
  train.threads = static_cast<int>(line.Int("threads"));
  train.reduction = Choice(line, "reduction", std::vector{Reduction::kCanonical, Reduction::kFast});
  train.canonical_ways = static_cast<int>(line.Int("canonical_ways"));
  train.recompute = Choice(line, "recompute",
                           std::vector{Recompute::kNone, Recompute::kInner, Recompute::kBlock});
  train.overlap =
      Choice(line, "overlap", std::vector{OverlapMode::kAuto, OverlapMode::kOff, OverlapMode::kOn});
  train.dtype = DTypeOfFlag(line);
  train.matmul_dtype =
      Choice(line, "matmul_dtype", std::vector{MatmulDType::kSame, MatmulDType::kFp8});
  train.peak_tflops = line.Double("peak_tflops");
  train.profile_steps = line.value("profile_steps");
  train.tune_products = line.Bool("tune_products");
  train.dtype_fallback = line.Bool("dtype_fallback");
  train.device = line.value("device");
  train.collective_timeout = line.Double("collective_timeout");
}

void FillOptimizer(const CommandLine& line, TrainConfig& train) {
  train.lr = line.Double("lr");
  train.min_lr = line.Double("min_lr");
  train.warmup = line.Int("warmup");
  train.weight_decay = line.Double("weight_decay");
  train.beta1 = line.Double("beta1");
  train.beta2 = line.Double("beta2");
  train.adam_epsilon = line.Double("adam_epsilon");
  train.clip = line.Double("clip");
}

uint64_t Seed(const CommandLine& line) {
  return std::strtoull(line.value("seed").c_str(), nullptr, 10);
}

template <typename Value>
Value ParsedItem(const std::string& flag, const std::string& text, const std::string& expected) {
  Value value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) Expected(flag, text, expected);
  return value;
}

void FillData(const CommandLine& line, TrainConfig& train) {
  train.data = line.values("data");
  if (train.data == std::vector<std::string>{""}) train.data.clear();
  for (const std::string& text : WordsOf(line.values("data_weights"))) {
    train.data_weights.push_back(ParsedItem<double>("data_weights", text, "a number above 0"));
  }
  const std::vector<std::string> versions = WordsOf(line.values("data_version"));
  if (versions == std::vector<std::string>{"0"}) return;  // of all data sets
  for (const std::string& text : versions) {
    train.data_version.push_back(
        ParsedItem<int>("data_version", text, "a whole number of at least 0"));
  }
}

std::optional<int64_t> EndTimeOf(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::optional<int64_t> seconds = core::ParseTime(text);
  if (!seconds) {
    throw core::ConfigError("--end_time=" + text +
                            " is not a time; write 2026-03-01T12:00:00Z (UTC), or Unix seconds");
  }
  return seconds;
}

TrainConfig TrainOf(const CommandLine& line) {
  TrainConfig train;
  train.model = ModelOf(line);
  FillData(line, train);
  train.init_from = line.value("init_from");
  train.run_root = line.value("run_root");
  train.run = line.value("run");
  train.resume = line.value("resume");
  train.seed = Seed(line);
  train.steps = line.Int("steps");
  train.global_batch = line.Int("global_batch");
  train.micro_batch = line.Int("micro_batch");
  train.pack = line.value("pack");
  train.loss_roles = WordsOf(line.values("loss_roles"));
  train.check_replicas_every = line.Int("check_replicas_every");
  train.eval_every = line.Int("eval_every");
  train.eval_batches = line.Int("eval_batches");
  train.checkpoint_every = line.Int("checkpoint_every");
  train.keep_checkpoints = static_cast<int>(line.Int("keep_checkpoints"));
  train.local_checkpoint_dir = line.value("local_checkpoint_dir");
  train.local_checkpoint_every = line.Int("local_checkpoint_every");
  train.checkpoint_files =
      Choice(line, "checkpoint_files",
             std::vector{CheckpointFiles::kAuto, CheckpointFiles::kRank, CheckpointFiles::kNode});
  train.async_checkpoints = line.Bool("async_checkpoints");
  train.end_time = EndTimeOf(line.value("end_time"));
  train.strict_checkpoints = line.Bool("strict_checkpoints");
  train.keep_every = line.Int("keep_every");
  FillGrid(line, train);
  FillOptimizer(line, train);
  return train;
}

// Of a list flag whose values are taken as they are.
std::vector<std::string> Texts(const CommandLine& line, const std::string& flag) {
  std::vector<std::string> texts = line.values(flag);
  std::erase(texts, "");
  return texts;
}

void FillPlaces(const CommandLine& line, LaunchConfig& launch) {
  launch.nodes = static_cast<int>(line.Int("nodes"));
  launch.min_nodes = static_cast<int>(line.Int("min_nodes"));
  launch.ranks_per_node = static_cast<int>(line.Int("ranks_per_node"));
  launch.starter =
      Choice(line, "starter", std::vector{Starter::kAuto, Starter::kMpirun, Starter::kSrun});
  launch.bind = Choice(
      line, "bind", std::vector{Binding::kNone, Binding::kCore, Binding::kNuma, Binding::kSocket});
  launch.hostfile = line.value("hostfile");
  launch.env = ParseEnv(Texts(line, "env"));
  launch.container = line.value("container");
  launch.container_options = Texts(line, "container_options");
}

SlurmConfig SlurmOf(const CommandLine& line) {
  SlurmConfig slurm;
  slurm.partition = line.value("partition");
  slurm.account = line.value("account");
  slurm.time = line.value("time");
  slurm.gpus_per_node = static_cast<int>(line.Int("gpus_per_node"));
  slurm.gpu_request = line.value("gpu_request");
  slurm.sbatch = Texts(line, "sbatch");
  slurm.modules = WordsOf(Texts(line, "modules"));
  return slurm;
}

void RequireRunAndData(const TrainConfig& train) {
  if (train.run.empty()) throw core::ConfigError("--run=NAME is missing: give the run a name");
  if (train.data.empty()) {
    throw core::ConfigError(
        "--data=DIR is missing: name a data set directory; moat data import makes one");
  }
}

}  // namespace

TrainConfig TrainConfigFromFlags(const CommandLine& line, Completeness completeness) {
  return Filled<TrainConfig>(line, [&] {
    TrainConfig train = TrainOf(line);
    if (completeness == Completeness::kComplete) RequireRunAndData(train);
    return train;
  });
}

LaunchConfig LaunchConfigFromFlags(const CommandLine& line) {
  return Filled<LaunchConfig>(line, [&] {
    LaunchConfig launch;
    launch.train = TrainConfigFromFlags(line);
    launch.on =
        Choice(line, "on", std::vector{LaunchOn::kLocal, LaunchOn::kSlurm, LaunchOn::kAllocation});
    launch.dry_run = line.Bool("dry_run");
    launch.json = line.Bool("json");
    launch.restarts = static_cast<int>(line.Int("restarts"));
    launch.grace = line.Double("grace");
    launch.hang_timeout = line.Double("hang_timeout");
    launch.legs = static_cast<int>(line.Int("legs"));
    launch.preflight = line.Bool("preflight");
    launch.on_event = line.value("on_event");
    launch.emit = line.value("emit");
    launch.wait = line.Bool("wait");
    launch.parsable = line.Bool("parsable");
    FillPlaces(line, launch);
    launch.slurm = SlurmOf(line);
    return launch;
  });
}

SynthConfig SynthConfigFromFlags(const CommandLine& line) {
  return Filled<SynthConfig>(line, [&] {
    SynthConfig synth;
    if (!line.value("out").empty()) synth.out = line.value("out");
    synth.interactions = line.Int("interactions");
    synth.seed = Seed(line);
    synth.users = line.Int("users");
    synth.duplicates = line.Double("duplicates");
    synth.near_duplicates = line.Double("near_duplicates");
    synth.bad = line.Double("bad");
    synth.threads = static_cast<int>(line.Int("threads"));
    return synth;
  });
}

namespace {

RecordConfig RecordsOf(const CommandLine& line) {
  RecordConfig records;
  records.format = line.value("format");
  records.field_messages = line.value("field_messages");
  records.field_prompt = line.value("field_prompt");
  records.field_completion = line.value("field_completion");
  records.field_system = line.value("field_system");
  records.field_text = line.value("field_text");
  records.field_id = line.value("field_id");
  records.field_user = line.value("field_user");
  records.field_time = line.value("field_time");
  records.field_request = line.value("field_request");
  records.field_weight = line.value("field_weight");
  records.field_outcome = line.value("field_outcome");
  records.outcomes = ParseOutcomes(WordsOf(line.values("outcomes")));
  records.weight_on = line.value("weight_on");
  return records;
}

}  // namespace

ImportConfig ImportConfigFromFlags(const CommandLine& line) {
  return Filled<ImportConfig>(line, [&] {
    ImportConfig import_config;
    import_config.in = line.values("in");
    import_config.out = line.value("out");
    import_config.tokenizer = line.value("tokenizer");
    if (line.Int("vocab_size") != 0) import_config.vocab_size = line.Int("vocab_size");
    import_config.validation_fraction = line.Double("validation_fraction");
    import_config.max_bad_fraction = line.Double("max_bad_fraction");
    import_config.shard_tokens = line.Int("shard_tokens");
    import_config.max_file_bytes = line.Int("max_file_bytes");
    import_config.user_key = line.value("user_key");
    import_config.threads = static_cast<int>(line.Int("threads"));
    import_config.seed = Seed(line);
    import_config.dedup = line.value("dedup");
    import_config.near_threshold = line.Double("near_threshold");
    if (!line.value("split").empty()) import_config.split = line.value("split");
    import_config.test_fraction = line.Double("test_fraction");
    import_config.history = line.Bool("history");
    import_config.records = RecordsOf(line);
    import_config.hygiene.redact = line.value("redact");
    import_config.hygiene.min_text_bytes = line.Int("min_text_bytes");
    import_config.hygiene.max_text_bytes = line.Int("max_text_bytes");
    import_config.hygiene.max_repetition = line.Double("max_repetition");
    import_config.dry_run = line.Bool("dry_run");
    import_config.append = line.Bool("append");
    if (import_config.append) FillAppend(line, &import_config);
    return import_config;
  });
}

EvalConfig EvalConfigFromFlags(const CommandLine& line) {
  return Filled<EvalConfig>(line, [&] {
    EvalConfig eval;
    eval.run_root = line.value("run_root");
    eval.run = line.value("run");
    eval.checkpoint = line.value("checkpoint");
    eval.data = line.values("data");
    if (eval.data == std::vector<std::string>{""}) eval.data.clear();
    eval.threads = static_cast<int>(line.Int("threads"));
    eval.device = line.value("device");
    eval.json = line.Bool("json");
    return eval;
  });
}

GenerateConfig GenerateConfigFromFlags(const CommandLine& line) {
  return Filled<GenerateConfig>(line, [&] {
    GenerateConfig generate;
    generate.run_root = line.value("run_root");
    generate.run = line.value("run");
    generate.checkpoint = line.value("checkpoint");
    generate.prompt = line.value("prompt");
    generate.chat = line.value("chat");
    generate.max_tokens = line.Int("max_tokens");
    generate.temperature = line.Double("temperature");
    generate.top_k = line.Int("top_k");
    generate.top_p = line.Double("top_p");
    generate.seed = Seed(line);
    generate.threads = static_cast<int>(line.Int("threads"));
    generate.device = line.value("device");
    generate.json = line.Bool("json");
    if (generate.prompt.empty() == generate.chat.empty()) {
      throw core::ConfigError("give one of --prompt=TEXT and --chat=FILE");
    }
    return generate;
  });
}

ProbeConfig ProbeConfigFromFlags(const CommandLine& line) {
  return Filled<ProbeConfig>(line, [&] {
    ProbeConfig probe;
    probe.measure = WordsOf(line.values("measure"));
    probe.data = line.values("data");
    probe.run_root = line.value("run_root");
    probe.threads = static_cast<int>(line.Int("threads"));
    probe.seconds = line.Double("seconds");
    probe.json = line.Bool("json");
    return probe;
  });
}

}  // namespace moat::configs
