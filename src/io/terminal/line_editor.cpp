// SPDX-License-Identifier: BSD-2-Clause
#include "io/terminal/line_editor.h"

#include <histedit.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <system_error>

#include "base/check.h"

namespace portolan::io {

struct LineEditor::State {
  LineHandlers handlers;
  std::filesystem::path file;
  std::string prompt;
  EditLine* editor = nullptr;
  History* history = nullptr;
  bool is_interrupted = false;

  static auto of(EditLine* editor) -> State& {
    void* state = nullptr;
    el_get(editor, EL_CLIENTDATA, &state);
    return *static_cast<State*>(state);
  }
  [[nodiscard]] auto before_cursor() const -> std::string_view {
    const LineInfo* const line = el_line(editor);
    return {line->buffer, static_cast<std::size_t>(line->cursor - line->buffer)};
  }
  /// Below the line being typed, which is drawn again afterwards.
  static auto show(const std::string& text) -> unsigned char {
    std::fputc('\n', stdout);
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    return CC_REDISPLAY;
  }

  static auto on_prompt(EditLine* editor) -> char* { return of(editor).prompt.data(); }

  static auto on_tab(EditLine* editor, int /*key*/) -> unsigned char {
    const State& state = of(editor);
    const std::string before(state.before_cursor());
    const LineCompletion completion = state.handlers.complete(before);
    const std::string_view replaced = std::string_view(before).substr(before.size() - completion.replaced);
    if (completion.text == replaced)
      return completion.choices.empty() ? CC_REFRESH_BEEP : show(completion.choices);
    // What is replaced is counted in characters there, and words of commands are ASCII: only what differs
    // goes.
    std::size_t kept = 0;
    while (kept < replaced.size() && kept < completion.text.size() && replaced[kept] == completion.text[kept])
      ++kept;
    el_deletestr(editor, static_cast<int>(characters_in(replaced.substr(kept))));
    if (el_insertstr(editor, completion.text.c_str() + kept) != 0) return CC_REFRESH_BEEP;
    return CC_REFRESH;
  }

  static auto characters_in(std::string_view text) -> std::size_t {
    std::size_t characters = 0;
    for (const char octet : text) characters += (static_cast<unsigned char>(octet) & 0xc0U) != 0x80U ? 1 : 0;
    return characters;
  }

  static auto on_question(EditLine* editor, int key) -> unsigned char {
    const State& state = of(editor);
    if (const auto text = state.handlers.explain(std::string(state.before_cursor()))) return show(*text);
    const std::string typed(1, static_cast<char>(key));
    return el_insertstr(editor, typed.c_str()) == 0 ? CC_REFRESH : CC_REFRESH_BEEP;
  }

  /// libedit gives the terminal back before the signal stops the program, and takes it again afterwards.
  static auto on_suspend(EditLine* /*editor*/, int /*key*/) -> unsigned char {
    std::raise(SIGTSTP);
    return CC_REDISPLAY;
  }

  static auto on_interrupt(EditLine* editor, int /*key*/) -> unsigned char {
    std::fputs("^C\n", stdout);
    of(editor).is_interrupted = true;
    return CC_NEWLINE;
  }
};

LineEditor::LineEditor(const std::string& program, std::filesystem::path history, LineHandlers handlers)
    : state_(std::make_unique<State>()) {
  state_->handlers = std::move(handlers);
  state_->file = std::move(history);
  state_->editor = el_init(program.c_str(), stdin, stdout, stderr);
  state_->history = history_init();
  PORTOLAN_CHECK(state_->editor != nullptr && state_->history != nullptr);
  EditLine* const editor = state_->editor;
  el_set(editor, EL_CLIENTDATA, state_.get());
  el_set(editor, EL_PROMPT, &State::on_prompt);
  el_set(editor, EL_EDITOR, "emacs");
  // Resizing, and the terminal's modes when the program is stopped and goes on.
  el_set(editor, EL_SIGNAL, 1);
  HistEvent event{};
  ::history(state_->history, &event, H_SETSIZE, history_lines_max);
  ::history(state_->history, &event, H_SETUNIQUE, 1);
  if (!state_->file.empty()) ::history(state_->history, &event, H_LOAD, state_->file.c_str());
  el_set(editor, EL_HIST, &::history, state_->history);
  // The other el_set() copies names that it never frees.
  el_wset(editor, EL_ADDFN, L"portolan-complete", L"complete the word", &State::on_tab);
  el_wset(editor, EL_ADDFN, L"portolan-explain", L"say what may come here", &State::on_question);
  el_wset(editor, EL_ADDFN, L"portolan-interrupt", L"forget the line", &State::on_interrupt);
  el_wset(editor, EL_ADDFN, L"portolan-suspend", L"stop the program", &State::on_suspend);
  el_set(editor, EL_BIND, "^I", "portolan-complete", nullptr);
  el_set(editor, EL_BIND, "?", "portolan-explain", nullptr);
  el_set(editor, EL_BIND, "^C", "portolan-interrupt", nullptr);
  el_set(editor, EL_BIND, "^Z", "portolan-suspend", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  // While a line is typed Ctrl-C is a key, bound above; the signal would end the program.
  el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
}

LineEditor::~LineEditor() {
  history_end(state_->history);
  el_end(state_->editor);
}

auto LineEditor::read(const std::string& prompt) -> Line {
  state_->prompt = prompt;
  state_->is_interrupted = false;
  int octets = 0;
  const char* const text = el_gets(state_->editor, &octets);
  if (state_->is_interrupted) {
    el_reset(state_->editor);
    return {.kind = Line::Kind::interrupted, .text = {}};
  }
  if (text == nullptr || octets <= 0) return {};
  std::string line(text);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return {.kind = Line::Kind::typed, .text = std::move(line)};
}

auto LineEditor::remember(const std::string& line) -> bool {
  HistEvent event{};
  ::history(state_->history, &event, H_ENTER, line.c_str());
  if (state_->file.empty()) return true;
  const std::filesystem::path folder = state_->file.parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(folder, error))
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  return ::history(state_->history, &event, H_SAVE, state_->file.c_str()) >= 0;
}

}  // namespace portolan::io
