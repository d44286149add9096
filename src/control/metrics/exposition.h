// SPDX-License-Identifier: BSD-2-Clause
//
// Prometheus' text format, version 0.0.4: families of samples, each with its help and type once, before them.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace portolan::control {

/// For the HTTP header Content-Type.
inline constexpr std::string_view exposition_content_type = "text/plain; version=0.0.4; charset=utf-8";

class Exposition {
 public:
  /// Values need not be escaped.
  using Label = std::pair<std::string_view, std::string_view>;
  using Labels = std::initializer_list<Label>;

  /// Begins a family; its samples follow. Names as Prometheus wants them: that of a counter ends in _total.
  void counter(std::string_view name, std::string_view help) { family(name, "counter", help); }
  void gauge(std::string_view name, std::string_view help) { family(name, "gauge", help); }

  /// A sample of the family.
  void sample(std::unsigned_integral auto value, Labels labels = {}) { sample_count(value, labels); }
  void sample(double value, Labels labels = {});

  /// Begins a family of histograms; each(bounds, counts, sum) as a Histogram has them.
  void histogram(std::string_view name, std::string_view help) { family(name, "histogram", help); }
  template <typename Histogram>
  void sample_histogram(const Histogram& histogram, Labels labels = {}) {
    sample_histogram(histogram.upper_bounds(), histogram.counts(), histogram.sum(), labels);
  }
  /// In      counts: of each bucket alone, one more than bounds
  void sample_histogram(std::span<const double> bounds, std::span<const std::uint64_t> counts, double sum,
                        Labels labels);

  /// A family of one sample.
  template <typename Value>
  void counter(std::string_view name, std::string_view help, Value value) {
    counter(name, help);
    sample(value);
  }
  template <typename Value>
  void gauge(std::string_view name, std::string_view help, Value value) {
    gauge(name, help);
    sample(value);
  }

  /// All of it.
  [[nodiscard]] auto take() -> std::string { return std::exchange(text_, {}); }

 private:
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample_count(std::uint64_t value, Labels labels);
  void begin_sample(std::string_view suffix, Labels labels, std::string_view bound = {});

  std::string name_;
  std::string text_;
};

}  // namespace portolan::control
