// Every flag of moat, declared once: type, name, default, commands, help.
//
// Defaults come from the structs the flags fill, so that a default is written in one place.
#include <gflags/gflags.h>

#include "configs/flag_registry.h"
#include "configs/generate_config.h"
#include "configs/import_config.h"
#include "configs/launch_config.h"
#include "configs/plan_config.h"
#include "configs/probe_config.h"
#include "configs/synth_config.h"
#include "configs/train_config.h"
#include "core/comma_list.h"

#define MOAT_FLAG(type, name, default_value, commands, help) \
  DEFINE_##type(name, default_value, help);                  \
  const FlagRegistration registered_##name(#name, commands, false)

#define MOAT_LIST_FLAG(name, default_value, commands, help) \
  DEFINE_string(name, default_value, help);                 \
  const FlagRegistration registered_##name(#name, commands, true)

namespace moat::configs {
namespace {

const TrainConfig train;
const ModelConfig model;
const LaunchConfig launching;
const GenerateConfig generate;
const ImportConfig import_defaults;
const PlanConfig plan;
const ProbeConfig probe;
const SynthConfig synth;

// They start runs; or plan one, by the same flagfiles, those of clusters included.
constexpr CommandSet kLaunches = kLaunch | kSweep | kDrill | kPlan;
constexpr CommandSet kSubmits = kLaunch | kSweep | kPlan;  // and may do so as jobs
constexpr CommandSet kRun = kTrain | kLaunches;            // what a run is
constexpr CommandSet kNamesRun = kTrain | kLaunches | kCompare | kEval | kGenerate | kStatus |
                                 kRuns | kLogs | kWhy | kStop | kConfig;
constexpr CommandSet kMeasures = kDoctor | kProbe;
constexpr CommandSet kOfRun =
    kCheckpointList | kCheckpointInspect | kCheckpointVerify | kCheckpointPrune;
constexpr CommandSet kTakesRun = kOfRun | kStatus | kLogs | kWhy | kStop;  // behind the flags, too
constexpr CommandSet kCheckpoint = kOfRun | kCheckpointDiff | kCheckpointCopy;
constexpr CommandSet kPrints = kDataForget | kDataImport | kDataSynth | kDataStat | kDataVerify |
                               kDataShow | kLaunches | kCompare | kEval | kGenerate | kStatus |
                               kRuns | kLogs | kWhy | kStop | kConfig | kCheckpoint | kMeasures |
                               kVersion;

// The run: what, where, how long.
MOAT_LIST_FLAG(data, "", kRun | kEval | kProbe,
               "data set directory, from moat data import; repeated: several, mixed; for eval, "
               "empty: the run's own");
MOAT_LIST_FLAG(data_weights, "", kRun,
               "shares of several data sets, one for each --data, with commas or repeated, as "
               "0.7,0.3; empty: by their numbers of samples");
MOAT_LIST_FLAG(data_version, "0", kRun,
               "versions of the data sets, one for each --data; 0: the one the run began with, for "
               "a new run the newest");
MOAT_FLAG(string, init_from, train.init_from, kRun,
          "run whose best weights a new run begins with, or a checkpoint directory (a path with a "
          "'/'); empty: random weights");
MOAT_FLAG(string, run_root, train.run_root, kNamesRun | kMeasures | kDataStat | kOfRun,
          "directory that holds the runs");
MOAT_FLAG(string, run, train.run, kRun | kEval | kGenerate | kTakesRun,
          "name of the run: letters, digits, '.', '_', '-'");
MOAT_FLAG(string, resume, train.resume, kRun,
          "auto: from the newest intact checkpoint, if any; never: refuse if there is one; or the "
          "number of a saved step");
MOAT_FLAG(
    uint64, seed, train.seed, kRun | kGenerate | kDataImport | kDataSynth,
    "of initial weights, sample order and dropout; of drawing tokens; of the split; of what is "
    "invented");
MOAT_FLAG(int64, steps, train.steps, kRun, "optimizer updates in the whole run");

// The grid: how many ranks, and what each has.
MOAT_FLAG(
    int32, dp, train.dp, kRun,
    "data-parallel ranks; -1: what the number of started ranks leaves, and 1 for moat launch");
MOAT_FLAG(int32, tp, train.tp, kRun, "tensor-parallel ranks");
MOAT_FLAG(
    bool, sequence_parallel, train.sequence_parallel, kRun,
    "tensor-parallel ranks share norms, dropout and the residual stream by slots: less memory "
    "for activations; tp divides seq_len");
MOAT_FLAG(
    int32, zero, train.zero, kRun,
    "1: data ranks share the optimizer's state between them (ZeRO stage 1); 0: each keeps all "
    "of it; the bits are the same");
MOAT_FLAG(int32, threads, train.threads,
          kRun | kEval | kGenerate | kDataImport | kDataSynth | kMeasures | kCheckpointVerify,
          "threads per rank; 0: the cores of the node divided by the ranks on it");
MOAT_FLAG(
    string, device, train.device, kRun | kEval | kGenerate,
    "cuda: on CUDA devices, one a rank where there are as many; cpu; auto: cuda where every rank "
    "sees a device, else cpu");
MOAT_FLAG(string, dtype, core::Name(train.dtype), kRun, "of weights and activations: f32 or bf16");
MOAT_FLAG(
    string, matmul_dtype, Name(train.matmul_dtype), kRun,
    "of the layers' matrix products in training: same: as --dtype; fp8: e4m3, output gradients "
    "in e5m2, with --dtype=bf16 (Hopper; a CPU only shows the numbers, slowly)");
MOAT_FLAG(double, peak_tflops, train.peak_tflops, kRun,
          "dense bf16 TFLOP/s of one GPU, that mfu in the line of a step is a share of; 0: as its "
          "data sheet says, where moat knows it");
MOAT_FLAG(string, profile_steps, train.profile_steps, kRun,
          "FIRST:LAST: a profiler records these steps (nsys profile "
          "--capture-range=cudaProfilerApi)");
MOAT_FLAG(bool, tune_products, train.tune_products, kRun,
          "on a GPU: measure once which algorithm is the fastest for each matrix product, and keep "
          "the choice with the run; false: take what the library proposes first");
MOAT_FLAG(bool, dtype_fallback, train.dtype_fallback, kRun,
          "train in f32 when a rank's processor lacks the instructions for --dtype, instead of "
          "refusing");
MOAT_FLAG(string, reduction, Name(train.reduction), kRun,
          "canonical: the same bits for every dp; fast: whatever order is fastest");
MOAT_FLAG(int32, canonical_ways, train.canonical_ways, kRun,
          "ways of the canonical reduction, a power of two; 0: the largest up to 8 that divides "
          "global_batch / micro_batch");
MOAT_FLAG(
    string, recompute, Name(train.recompute), kRun,
    "activations that the backward pass computes again instead of keeping them: none; inner: "
    "of attention and MLP; block: of whole layers, but for their input. The bits are the same");
MOAT_FLAG(string, overlap, Name(train.overlap), kRun,
          "on: gradients are reduced while the backward pass goes on, in a thread of its own; off: "
          "after it; auto: on where every rank has a core for it. The bits are the same");
MOAT_FLAG(double, collective_timeout, train.collective_timeout, kRun,
          "seconds a rank may be late at a collective before the attempt ends with 76");

// The model.
MOAT_FLAG(int64, layers, model.layers, kRun, "transformer layers");
MOAT_FLAG(int64, width, model.width, kRun, "width of the residual stream");
MOAT_FLAG(int64, heads, model.heads, kRun, "attention heads; divides width");
MOAT_FLAG(int64, kv_heads, model.kv_heads, kRun, "key and value heads; divides heads");
MOAT_FLAG(int64, ffn, model.ffn, kRun, "hidden width of the MLP");
MOAT_FLAG(int64, seq_len, model.seq_len, kRun, "tokens in one training sequence");
MOAT_FLAG(int64, vocab_size, model.vocab_size, kRun | kDataImport,
          "tokens in the vocabulary; 0: the data set's for training, 4096 at most for an import");
MOAT_FLAG(string, norm, Name(model.norm), kRun, "rms or layer");
MOAT_FLAG(string, position, Name(model.position), kRun, "rotary or learned");
MOAT_FLAG(string, mlp, Name(model.mlp), kRun, "swiglu or gelu");
MOAT_FLAG(bool, tie_embeddings, model.tie_embeddings, kRun,
          "one matrix for token embeddings and output");
MOAT_FLAG(bool, bias, model.bias, kRun, "biases in the linear layers");
MOAT_FLAG(double, rotary_base, model.rotary_base, kRun, "base of the rotary angles");
MOAT_FLAG(double, norm_epsilon, model.norm_epsilon, kRun, "added to the mean square in norms");
MOAT_FLAG(double, dropout, model.dropout, kRun, "share of activations dropped, in [0, 1)");

// The step.
MOAT_FLAG(int64, global_batch, train.global_batch, kRun, "sequences in one update, over all ranks");
MOAT_FLAG(int64, micro_batch, train.micro_batch, kRun,
          "sequences in one forward pass of one rank; divides global_batch");
MOAT_FLAG(string, pack, train.pack, kRun,
          "separate: interactions that share a sequence do not see each other; concat: they do");
MOAT_LIST_FLAG(loss_roles, core::JoinWithCommas(train.loss_roles), kRun,
               "roles whose tokens are learned, with commas or repeated: system, user, assistant, "
               "tool, text; or all; user=0.1 counts a tenth");
MOAT_FLAG(double, lr, train.lr, kRun, "learning rate after warm-up");
MOAT_FLAG(double, min_lr, train.min_lr, kRun, "learning rate at the end, as a share of --lr");
MOAT_FLAG(int64, warmup, train.warmup, kRun, "steps over which the learning rate rises from 0");
MOAT_FLAG(double, weight_decay, train.weight_decay, kRun,
          "decoupled weight decay; none on norms and biases");
MOAT_FLAG(double, beta1, train.beta1, kRun, "AdamW's average of gradients, in [0, 1)");
MOAT_FLAG(double, beta2, train.beta2, kRun, "AdamW's average of squares, in [0, 1)");
MOAT_FLAG(double, adam_epsilon, train.adam_epsilon, kRun, "AdamW's epsilon");
MOAT_FLAG(double, clip, train.clip, kRun, "largest global gradient norm; 0: no clipping");

// Evaluation and checkpoints.
MOAT_FLAG(int64, check_replicas_every, train.check_replicas_every, kRun,
          "steps between comparisons of what ranks hold alike; also done before a save; 0: never");
MOAT_FLAG(int64, eval_every, train.eval_every, kRun,
          "steps between evaluations; 0: only at the end");
MOAT_FLAG(int64, eval_batches, train.eval_batches, kRun,
          "micro-batches of each validation split in one evaluation, over all ranks; 0: all of it");
MOAT_FLAG(int64, checkpoint_every, train.checkpoint_every, kRun,
          "steps between checkpoints; 0: only at the end and when stopped");
MOAT_FLAG(int32, keep_checkpoints, train.keep_checkpoints, kRun,
          "newest checkpoints kept beside the best; at least 2");
MOAT_FLAG(bool, async_checkpoints, train.async_checkpoints, kRun,
          "write checkpoints beside training, from a copy of the state; takes memory for the copy");
MOAT_FLAG(
    bool, strict_checkpoints, train.strict_checkpoints, kRun,
    "end the run at the first save that fails; otherwise it goes on until three in a row did");
MOAT_FLAG(
    string, checkpoint_files, Name(train.checkpoint_files), kRun,
    "who writes a file of a checkpoint: rank, node (its ranks together), or auto: by node from "
    "65 ranks on");
MOAT_FLAG(
    string, local_checkpoint_dir, train.local_checkpoint_dir, kRun,
    "folder of every node, in memory (/dev/shm) or on a local disk, that keeps the newest step "
    "and a copy of another node's, so that a lost process or node costs a step; empty: none");
MOAT_FLAG(int64, local_checkpoint_every, train.local_checkpoint_every, kRun,
          "steps between copies in --local_checkpoint_dir");
MOAT_FLAG(int64, keep_every, train.keep_every, kRun | kCheckpointPrune,
          "checkpoints of steps that this divides are kept too, as milestones; 0: none");
MOAT_FLAG(int32, keep, train.keep_checkpoints, kCheckpointPrune,
          "newest checkpoints kept beside the best; at least 2");
MOAT_FLAG(string, tensor, "", kCheckpointInspect,
          "one tensor: its pieces, and what its elements are like");

MOAT_FLAG(
    string, end_time, "", kRun,
    "the run saves and ends with 75 before then: 2026-03-01T12:00:00Z, or Unix seconds; default: "
    "what Slurm says of the job (SLURM_JOB_END_TIME)");

// Launching.
MOAT_FLAG(string, on, Name(launching.on), kSubmits,
          "where: local; slurm: as a job, or a sweep as an array of jobs, which is submitted; "
          "allocation: in the job that this is");
MOAT_FLAG(bool, dry_run, launching.dry_run, kLaunch | kSweep | kDataImport | kCheckpointPrune,
          "print what would be started, start nothing; what would be read, redacted and left out, "
          "write nothing; what would be removed, remove nothing");
MOAT_FLAG(int32, restarts, launching.restarts, kLaunches,
          "attempts started again by themselves, from the newest checkpoint, after a lost peer or "
          "failed storage; three in a row without a new checkpoint end the run with 93");
MOAT_FLAG(double, grace, launching.grace, kLaunches,
          "seconds a run gets to save after a signal before it is killed; a job's signal comes so "
          "long before its time limit");
MOAT_FLAG(double, hang_timeout, launching.hang_timeout, kLaunches,
          "seconds a rank may stay in one phase (a step, an evaluation, a save) before the attempt "
          "ends with 76; 0: three times the slowest recent one, at least 10");
MOAT_FLAG(bool, preflight, launching.preflight, kSubmits,
          "measure every node before training, for seconds, and leave out those that are slow");
MOAT_FLAG(string, on_event, launching.on_event, kLaunches,
          "shell command told of every change of the run's state: MOAT_EVENT, MOAT_RUN and others "
          "in its environment; has 10 s");
MOAT_FLAG(int32, nodes, launching.nodes, kLaunches, "nodes of the job, or of the --hostfile");
MOAT_FLAG(
    int32, min_nodes, launching.min_nodes, kLaunches,
    "nodes that are enough: a run that lost others goes on without them, on a smaller grid; 0: "
    "all of --nodes");
MOAT_FLAG(int32, legs, launching.legs, kSubmits,
          "jobs that a run may take one after the other before it ends with 93; 0: as many as it "
          "needs");
MOAT_FLAG(int32, ranks_per_node, launching.ranks_per_node, kLaunches,
          "ranks on each node; 0: dp x tp over the nodes, or where --dp is -1 one a GPU asked for, "
          "else tp");
MOAT_FLAG(string, starter, Name(launching.starter), kSubmits,
          "what starts the ranks in a job: mpirun, srun (with PMIx) or auto, which tries them");
MOAT_FLAG(string, bind, Name(launching.bind), kLaunches,
          "what each rank's threads are kept to: none, core, numa or socket");
MOAT_FLAG(string, hostfile, launching.hostfile, kLaunches,
          "mpirun's file of hosts, for --on=local over several machines");
MOAT_LIST_FLAG(env, "", kLaunches, "NAME=VALUE in the environment of every rank; may be repeated");
MOAT_FLAG(string, container, launching.container, kLaunches,
          "Apptainer image that ranks run in, by the moat-train in its PATH; empty: none");
MOAT_LIST_FLAG(container_options, "", kLaunches,
               "further options of apptainer exec, as --nv; may be repeated");
MOAT_FLAG(string, emit, launching.emit, kLaunch,
          "mpijob: print the run as an MPIJob for Kubernetes, start nothing");
MOAT_FLAG(bool, wait, launching.wait, kLaunch | kSweep,
          "wait until what was submitted has ended, and exit with its code");
MOAT_FLAG(bool, parsable, launching.parsable, kLaunch | kSweep, "print the number of the job only");
MOAT_FLAG(string, partition, launching.slurm.partition, kSubmits, "Slurm's, empty: the default");
MOAT_FLAG(string, account, launching.slurm.account, kSubmits, "Slurm's, empty: the default");
MOAT_FLAG(string, time, launching.slurm.time, kSubmits,
          "limit of one leg, as Slurm takes it (HH:MM:SS); a run goes on over as many as it needs");
MOAT_FLAG(int32, gpus_per_node, launching.slurm.gpus_per_node, kSubmits,
          "GPUs asked for on each node");
MOAT_FLAG(string, gpu_request, launching.slurm.gpu_request, kSubmits,
          "how the site is asked for GPUS of them, as --gres=gpu:h100:GPUS");
MOAT_LIST_FLAG(sbatch, "", kSubmits,
               "a further option of sbatch, as --constraint=ib; may be repeated");
MOAT_LIST_FLAG(modules, "", kSubmits,
               "environment modules that the job loads, with commas or repeated");

// Planning.
const std::string hardware_help =
    "what the ranks compute on: " + HardwareNames() + "; empty: it is not said whether it fits";
MOAT_FLAG(string, hardware, plan.hardware, kPlan, hardware_help.c_str());
MOAT_FLAG(double, device_memory, plan.device_memory, kPlan,
          "GiB of one GPU, or of a node of CPUs; 0: as --hardware has them");
MOAT_FLAG(double, utilization, plan.utilization, kPlan,
          "share of the peak that steps are assumed to reach, in (0, 1]");

// Several runs: sweeps, comparisons, drills.
MOAT_LIST_FLAG(vary, "", kSweep,
               "FLAG=VALUE,VALUE: a flag of training and the values it takes; repeated: every "
               "combination");
MOAT_FLAG(int32, seeds, 1, kSweep,
          "runs of each combination, with --seed and the numbers after it: the same in all");
MOAT_FLAG(int32, parallel, 0, kSweep,
          "runs side by side; 0: as many as the cores hold by --threads, and one where that is 0; "
          "with --on=slurm as many as Slurm starts");
MOAT_FLAG(bool, csv, false, kCompare, "print comma-separated values, in full precision");
MOAT_FLAG(int64, kill_at, 1, kDrill, "step that is done when the run is struck");
MOAT_FLAG(int32, kill_rank, 0, kDrill, "rank that is killed");
MOAT_FLAG(
    string, how, "kill", kDrill,
    "kill: the process of a rank, by SIGKILL; preempt: USR1 to the launcher, and a new start");

// Looking after runs.
MOAT_FLAG(bool, follow, false, kStatus | kRuns | kLogs,
          "go on as things change, until the run (every run) has ended");
MOAT_FLAG(int32, rank, -1, kLogs, "print this rank's messages only; -1: everything");
MOAT_FLAG(int32, attempt, -1, kLogs, "attempt to print, 0 for the first; -1: the newest");
MOAT_FLAG(double, timeout, 600, kStop,
          "seconds to wait for the run's end, else 76 is the exit code; 0: only ask it to end");

// Evaluation and generation.
MOAT_FLAG(string, checkpoint, generate.checkpoint, kEval | kGenerate,
          "newest, best, or a checkpoint's directory; empty: best if there is one, else newest");
MOAT_FLAG(string, prompt, generate.prompt, kGenerate, "text to continue");
MOAT_FLAG(string, chat, generate.chat, kGenerate,
          "file with one JSON object with messages; the next assistant message is generated");
MOAT_FLAG(int64, max_tokens, generate.max_tokens, kGenerate, "tokens generated, at most");
MOAT_FLAG(double, temperature, generate.temperature, kGenerate,
          "of the distribution tokens are drawn from; 0: always the likeliest");
MOAT_FLAG(int64, top_k, generate.top_k, kGenerate, "draw from the k likeliest tokens; 0: off");
MOAT_FLAG(double, top_p, generate.top_p, kGenerate,
          "draw from the likeliest tokens that together have this probability, in (0, 1]");

// Data.
MOAT_LIST_FLAG(in, "", kDataImport,
               "file, glob or directory to read, or - for standard input; may be repeated; a "
               "directory with .git gives its history and files");
MOAT_FLAG(string, out, import_defaults.out, kDataImport | kDataSynth,
          "data set directory to make; for synth, a chat JSONL file, empty: standard output");
MOAT_FLAG(bool, append, import_defaults.append, kDataImport,
          "add a new version to the data set --out, by its tokenizer, split rule and duplicates");
MOAT_FLAG(string, tokenizer, import_defaults.tokenizer, kDataImport,
          "SentencePiece model to take instead of training one");
MOAT_FLAG(double, validation_fraction, import_defaults.validation_fraction, kDataImport,
          "share of users, paths or ids in the validation split, in (0, 1)");
MOAT_FLAG(string, dedup, import_defaults.dedup, kDataImport,
          "interactions left out that repeat an earlier one: off; exact: word for word; near: or "
          "nearly so");
MOAT_FLAG(double, near_threshold, import_defaults.near_threshold, kDataImport,
          "likeness from which on --dedup=near leaves out, in [0.5, 1]: word sequences in common");
MOAT_FLAG(string, split, "", kDataImport | kDataShow,
          "what stays together: auto, user, time (the newest are held out), path or id; for show: "
          "train, validation or test; empty: auto and train");
MOAT_FLAG(double, test_fraction, import_defaults.test_fraction, kDataImport,
          "share in the test split, which no run reads; 0: none");
MOAT_FLAG(double, max_bad_fraction, import_defaults.max_bad_fraction, kDataImport,
          "share of unreadable records above which the import fails, in [0, 1]");
MOAT_FLAG(int64, shard_tokens, import_defaults.shard_tokens, kDataImport, "tokens in one shard");
MOAT_FLAG(int64, max_file_bytes, import_defaults.max_file_bytes, kDataImport,
          "bytes above which a file of a tree is skipped and counted");
MOAT_FLAG(
    string, user, "", kDataForget | kDataStat,
    "the user, as the input named them; for stat: what this one has in each version, and the runs "
    "in --run_root that read it");
MOAT_FLAG(string, user_key, import_defaults.user_key, kDataImport | kDataForget | kDataStat,
          "file with the 32-byte key of user hashes; empty: user.key in the data set, made if "
          "absent");
MOAT_FLAG(bool, history, import_defaults.history, kDataImport,
          "read a git repository's history beside its files");
MOAT_FLAG(string, redact, import_defaults.hygiene.redact, kDataImport,
          "file of rules that take addresses, keys and the like out of texts, as "
          "configs/redaction.rules; empty: none");
MOAT_FLAG(int64, min_text_bytes, import_defaults.hygiene.min_text_bytes, kDataImport,
          "bytes of text below which an interaction is left out");
MOAT_FLAG(int64, max_text_bytes, import_defaults.hygiene.max_text_bytes, kDataImport,
          "bytes of text above which an interaction is left out; 0: no limit");
MOAT_FLAG(double, max_repetition, import_defaults.hygiene.max_repetition, kDataImport,
          "share of an interaction that repeats itself above which it is left out, in (0, 1]; 1: "
          "off");
MOAT_FLAG(string, format, import_defaults.records.format, kDataImport,
          "auto, chat, sharegpt, alpaca, prompt, preference, text, csv, tsv, hdf5, tree or lines");
MOAT_FLAG(string, field_messages, import_defaults.records.field_messages, kDataImport,
          "field of a record with the list of its messages; a.b: field b of a, here and below");
MOAT_FLAG(string, field_prompt, import_defaults.records.field_prompt, kDataImport,
          "field with what was asked");
MOAT_FLAG(string, field_completion, import_defaults.records.field_completion, kDataImport,
          "field with what was answered");
MOAT_FLAG(string, field_system, import_defaults.records.field_system, kDataImport,
          "field with a system text that goes before");
MOAT_FLAG(string, field_text, import_defaults.records.field_text, kDataImport,
          "field with a plain text");
MOAT_FLAG(string, field_id, import_defaults.records.field_id, kDataImport,
          "field that identifies the record");
MOAT_FLAG(string, field_user, import_defaults.records.field_user, kDataImport,
          "field with the user");
MOAT_FLAG(string, field_time, import_defaults.records.field_time, kDataImport,
          "field with the time: Unix seconds or ISO 8601");
MOAT_FLAG(string, field_request, import_defaults.records.field_request, kDataImport,
          "field that alternatives which answer one request share");
MOAT_FLAG(string, field_weight, import_defaults.records.field_weight, kDataImport,
          "field with the record's weight");
MOAT_FLAG(string, field_outcome, import_defaults.records.field_outcome, kDataImport,
          "field with a label that --outcomes turns into a weight");
MOAT_LIST_FLAG(outcomes, "", kDataImport,
               "weights of outcomes, as accepted=1,edited=0.5,rejected=0; empty: outcomes are not "
               "looked at");
MOAT_FLAG(string, weight_on, import_defaults.records.weight_on, kDataImport,
          "a record's weight is for its last assistant message (last) or for all of them (all)");
MOAT_FLAG(bool, baselines, false, kDataStat,
          "measure a bigram model and xz on the validation split, in bits per byte");
MOAT_FLAG(int64, start, 0, kDataShow, "number of the first interaction shown");
MOAT_FLAG(int64, count, 3, kDataShow, "interactions shown");

MOAT_FLAG(int64, interactions, synth.interactions, kDataSynth, "records to invent");
MOAT_FLAG(int64, users, synth.users, kDataSynth,
          "distinct users, at most; 0: one for 50 interactions");
MOAT_FLAG(double, duplicates, synth.duplicates, kDataSynth,
          "share of records that repeat an earlier one, word for word");
MOAT_FLAG(double, near_duplicates, synth.near_duplicates, kDataSynth,
          "share of records that repeat an earlier one with a few words more");
MOAT_FLAG(double, bad, synth.bad, kDataSynth, "share of records that cannot be read");

// Measuring.
MOAT_LIST_FLAG(measure, "", kProbe,
               "gemm (or gemm_f32, gemm_bf16), memory, disk, data, cuda, pairs, collectives, with "
               "commas or repeated; empty: "
               "all, those of several ranks where there are some");
MOAT_FLAG(double, seconds, probe.seconds, kProbe, "that one measurement takes, about");

// Every command's.
MOAT_FLAG(bool, check, false, kConfig, "only say whether the flagfile is good, with a summary");
MOAT_FLAG(string, explain, "", kConfig,
          "say of this flag what its value is, what set it, and what that overrode");
MOAT_FLAG(bool, diff, false, kConfig,
          "say which training flags differ between two flagfiles or runs; exits 1 where any does");
MOAT_FLAG(bool, json, launching.json, kPrints, "print one JSON object instead of text");

}  // namespace

// The linker takes this file from the library because someone calls this.
void LinkFlags() {}

}  // namespace moat::configs
