// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/sequence_run.h"

#include <utility>

#include <fmt/format.h>

#include "portolan/composing.h"

namespace portolan {

SequenceRun::SequenceRun(io::EventLoop& loop, Lines& lines, Sequence sequence, ServerOptions defaults,
                         std::function<void(const StepReport&)> reported, std::function<void()> ended)
    : lines_(lines),
      sequence_(std::move(sequence)),
      defaults_(std::move(defaults)),
      reported_(std::move(reported)),
      ended_(std::move(ended)),
      timer_(loop.timer([this] { timed_out(); })) {}

void SequenceRun::start() { begin(); }

void SequenceRun::begin() {
  state_ = State::pausing;
  timer_.arm(io::monotonic_now() + step().wait);
}

void SequenceRun::timed_out() {
  if (state_ == State::pausing) return send();
  if (step().answer != Step::Answer::expected) return finish({}, nullptr);
  if (!unlike_.empty()) return finish(std::exchange(unlike_, {}), nullptr);
  finish({fmt::format("no answer came within {} s", timeout().count())}, nullptr);
}

auto SequenceRun::timeout() const -> Seconds {
  return step().timeout.value_or(step().answer == Step::Answer::expected ? defaults_.timeout : step_timeout);
}

void SequenceRun::send() {
  state_ = State::waiting;
  sent_.reset();
  unlike_.clear();
  fields_ = step().fields;
  if (!variables_.contains("client"))
    if (const auto line = lines_.to(defaults_, {})) {
      variables_["client"] = to_string((*line)->choice.client_address);
      variables_["server"] = (*line)->choice.address_text();
    }
  for (ExpectedField& field : fields_)
    if (auto* text = std::get_if<std::string>(&field.value)) {
      auto value = filled(*text);
      if (!value) return finish({value.error()}, nullptr);
      *text = *std::move(value);
    }
  if (!step().draft.empty()) {
    const auto draft = filled(step().draft);
    if (!draft) return finish({draft.error()}, nullptr);
    const auto command = parse_draft(*draft, defaults_);
    if (!command) return finish({command.error()}, nullptr);
    const auto line = lines_.to(command->common, command->source_port);
    if (!line) return finish({line.error().text}, nullptr);
    const auto message = message_of(*command, (*line)->choice.client_address, random_);
    if (!message) return finish({message.error()}, nullptr);
    auto sent = lines_.send(**line, *message);
    if (!sent) return finish({sent.error()}, nullptr);
    sent_ = *std::move(sent);
  }
  timer_.arm(io::monotonic_now() + timeout());
}

void SequenceRun::heard(const Traffic& traffic) {
  if (state_ != State::waiting || traffic.kind == Traffic::Kind::sent) return;
  if (!sent_) return take(traffic);
  if (traffic.source == sent_->destination && traffic.destination == sent_->source) take(traffic);
}

void SequenceRun::take(const Traffic& answer) {
  if (step().answer == Step::Answer::nothing)
    return finish({fmt::format("{} came, nothing is expected", answer_word(answer.payload))}, &answer);
  auto found = differences(fields_, answer.payload);
  if (!sent_ && !found.empty()) {
    unlike_ = std::move(found);
    return;
  }
  finish(std::move(found), &answer);
}

void SequenceRun::finish(std::vector<std::string> differences, const Traffic* answer) {
  timer_.disarm();
  if (answer != nullptr)
    for (const auto& [variable, field] : step().saved) {
      variables_[variable] = value_of(field, answer->payload);
      if (variables_[variable].empty())
        differences.push_back(fmt::format("{} is not there to be saved as {}", field, variable));
    }
  const bool was_last = number_ + 1 == sequence_.steps.size();
  StepReport report{.number = number_,
                    .differences = std::move(differences),
                    .answer = answer != nullptr ? answer_word(answer->payload) : "nothing",
                    .latency = {}};
  if (answer != nullptr && sent_) report.latency = answer->time - sent_->time;
  if (was_last) {
    state_ = State::ended;
    // Each may destroy this.
    const auto reported = reported_;
    const auto ended = ended_;
    reported(report);
    return ended();
  }
  ++number_;
  begin();
  reported_(report);
}

auto SequenceRun::filled(const std::string& text) const -> std::expected<std::string, std::string> {
  std::string out;
  for (std::size_t at = 0;;) {
    const auto open = text.find("${", at);
    const auto close = text.find('}', open == std::string::npos ? open : open + 2);
    if (open == std::string::npos || close == std::string::npos) return out + text.substr(at);
    const std::string name = text.substr(open + 2, close - open - 2);
    const auto found = variables_.find(name);
    if (found == variables_.end())
      return std::unexpected(fmt::format("${{{}}}: no step before has saved such a variable", name));
    out += text.substr(at, open - at) + found->second;
    at = close + 1;
  }
}

}  // namespace portolan
