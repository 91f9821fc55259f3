"""The models of textbook_models.py, each with one mistake: what moat's numbers must not be."""
import torch
import torch.nn.functional as F

from textbook_models import Gpt2, Llama, Model


class UnscaledScores(Model):
    def scores(self, q, k):
        return q @ k.transpose(1, 2)


class SpansSeeEachOther(Model):
    def row_logits(self, tokens, span_start):
        return self.logits(tokens)


class PositionsGoOn(Model):
    def row_logits(self, tokens, span_start):
        starts = sorted(set(span_start))
        return torch.cat([self.logits(tokens[a:b], a) for a, b in zip(starts, starts[1:] + [len(tokens)])])


class HeadsSharedInTurn(Model):
    def shared(self, x):
        return x.repeat(self.c["heads"] // self.c["kv_heads"], 1, 1)


class NeighboursTurn(Llama):
    def turned(self, x, first):
        angles = self.angles(x, first)
        a, b = x[..., 0::2], x[..., 1::2]
        pairs = [a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()]
        return torch.stack(pairs, -1).reshape(x.shape)


class BaseOf500000(Llama):
    def angles(self, x, first):
        return Llama({**self.c, "rotary_base": 500000.0}, self.w).angles(x, first)


class RmsEpsilonOutside(Llama):
    def norm(self, x, name):
        return x / (torch.sqrt(x.square().mean(-1, keepdim=True)) + self.c["norm_epsilon"]) * self.w[name]


class GateAndUpExchanged(Llama):
    def mlp(self, x, layer):
        return self.linear(F.silu(self.linear(x, layer, "ffn.w_up")) * self.linear(x, layer, "ffn.w_gate"), layer,
                           "ffn.w_down")


class GeluOfErf(Gpt2):
    def mlp(self, x, layer):
        return self.linear(F.gelu(self.linear(x, layer, "ffn.w_up")), layer, "ffn.w_down")


class LayerNormBy(Gpt2):
    def norm(self, x, name):
        return (x - x.mean(-1, keepdim=True)) / self.deviation(x) * self.w[name] + self.w[name + ".bias"]


class LayerEpsilonOutside(LayerNormBy):
    def deviation(self, x):
        return x.std(-1, unbiased=False, keepdim=True) + self.c["norm_epsilon"]


class VarianceOfNMinusOne(LayerNormBy):
    def deviation(self, x):
        return torch.sqrt(x.var(-1, unbiased=True, keepdim=True) + self.c["norm_epsilon"])


MISTAKES = {
    "llama": {"unscaled_scores": UnscaledScores, "spans_see_each_other": SpansSeeEachOther,
              "heads_shared_in_turn": HeadsSharedInTurn, "neighbours_turn": NeighboursTurn,
              "base_of_500000": BaseOf500000, "epsilon_outside": RmsEpsilonOutside,
              "gate_and_up_exchanged": GateAndUpExchanged},
    "gpt2": {"unscaled_scores": UnscaledScores, "spans_see_each_other": SpansSeeEachOther,
             "positions_go_on": PositionsGoOn, "gelu_of_erf": GeluOfErf, "epsilon_outside": LayerEpsilonOutside,
             "variance_of_n_minus_one": VarianceOfNMinusOne},
}
