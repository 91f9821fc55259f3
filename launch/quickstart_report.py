"""What launch/quickstart reports: first and last loss, the resume, bits per byte beside two baselines.

Arguments: metrics.jsonl of the run; the JSON that `moat data stat --baselines --json` printed, which has, under "baselines",
bigram_bits_per_byte and xz_bits_per_byte of the validation split.
"""
import json
import sys


def read_metrics(path):
    """Lines that a crash cut short are left out; the last line of a step wins."""
    steps, evaluations = {}, {}
    with open(path) as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if "loss" in line:
                steps[line["step"]] = line
            elif "val_loss" in line:  # others are of saves
                evaluations[line["step"]] = line
    return steps, evaluations


def main():
    steps, evaluations = read_metrics(sys.argv[1])
    with open(sys.argv[2]) as file:
        stat = json.load(file)
    baselines = stat.get("baselines", stat)
    first, last = min(steps), max(steps)
    print(f"loss: {steps[first]['loss']:.4f} at step {first}, {steps[last]['loss']:.4f} at step {last}")
    resumed = [s for s in sorted(steps) if s - 1 in steps and steps[s]["attempt"] != steps[s - 1]["attempt"]]
    for step in resumed:
        print(f"resumed: {steps[step - 1]['loss']:.4f} at step {step - 1}, then {steps[step]['loss']:.4f} at step {step}")
    if not evaluations:
        sys.exit("quickstart: the run has no evaluation in metrics.jsonl")
    model = evaluations[max(evaluations)]["val_bits_per_byte"]
    bigram, xz = baselines["bigram_bits_per_byte"], baselines["xz_bits_per_byte"]
    print(f"validation bits per byte: model {model:.3f}, bigram {bigram:.3f}, xz {xz:.3f}")
    print(f"the model is {100 * (1 - model / bigram):.0f}% below the bigram model")
    if xz < model:
        print("xz is lower still: it copies long repeats, of which sources have many; a model learns them with more steps")


if __name__ == "__main__":
    main()
