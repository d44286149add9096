// SPDX-License-Identifier: BSD-2-Clause
//
// Load generator for PCP servers: many users, each with an address of its own, MAP requests pipelined.
// Resends nothing; every answer is checked field by field, and each mapping is asked for once at a time.
// Driven by lines on stdin, answers with one line each on stdout; pcp_bench.py drives it.
//
//   server NAME ADDRESS PORT PID FIRST_USER USERS   a server to talk to; an IPv4 address for an IPv4 server.
//                                                   IPv6 users are one /64 apart, IPv4 users one address.
//   run NAME OPERATION COUNT CHUNK      -> "ANSWERED WRONG CPU_NS" of create, renew, delete or echo
//   paced NAME OPERATION COUNT          -> "ANSWERED WRONG CPU_NS WALL_NS": one request after the other; the
//                                          time from request to answer is the median
//   pipelined NAME OPERATION COUNT WINDOW -> "ANSWERED WRONG WALL_NS": WINDOW requests under way at any time
//   rate NAME OPERATION COUNT PER_SECOND -> "ANSWERED WRONG P50_NS P99_NS": so many a second, whether the
//                                          server keeps up or not; an answer takes from when its request
//                                          was due
//   burst NAME COUNT                    -> "ANSWERED WRONG WALL_NS" of creations sent at once
//   target NAME                         -> "ADDRESS PORT" outside, of one of the mappings
//   restarted NAME PID                  -> "ok": the server is another process now, which may still start
//   until_served NAME                   -> "RENEWED_NS PASSED_NS": how long until the mapping that `target`
//                                          told is renewed, and a packet that somebody sends there comes
//                                          in; at most 60 s
//   rss NAME                            -> octets of resident memory
//
// `run` measures the CPU time of the server's whole process, not time that passes: the server is stopped
// (SIGSTOP) while CHUNK requests are put into its socket, so it always finds its batches full, and a
// generator that is slower than the server can't be seen in the result.
#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "udp_batch.h"

namespace {

using namespace portolan::bench;  // NOLINT(google-build-using-namespace): a program of one file
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr in_port_t client_port = 40000;
constexpr std::size_t map_octets = 60;
/// Of users' internal ports.
constexpr std::uint32_t first_port = 1024;
constexpr std::uint32_t ports = 64000;
/// An answer that takes longer is lost.
constexpr auto patience = 3s;
/// Between looks at what came in: short sleeps instead of a blocking read, so that the server's time does
/// not hold the waking of the generator.
constexpr auto nap = 100us;

enum class Operation : std::uint8_t { create, renew, remove, echo };

struct Mapping {
  std::uint32_t user = 0;
  std::uint16_t internal_port = 0;
  std::uint16_t external_port = 0;
  in6_addr external_address{};
  std::array<std::uint8_t, 12> nonce{};  ///< begins with the index in the table
  bool is_waiting = false;
};

/// A big-endian field of a message.
void put16(std::byte* at, std::uint16_t value) {
  at[0] = static_cast<std::byte>(value >> 8U);
  at[1] = static_cast<std::byte>(value);
}
void put32(std::byte* at, std::uint32_t value) {
  put16(at, static_cast<std::uint16_t>(value >> 16U));
  put16(at + 2, static_cast<std::uint16_t>(value));
}
auto get16(const std::byte* at) -> std::uint16_t {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(at[0]) << 8U |
                                    std::to_integer<unsigned>(at[1]));
}
auto get32(const std::byte* at) -> std::uint32_t {
  return static_cast<std::uint32_t>(get16(at)) << 16U | get16(at + 2);
}

auto is_ipv4(const in6_addr& address) -> bool { return IN6_IS_ADDR_V4MAPPED(&address); }

/// In IPv6 form, IPv4-mapped if need be. Aborts on nonsense: the caller is our own script.
auto parse_address(const std::string& text) -> in6_addr {
  in6_addr address{};
  const std::string form = text.find(':') == std::string::npos ? "::ffff:" + text : text;
  PORTOLAN_CHECK(::inet_pton(AF_INET6, form.c_str(), &address) == 1);
  return address;
}

struct Outcome {
  std::size_t answered = 0;
  std::size_t wrong = 0;
};

/// Another process: its CPU time, its memory, stopping and continuing it.
class Process {
 public:
  explicit Process(pid_t pid) : pid_(pid) { PORTOLAN_CHECK(::clock_getcpuclockid(pid, &clock_) == 0); }

  [[nodiscard]] auto cpu_ns() const -> std::int64_t {
    timespec time{};
    PORTOLAN_CHECK(::clock_gettime(clock_, &time) == 0);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  }
  /// Returns when every thread stands still.
  void stop() const {
    PORTOLAN_CHECK(::kill(pid_, SIGSTOP) == 0);
    while (!is_stopped()) std::this_thread::sleep_for(nap);
  }
  void go_on() const { PORTOLAN_CHECK(::kill(pid_, SIGCONT) == 0); }

  [[nodiscard]] auto resident_octets() const -> std::size_t {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
    std::size_t size = 0;
    std::size_t resident = 0;
    file >> size >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  }

 private:
  [[nodiscard]] auto is_stopped() const -> bool {
    const std::filesystem::path tasks = "/proc/" + std::to_string(pid_) + "/task";
    return std::ranges::all_of(std::filesystem::directory_iterator(tasks), [](const auto& task) {
      std::ifstream file(task.path() / "stat");
      std::string line;
      std::getline(file, line);
      const auto after_name = line.rfind(") ");
      return after_name != std::string::npos && line[after_name + 2] == 'T';
    });
  }

  pid_t pid_;
  clockid_t clock_{};
};

/// A server with the mappings its users have there.
class Target {
 public:
  Target(int socket, const std::string& address, in_port_t port, pid_t pid, const std::string& first_user,
         std::uint32_t users)
      : process(pid), socket_(socket), first_user_(parse_address(first_user)), users_(users) {
    // Ports of their own as far as they go: some servers first try to map a port to itself.
    for (std::uint32_t user = 0; user < users; ++user)
      next_port_.push_back(static_cast<std::uint16_t>(first_port + user * 257 % ports));
    server_.sin6_family = AF_INET6;
    server_.sin6_port = htons(port);
    server_.sin6_addr = parse_address(address);
  }

  /// Sends `count` requests in chunks, each chunk while the server stands still.
  auto run(Operation operation, std::size_t count, std::size_t chunk, std::int64_t& cpu_ns) -> Outcome {
    Outcome outcome;
    process.stop();
    const std::int64_t before = process.cpu_ns();
    while (count > 0) {
      const std::size_t now = std::min(count, chunk);
      const std::size_t sent = send(operation, choose(operation, now));
      process.go_on();
      collect(operation, sent, outcome);
      process.stop();
      settle(operation);
      count -= now;
    }
    cpu_ns = process.cpu_ns() - before;
    process.go_on();
    return outcome;
  }

  /// Sends `count` requests, each after the answer to the one before.
  auto run_paced(Operation operation, std::size_t count, std::int64_t& cpu_ns,
                 std::chrono::nanoseconds& median) -> Outcome {
    Outcome outcome;
    std::vector<std::chrono::nanoseconds> times;
    const std::int64_t before = process.cpu_ns();
    for (std::size_t i = 0; i < count; ++i) {
      const std::vector<std::uint32_t> chosen = choose(operation, 1);
      const auto start = Clock::now();
      const std::size_t sent = send(operation, chosen);
      pollfd ready{.fd = socket_, .events = POLLIN, .revents = 0};
      ::poll(&ready, 1, std::chrono::milliseconds(patience).count());
      const auto end = Clock::now();
      collect(operation, sent, outcome);
      settle(operation);
      times.push_back(end - start);
    }
    cpu_ns = process.cpu_ns() - before;
    std::ranges::nth_element(times, times.begin() + std::ssize(times) / 2);
    median = times[times.size() / 2];
    return outcome;
  }

  /// Has `window` requests under way at any time.
  auto run_pipelined(Operation operation, std::size_t count, std::size_t window) -> Outcome {
    Outcome outcome;
    const std::vector<std::uint32_t> chosen = choose(operation, count);
    std::size_t sent = 0;
    std::size_t heard = 0;
    auto last = Clock::now();
    while (heard < count && Clock::now() - last < patience) {
      const std::size_t free = std::min(window - (sent - heard), count - sent);
      if (free >= batch_max || (free > 0 && sent + free == count)) {
        const auto next = std::span(chosen).subspan(sent, std::min(free, batch_max));
        send(operation, {next.begin(), next.end()});
        sent += next.size();
      }
      const std::size_t answers = receive(operation, outcome);
      heard += answers;
      if (answers > 0) last = Clock::now();
    }
    settle(operation);
    return outcome;
  }

  /// Sends `per_second` requests each second; how long each answer took, from when its request was due.
  auto run_at_rate(Operation operation, std::size_t count, std::size_t per_second,
                   std::vector<std::chrono::nanoseconds>& times) -> Outcome {
    Outcome outcome;
    const std::vector<std::uint32_t> chosen = choose(operation, count);
    due_.assign(mappings_.size(), {});
    std::size_t sent = 0;
    std::size_t heard = 0;
    const auto start = Clock::now();
    const auto due_at = [&](std::size_t request) {
      return start + std::chrono::nanoseconds(request * 1'000'000'000 / per_second);
    };
    auto last = start;
    while (heard < count && Clock::now() - last < patience) {
      std::vector<std::uint32_t> next;
      while (sent < count && next.size() < batch_max && due_at(sent) <= Clock::now()) {
        due_[chosen[sent]] = due_at(sent);
        next.push_back(chosen[sent++]);
      }
      if (!next.empty()) {
        send(operation, next);
        last = Clock::now();
      }
      const std::size_t answers = receive(operation, outcome, &times);
      heard += answers;
      if (answers > 0) last = Clock::now();
      if (answers == 0 && next.empty()) std::this_thread::sleep_for(nap);
    }
    settle(operation);
    return outcome;
  }

  /// One of the mappings, for until_served(): its external address and port.
  auto pick() -> std::pair<std::string, std::uint16_t> {
    picked_ = choose(Operation::renew, 1).front();
    std::array<char, INET6_ADDRSTRLEN> text{};
    PORTOLAN_CHECK(::inet_ntop(AF_INET, &mappings_[picked_].external_address.s6_addr[12], text.data(),
                               text.size()) != nullptr);
    return {text.data(), mappings_[picked_].external_port};
  }
  /// How long it takes until that one is renewed, and until a packet comes in through it.
  auto until_served(std::chrono::nanoseconds& renewed, std::chrono::nanoseconds& passed) -> void {
    const int inside = open_udp(mappings_[picked_].internal_port);
    const auto start = Clock::now();
    const std::vector<std::uint32_t> one{picked_};
    renewed = passed = 60s;
    while ((renewed == 60s || passed == 60s) && Clock::now() - start < 60s) {
      if (renewed == 60s) send(Operation::renew, one);
      std::this_thread::sleep_for(1ms);
      const std::size_t answers = in_.receive(socket_, false);
      for (std::size_t i = 0; i < answers; ++i)
        // Others are the same once more.
        if (mapping_of_answer(Operation::renew, i) && renewed == 60s) renewed = Clock::now() - start;
      std::byte octet{};
      if (passed == 60s && ::recv(inside, &octet, 1, MSG_DONTWAIT) >= 0) passed = Clock::now() - start;
    }
    std::this_thread::sleep_for(100ms);
    while (in_.receive(socket_, false) > 0) continue;
    mappings_[picked_].is_waiting = false;
    ::close(inside);
  }

  /// Sends `count` creations as fast as it can and hears what comes.
  auto burst(std::size_t count) -> Outcome {
    Outcome outcome;
    collect(Operation::create, send(Operation::create, choose(Operation::create, count)), outcome);
    settle(Operation::create);
    return outcome;
  }

  Process process;

 private:
  /// Mappings to ask for, none twice. Those to renew or delete are drawn from all.
  auto choose(Operation operation, std::size_t count) -> std::vector<std::uint32_t> {
    chosen_.clear();
    if (operation == Operation::create) {
      for (std::size_t i = 0; i < count; ++i) chosen_.push_back(make());
      return chosen_;
    }
    if (operation == Operation::echo) {
      // The users that a server of this many mappings hears from, in as random an order.
      std::uniform_int_distribution<std::uint32_t> any(0, users_ - 1);
      for (std::size_t i = 0; i < count; ++i) chosen_.push_back(make(any(random_)));
      return chosen_;
    }
    PORTOLAN_CHECK(count <= live_.size());
    for (std::size_t i = 0; i < count; ++i) {
      std::uniform_int_distribution<std::size_t> rest(i, live_.size() - 1);
      std::swap(live_[i], live_[rest(random_)]);
      chosen_.push_back(live_[i]);
    }
    return chosen_;
  }

  auto make() -> std::uint32_t { return make(next_user_++ % users_); }
  auto make(std::uint32_t user) -> std::uint32_t {
    std::uint32_t index = static_cast<std::uint32_t>(mappings_.size());
    if (free_.empty()) {
      mappings_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Mapping& mapping = mappings_[index];
    mapping = {.user = user, .internal_port = next_port_[user]};
    next_port_[user] = static_cast<std::uint16_t>(first_port + (next_port_[user] - first_port + 1U) % ports);
    for (std::uint8_t& octet : mapping.nonce) octet = static_cast<std::uint8_t>(random_());
    std::memcpy(mapping.nonce.data(), &index, sizeof index);
    return index;
  }

  [[nodiscard]] auto address_of(std::uint32_t user) const -> in6_addr {
    in6_addr address = first_user_;
    auto* words = reinterpret_cast<std::uint32_t*>(&address);
    std::uint32_t& word = is_ipv4(address) ? words[3] : words[1];
    word = htonl(ntohl(word) + user);
    return address;
  }

  void write(Operation operation, const Mapping& mapping, std::byte* at) const {
    std::memset(at, 0, map_octets);
    at[0] = std::byte{2};
    at[1] = std::byte{1};
    // Not all the same, so that they don't expire in the same second.
    if (operation != Operation::remove) put32(at + 4, 36000 + mapping.internal_port % 4096U);
    const in6_addr client = address_of(mapping.user);
    std::memcpy(at + 8, &client, sizeof client);
    std::memcpy(at + 24, mapping.nonce.data(), mapping.nonce.size());
    at[36] = std::byte{IPPROTO_UDP};
    put16(at + 40, mapping.internal_port);
    // No preference among IPv4 addresses (RFC 6887 s5); the port likewise, so that the server chooses.
    at[54] = at[55] = std::byte{0xff};
  }

  auto send(Operation operation, const std::vector<std::uint32_t>& indexes) -> std::size_t {
    std::size_t sent = 0;
    std::size_t filled = 0;
    for (std::size_t i = 0; i < indexes.size(); ++i) {
      Mapping& mapping = mappings_[indexes[i]];
      mapping.is_waiting = true;
      write(operation, mapping, out_.payloads[filled].data());
      out_.peers[filled] = server_;
      out_.address(filled, map_octets, {.ipi6_addr = address_of(mapping.user), .ipi6_ifindex = 0});
      if (++filled < batch_max && i + 1 < indexes.size()) continue;
      sent += out_.send(socket_, filled);
      filled = 0;
    }
    return sent;
  }

  void collect(Operation operation, std::size_t expected, Outcome& outcome) {
    std::size_t heard = 0;
    auto last = Clock::now();
    while (heard < expected) {
      const std::size_t count = receive(operation, outcome);
      heard += count;
      if (count > 0) {
        last = Clock::now();
      } else {
        if (Clock::now() - last > patience) break;
        std::this_thread::sleep_for(nap);
      }
    }
  }

  /// Takes what is there, and notes how long right answers took if it is asked to; how many came of the
  /// server.
  auto receive(Operation operation, Outcome& outcome, std::vector<std::chrono::nanoseconds>* times = nullptr)
      -> std::size_t {
    const std::size_t count = in_.receive(socket_, false);
    const auto now = Clock::now();
    std::size_t heard = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_of_the_server(i)) continue;
      ++heard;
      const auto index = mapping_of_answer(operation, i);
      if (index) {
        ++outcome.answered;
        if (times != nullptr) times->push_back(now - due_[*index]);
      } else if (outcome.wrong++ == 0) {
        show(i);
      }
    }
    return heard;
  }

  /// A server that was measured before may still answer what it was asked while it started.
  [[nodiscard]] auto is_of_the_server(std::size_t i) const -> bool {
    return in_.peers[i].sin6_port == server_.sin6_port &&
           std::memcmp(&in_.peers[i].sin6_addr, &server_.sin6_addr, sizeof(in6_addr)) == 0;
  }

  /// For a look at what is wrong with answer `i`.
  void show(std::size_t i) const {
    std::fprintf(stderr, "pcp_load: wrong answer of %u octets:", in_.messages[i].msg_len);
    for (const std::byte octet : std::span(in_.payloads[i]).first(map_octets))
      std::fprintf(stderr, " %02x", std::to_integer<unsigned>(octet));
    std::fputc('\n', stderr);
  }

  /// The mapping that waits for answer `i`, if that says what it must.
  auto mapping_of_answer(Operation operation, std::size_t i) -> std::optional<std::uint32_t> {
    const std::byte* answer = in_.payloads[i].data();
    if (in_.messages[i].msg_len != map_octets) return {};
    std::uint32_t index = 0;
    std::memcpy(&index, answer + 24, sizeof index);
    if (index >= mappings_.size()) return {};
    Mapping& mapping = mappings_[index];
    const in6_addr client = address_of(mapping.user);
    const in6_addr local = in_.local_of(i).ipi6_addr;
    if (!mapping.is_waiting || std::memcmp(&local, &client, sizeof client) != 0) return {};
    if (operation == Operation::echo) {
      std::array<std::byte, map_octets> request{};
      write(operation, mapping, request.data());
      if (std::memcmp(request.data(), answer, map_octets) != 0) return {};
    } else if (!matches(operation, mapping, answer)) {
      return {};
    }
    mapping.is_waiting = false;
    return index;
  }

  /// RFC 6887 s7.2, s11.1.
  static auto matches(Operation operation, Mapping& mapping, const std::byte* answer) -> bool {
    constexpr std::byte map_response{0x81};
    if (answer[0] != std::byte{2} || answer[1] != map_response || answer[3] != std::byte{0}) return false;
    if (std::memcmp(answer + 24, mapping.nonce.data(), mapping.nonce.size()) != 0) return false;
    if (answer[36] != std::byte{IPPROTO_UDP} || get16(answer + 40) != mapping.internal_port) return false;
    const std::uint32_t lifetime = get32(answer + 4);
    if (operation == Operation::remove) return lifetime == 0;
    const std::uint16_t port = get16(answer + 42);
    in6_addr external{};
    std::memcpy(&external, answer + 44, sizeof external);
    if (lifetime == 0 || port == 0 || !is_ipv4(external)) return false;
    if (operation == Operation::create) {
      mapping.external_port = port;
      mapping.external_address = external;
      return true;
    }
    return port == mapping.external_port &&
           std::memcmp(&external, &mapping.external_address, sizeof external) == 0;
  }

  /// Brings the list of mappings up to date after a chunk. What was not answered is forgotten.
  void settle(Operation operation) {
    if (operation == Operation::remove) live_.erase(live_.begin(), live_.begin() + std::ssize(chosen_));
    for (const std::uint32_t index : chosen_) {
      const bool is_answered = !std::exchange(mappings_[index].is_waiting, false);
      if (operation == Operation::create && is_answered)
        live_.push_back(index);
      else if (operation != Operation::renew)
        free_.push_back(index);
    }
  }

  int socket_;
  sockaddr_in6 server_{};
  in6_addr first_user_;
  std::uint32_t users_;
  std::uint32_t next_user_ = 0;
  std::vector<std::uint16_t> next_port_;
  std::vector<Mapping> mappings_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> live_;
  std::vector<std::uint32_t> chosen_;
  std::vector<Clock::time_point> due_;  ///< of requests, by mapping
  std::uint32_t picked_ = 0;
  std::mt19937 random_{1};
  UdpBatch out_;
  UdpBatch in_;
};

auto operation_of(const std::string& word) -> Operation {
  if (word == "create") return Operation::create;
  if (word == "renew") return Operation::renew;
  if (word == "delete") return Operation::remove;
  PORTOLAN_CHECK(word == "echo");
  return Operation::echo;
}

}  // namespace

auto main() -> int {
  const int socket = open_udp(client_port);
  // Users' addresses are routed here, but no interface has them.
  constexpr int on = 1;
  PORTOLAN_CHECK(::setsockopt(socket, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on) == 0);
  std::map<std::string, Target> targets;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command;
    std::string name;
    words >> command >> name;
    if (command == "server") {
      std::string address;
      std::string first_user;
      in_port_t port = 0;
      pid_t pid = 0;
      std::uint32_t users = 0;
      words >> address >> port >> pid >> first_user >> users;
      PORTOLAN_CHECK(!words.fail() && users > 0);
      targets.try_emplace(name, socket, address, port, pid, first_user, users);
      std::puts("ok");
    } else if (command == "run") {
      std::string operation;
      std::size_t count = 0;
      std::size_t chunk = 0;
      words >> operation >> count >> chunk;
      PORTOLAN_CHECK(!words.fail() && chunk > 0);
      std::int64_t cpu_ns = 0;
      const Outcome outcome = targets.at(name).run(operation_of(operation), count, chunk, cpu_ns);
      std::printf("%zu %zu %lld\n", outcome.answered, outcome.wrong, static_cast<long long>(cpu_ns));
    } else if (command == "paced") {
      std::string operation;
      std::size_t count = 0;
      words >> operation >> count;
      PORTOLAN_CHECK(!words.fail() && count > 0);
      std::int64_t cpu_ns = 0;
      std::chrono::nanoseconds median{};
      const Outcome outcome = targets.at(name).run_paced(operation_of(operation), count, cpu_ns, median);
      std::printf("%zu %zu %lld %lld\n", outcome.answered, outcome.wrong, static_cast<long long>(cpu_ns),
                  static_cast<long long>(median.count()));
    } else if (command == "pipelined") {
      std::string operation;
      std::size_t count = 0;
      std::size_t window = 0;
      words >> operation >> count >> window;
      PORTOLAN_CHECK(!words.fail() && window >= batch_max);
      const auto start = Clock::now();
      const Outcome outcome = targets.at(name).run_pipelined(operation_of(operation), count, window);
      const std::chrono::nanoseconds wall = Clock::now() - start;
      std::printf("%zu %zu %lld\n", outcome.answered, outcome.wrong, static_cast<long long>(wall.count()));
    } else if (command == "rate") {
      std::string operation;
      std::size_t count = 0;
      std::size_t per_second = 0;
      words >> operation >> count >> per_second;
      PORTOLAN_CHECK(!words.fail() && count >= 100 && per_second > 0);
      std::vector<std::chrono::nanoseconds> times;
      const Outcome outcome = targets.at(name).run_at_rate(operation_of(operation), count, per_second, times);
      std::ranges::sort(times);
      const auto part = [&](std::size_t percent) {
        return times.empty() ? 0LL
                             : static_cast<long long>(times[(times.size() - 1) * percent / 100].count());
      };
      std::printf("%zu %zu %lld %lld\n", outcome.answered, outcome.wrong, part(50), part(99));
    } else if (command == "target") {
      const auto [address, port] = targets.at(name).pick();
      std::printf("%s %u\n", address.c_str(), unsigned{port});
    } else if (command == "restarted") {
      pid_t pid = 0;
      words >> pid;
      targets.at(name).process = Process(pid);
      std::puts("ok");
    } else if (command == "until_served") {
      std::chrono::nanoseconds renewed{};
      std::chrono::nanoseconds passed{};
      targets.at(name).until_served(renewed, passed);
      std::printf("%lld %lld\n", static_cast<long long>(renewed.count()),
                  static_cast<long long>(passed.count()));
    } else if (command == "burst") {
      std::size_t count = 0;
      words >> count;
      const auto start = Clock::now();
      const Outcome outcome = targets.at(name).burst(count);
      const std::chrono::nanoseconds wall = Clock::now() - start;
      std::printf("%zu %zu %lld\n", outcome.answered, outcome.wrong, static_cast<long long>(wall.count()));
    } else {
      PORTOLAN_CHECK(command == "rss");
      std::printf("%zu\n", targets.at(name).process.resident_octets());
    }
    std::fflush(stdout);
  }
  return 0;
}
