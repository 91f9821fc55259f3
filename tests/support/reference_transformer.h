// A plain transformer in f64, written from the papers' formulas and sharing no code with the
// product: the judge of its gradients.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "configs/model_config.h"

namespace moat::testing {

using Matrix = std::vector<double>;  // row-major

struct ReferenceBatch {
  int64_t rows;
  std::vector<int32_t> tokens, targets, span_start;
  std::vector<float> weights;
};

class ReferenceTransformer {
 public:
  explicit ReferenceTransformer(const configs::ModelConfig& config) : c_(config) {}

  std::map<std::string, Matrix> parameters;  // by the names of the parameter table

  // sum of weight * cross-entropy. `logits`, if given, gets [rows * seq_len, vocab].
  double Loss(const ReferenceBatch& b, Matrix* all_logits = nullptr) const {
    double loss = 0;
    for (int64_t r = 0; r < b.rows; ++r) loss += RowLoss(b, r, all_logits);
    return loss;
  }

 private:
  const Matrix& P(const std::string& name) const { return parameters.at(name); }

  static Matrix Linear(const Matrix& x, const Matrix& w, int64_t in) {  // x [n, in], w [out, in]
    const int64_t n = static_cast<int64_t>(x.size()) / in,
                  out = static_cast<int64_t>(w.size()) / in;
    Matrix y(static_cast<size_t>(n * out));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t o = 0; o < out; ++o) {
        double sum = 0;
        for (int64_t k = 0; k < in; ++k)
          sum += x[static_cast<size_t>(i * in + k)] * w[static_cast<size_t>(o * in + k)];
        y[static_cast<size_t>(i * out + o)] = sum;
      }
    }
    return y;
  }

  // x W^T, and the bias where the model has it.
  Matrix Biased(const Matrix& x, const std::string& weight, const std::string& bias,
                int64_t in) const {
    Matrix y = Linear(x, P(weight), in);
    AddRows(y, bias);
    return y;
  }

  void AddRows(Matrix& y, const std::string& bias) const {
    if (!c_.bias) return;
    const Matrix& b = P(bias);
    for (size_t i = 0; i < y.size(); ++i) y[i] += b[i % b.size()];
  }

  Matrix Norm(const Matrix& x, const std::string& name) const {
    const Matrix& w = P(name);
    const bool layer = c_.norm == configs::Norm::kLayer;
    Matrix y = x;
    const size_t width = w.size();
    const auto n = static_cast<double>(width);
    for (size_t i = 0; i < x.size(); i += width) {
      double mean = 0, square = 0;
      for (size_t j = 0; layer && j < width; ++j) mean += x[i + j] / n;
      for (size_t j = 0; j < width; ++j) square += (x[i + j] - mean) * (x[i + j] - mean) / n;
      for (size_t j = 0; j < width; ++j)
        y[i + j] = (x[i + j] - mean) / std::sqrt(square + c_.norm_epsilon) * w[j];
    }
    if (layer) AddRows(y, name + ".bias");
    return y;
  }

  Matrix Mlp(const Matrix& x, const std::string& name) const {
    Matrix up = Biased(x, name + "w_up", name + "b_up", c_.width);
    if (c_.mlp == configs::Mlp::kGelu) {
      for (double& v : up) {
        v = 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
      }
    } else {
      const Matrix gate = Biased(x, name + "w_gate", name + "b_gate", c_.width);
      for (size_t i = 0; i < up.size(); ++i) up[i] *= gate[i] / (1 + std::exp(-gate[i]));
    }
    return Biased(up, name + "w_down", name + "b_down", c_.ffn);
  }

  // Rotates q or k [T, heads * d] by each slot's position.
  void Rotary(Matrix& x, int64_t heads, const int32_t* span) const {
    if (c_.position != configs::Position::kRotary) return;
    const int64_t d = c_.head_width(), half = d / 2;
    for (int64_t t = 0; t < c_.seq_len; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < half; ++i) {
          const double angle =
              static_cast<double>(t - span[t]) /
              std::pow(c_.rotary_base, 2.0 * static_cast<double>(i) / static_cast<double>(d));
          double& a = x[static_cast<size_t>((t * heads + h) * d + i)];
          double& z = x[static_cast<size_t>((t * heads + h) * d + i + half)];
          const double first = a * std::cos(angle) - z * std::sin(angle);
          z = a * std::sin(angle) + z * std::cos(angle);
          a = first;
        }
      }
    }
  }

  Matrix Attend(const Matrix& q, const Matrix& k, const Matrix& v, const int32_t* span) const {
    const int64_t d = c_.head_width();
    Matrix out(q.size());
    for (int64_t h = 0; h < c_.heads; ++h) {
      const int64_t g = h / (c_.heads / c_.kv_heads);
      for (int64_t t = 0; t < c_.seq_len; ++t) {
        double sum = 0;
        std::vector<double> p;
        for (int64_t u = span[t]; u <= t; ++u) {
          double dot = 0;
          for (int64_t i = 0; i < d; ++i) {
            dot += q[static_cast<size_t>((t * c_.heads + h) * d + i)] *
                   k[static_cast<size_t>((u * c_.kv_heads + g) * d + i)];
          }
          p.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
          sum += p.back();
        }
        for (int64_t u = span[t]; u <= t; ++u) {
          for (int64_t i = 0; i < d; ++i) {
            out[static_cast<size_t>((t * c_.heads + h) * d + i)] +=
                p[static_cast<size_t>(u - span[t])] / sum *
                v[static_cast<size_t>((u * c_.kv_heads + g) * d + i)];
          }
        }
      }
    }
    return out;
  }

  double RowLoss(const ReferenceBatch& b, int64_t r, Matrix* all_logits) const {
    const int64_t base = r * c_.seq_len;
    const int32_t* span = b.span_start.data() + base;
    Matrix x;
    for (int64_t t = 0; t < c_.seq_len; ++t) {
      const auto row = P("embedding").begin() + b.tokens[static_cast<size_t>(base + t)] * c_.width;
      x.insert(x.end(), row, row + c_.width);
    }
    for (size_t i = 0; c_.position == configs::Position::kLearned && i < x.size(); ++i) {
      const int64_t t = static_cast<int64_t>(i) / c_.width,
                    feature = static_cast<int64_t>(i) % c_.width;
      x[i] += P("position")[static_cast<size_t>((t - span[t]) * c_.width + feature)];
    }
    for (int64_t l = 0; l < c_.layers; ++l) {
      const std::string name = "layers." + std::to_string(l) + ".";
      const std::string attention = name + "attention.";
      const Matrix h = Norm(x, name + "attention_norm");
      Matrix q = Biased(h, attention + "wq", attention + "bq", c_.width),
             k = Biased(h, attention + "wk", attention + "bk", c_.width);
      Rotary(q, c_.heads, span);
      Rotary(k, c_.kv_heads, span);
      const Matrix v = Biased(h, attention + "wv", attention + "bv", c_.width);
      const Matrix o = Biased(Attend(q, k, v, span), attention + "wo", attention + "bo",
                              c_.heads * c_.head_width());
      for (size_t i = 0; i < x.size(); ++i) x[i] += o[i];
      const Matrix down = Mlp(Norm(x, name + "ffn_norm"), name + "ffn.");
      for (size_t i = 0; i < x.size(); ++i) x[i] += down[i];
    }
    const Matrix logits =
        Linear(Norm(x, "final_norm"), P(c_.tie_embeddings ? "embedding" : "output"), c_.width);
    if (all_logits) all_logits->insert(all_logits->end(), logits.begin(), logits.end());
    double loss = 0;
    for (int64_t t = 0; t < c_.seq_len; ++t) {
      double sum = 0;
      for (int64_t v = 0; v < c_.vocab_size; ++v)
        sum += std::exp(logits[static_cast<size_t>(t * c_.vocab_size + v)]);
      const double right =
          logits[static_cast<size_t>(t * c_.vocab_size + b.targets[static_cast<size_t>(base + t)])];
      loss +=
          static_cast<double>(b.weights[static_cast<size_t>(base + t)]) * (std::log(sum) - right);
    }
    return loss;
  }

  configs::ModelConfig c_;
};

}  // namespace moat::testing
