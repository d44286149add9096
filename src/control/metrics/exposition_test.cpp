// SPDX-License-Identifier: BSD-2-Clause
#include "control/metrics/exposition.h"

#include <limits>

#include <gtest/gtest.h>

#include "base/histogram.h"

namespace portolan::control {
namespace {

TEST(Exposition, families_have_help_and_type_before_their_samples) {
  Exposition out;
  out.counter("a_total", "What a is.");
  out.sample(7U, {{"kind", "x"}});
  out.sample(std::numeric_limits<std::uint64_t>::max(), {{"kind", "y"}, {"side", "in"}});
  out.gauge("b", "B.", 0.5);
  out.gauge("c", "C.", true);
  EXPECT_EQ(out.take(),
            "# HELP a_total What a is.\n"
            "# TYPE a_total counter\n"
            "a_total{kind=\"x\"} 7\n"
            "a_total{kind=\"y\",side=\"in\"} 18446744073709551615\n"
            "# HELP b B.\n"
            "# TYPE b gauge\n"
            "b 0.5\n"
            "# HELP c C.\n"
            "# TYPE c gauge\n"
            "c 1\n");
  EXPECT_EQ(out.take(), "");
}

TEST(Exposition, what_would_break_a_line_or_value_is_escaped) {
  Exposition out;
  out.gauge("a", "A \"quote\", a \\ and\na line.");
  out.sample(1U, {{"path", "C:\\x\n\"y\""}});
  EXPECT_EQ(out.take(),
            "# HELP a A \"quote\", a \\\\ and\\na line.\n"
            "# TYPE a gauge\n"
            "a{path=\"C:\\\\x\\n\\\"y\\\"\"} 1\n");
}

constexpr std::array<double, 3> bounds{0.001, 0.5, 2};

TEST(Exposition, buckets_of_a_histogram_count_what_is_below_as_well) {
  Histogram<bounds> times;
  for (const double value : {0.0005, 0.001, 0.4, 2.0, 3.0}) times.observe(value);
  Exposition out;
  out.histogram("t_seconds", "T.");
  out.sample_histogram(times, {{"device", "d"}});
  out.sample_histogram(Histogram<bounds>());
  EXPECT_EQ(out.take(),
            "# HELP t_seconds T.\n"
            "# TYPE t_seconds histogram\n"
            "t_seconds_bucket{device=\"d\",le=\"0.001\"} 2\n"
            "t_seconds_bucket{device=\"d\",le=\"0.5\"} 3\n"
            "t_seconds_bucket{device=\"d\",le=\"2\"} 4\n"
            "t_seconds_bucket{device=\"d\",le=\"+Inf\"} 5\n"
            "t_seconds_sum{device=\"d\"} 5.4015\n"
            "t_seconds_count{device=\"d\"} 5\n"
            "t_seconds_bucket{le=\"0.001\"} 0\n"
            "t_seconds_bucket{le=\"0.5\"} 0\n"
            "t_seconds_bucket{le=\"2\"} 0\n"
            "t_seconds_bucket{le=\"+Inf\"} 0\n"
            "t_seconds_sum 0\n"
            "t_seconds_count 0\n");
}

}  // namespace
}  // namespace portolan::control
