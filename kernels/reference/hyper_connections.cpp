// Manifold-constrained hyper-connections (spec §4.2, §4.10): four residual streams, mixed by weights of their own.

#include "kernels/reference/canonical.h"
#include "kernels/reference/formulas.h"
#include "kernels/reference/reference_ops.h"

namespace millrace {

using namespace reference;

namespace {

// m = f(f(fn·x)·inv_rms(x)) for `count` rows of fn. The factor comes after the product, and has no weight.
void mixes_of(std::span<const Bf16> x, const HyperConnectionSite& site, size_t count,
              float* mixes) {
    ENSURE(site.fn.size() == count * x.size());
    const float scale = inv_rms(x, site.norm_eps);
    for (size_t m = 0; m < count; ++m) {
        const float* fn = site.fn.data() + m * x.size();
        double part[4] = {};
        for (size_t i = 0; i < x.size(); i += 4) {
            for (size_t j = 0; j < 4; ++j)
                part[j] += static_cast<double>(fn[i + j]) * value(x[i + j]);
        }
        mixes[m] = f((part[0] + part[1]) + (part[2] + part[3])) * scale;
    }
}

// Softmax of the rows (+ eps), then columns and rows in turn: 20 rounds in all, ending on columns.
void sinkhorn(double (&c)[4][4], int rounds, double eps) {
    for (auto& row : c) {
        double most = row[0];
        for (const double v : row) most = std::max(most, v);
        double sum = 0;
        for (double& v : row) {
            v = std::exp(v - most);
            sum += v;
        }
        for (double& v : row) v = v / sum + eps;
    }
    for (int round = 0; round < rounds; ++round) {
        if (round > 0) {
            for (auto& row : c) {
                const double sum = row[0] + row[1] + row[2] + row[3] + eps;
                for (double& v : row) v /= sum;
            }
        }
        for (size_t k = 0; k < 4; ++k) {
            const double sum = c[0][k] + c[1][k] + c[2][k] + c[3][k] + eps;
            for (auto& row : c) row[k] /= sum;
        }
    }
}

// out_i = b(f(Σ_j weight_j·x_j,i)).
void weighted_sum(std::span<const Bf16> streams, const float* weights, std::span<Bf16> out) {
    const size_t d = out.size();
    for (size_t i = 0; i < d; ++i) {
        double sum = 0;
        for (size_t j = 0; j < kStreams; ++j)
            sum += static_cast<double>(weights[j]) * value(streams[j * d + i]);
        out[i] = bf(sum);
    }
}

}  // namespace

namespace reference {

void split_mixes(const float* mixes, const HyperConnectionSite& site, float* pre, float* post,
                 float* comb) {
    const auto logit = [&](size_t m, size_t part) {
        return static_cast<double>(mixes[m]) * static_cast<double>(site.scale[part]) +
               static_cast<double>(site.base[m]);
    };
    const auto eps = static_cast<double>(site.eps);
    double c[4][4];
    for (size_t j = 0; j < kStreams; ++j) {
        pre[j] = f(sigmoid(logit(j, 0)) + eps);
        post[j] = f(2.0 * sigmoid(logit(4 + j, 1)));
        for (size_t k = 0; k < kStreams; ++k) c[j][k] = logit(8 + 4 * j + k, 2);
    }
    sinkhorn(c, site.rounds, eps);
    for (size_t i = 0; i < 16; ++i) comb[i] = f(c[i / 4][i % 4]);
}

}  // namespace reference

void ReferenceOps::hc_reduce(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                             MatrixView<Bf16> y, MatrixView<float> post, MatrixView<float> comb) {
    ENSURE(streams.cols == kStreams * y.cols && site.base.size() == kMixes &&
           site.scale.size() == 3);
    pool_.run(streams.rows, [&](int64_t r) {
        float mixes[kMixes];
        float pre[kStreams];
        mixes_of(streams.row(r), site, kMixes, mixes);
        split_mixes(mixes, site, pre, post.row(r).data(), comb.row(r).data());
        weighted_sum(streams.row(r), pre, y.row(r));
    });
}

void ReferenceOps::hc_expand(MatrixView<const Bf16> y, MatrixView<const float> post,
                             MatrixView<const float> comb, MatrixView<Bf16> streams) {
    const auto d = static_cast<size_t>(y.cols);
    ENSURE(streams.cols == kStreams * y.cols && streams.rows == y.rows);
    for (int64_t r = 0; r < y.rows; ++r) {
        const auto x = streams.row(r);
        for (size_t i = 0; i < d; ++i) {
            const double old[4] = {value(x[i]), value(x[d + i]), value(x[2 * d + i]),
                                   value(x[3 * d + i])};
            for (size_t k = 0; k < kStreams; ++k) {
                // The first index of comb is the source stream.
                double sum = static_cast<double>(post.row(r)[k]) * value(y.row(r)[i]);
                for (size_t j = 0; j < kStreams; ++j) {
                    sum += static_cast<double>(comb.row(r)[4 * j + k]) * old[j];
                }
                x[k * d + i] = bf(sum);
            }
        }
    }
}

void ReferenceOps::hc_head(MatrixView<const Bf16> streams, const HyperConnectionSite& site,
                           MatrixView<Bf16> z) {
    ENSURE(streams.cols == kStreams * z.cols && site.base.size() == kStreams &&
           site.scale.size() == 1);
    pool_.run(streams.rows, [&](int64_t r) {
        float weights[kStreams];
        mixes_of(streams.row(r), site, kStreams, weights);
        for (size_t j = 0; j < kStreams; ++j) {
            const double logit =
                static_cast<double>(weights[j]) * static_cast<double>(site.scale[0]) +
                static_cast<double>(site.base[j]);
            weights[j] = f(sigmoid(logit) + static_cast<double>(site.eps));
        }
        weighted_sum(streams.row(r), weights, z.row(r));
    });
}

}  // namespace millrace
