// SPDX-License-Identifier: BSD-2-Clause
#include "io/rights.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "io/system.h"

namespace portolan::io {
namespace {

using Set = std::uint64_t;

struct Sets {
  Set effective = 0;
  Set permitted = 0;
  Set inheritable = 0;
};

auto read_sets() -> Sets {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> words{};
  // Of this thread itself, which can't fail.
  static_cast<void>(::syscall(SYS_capget, &header, words.data()));
  const auto joined = [&](auto member) { return Set{words[1].*member} << 32U | words[0].*member; };
  return {.effective = joined(&__user_cap_data_struct::effective),
          .permitted = joined(&__user_cap_data_struct::permitted),
          .inheritable = joined(&__user_cap_data_struct::inheritable)};
}

auto write_sets(const Sets& sets) -> bool {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> words{};
  for (unsigned i = 0; i < words.size(); ++i)
    words[i] = {.effective = static_cast<std::uint32_t>(sets.effective >> 32U * i),
                .permitted = static_cast<std::uint32_t>(sets.permitted >> 32U * i),
                .inheritable = static_cast<std::uint32_t>(sets.inheritable >> 32U * i)};
  return ::syscall(SYS_capset, &header, words.data()) == 0;
}

auto set_of(std::span<const Capability> capabilities) -> Set {
  Set set = 0;
  for (const Capability each : capabilities) set |= Set{1} << static_cast<unsigned>(each);
  return set;
}

struct User {
  uid_t user = 0;
  gid_t group = 0;
};

/// `aside` is permitted, and not in use. Programs inherit what is used if they are to.
auto keep(std::span<const Capability> wanted, Set aside, bool for_programs)
    -> std::expected<void, std::string> {
  const Set present = read_sets().permitted;
  const Set used = set_of(wanted) & present;
  if (!write_sets(
          {.effective = used, .permitted = used | (aside & present), .inheritable = for_programs ? used : 0}))
    return std::unexpected(errno_text("capset", errno));
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return std::unexpected(errno_text("PR_CAP_AMBIENT_CLEAR_ALL", errno));
  if (!for_programs) return {};
  for (const Capability each : wanted)
    if ((used & set_of(std::span(&each, 1))) != 0 &&
        ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, static_cast<unsigned long>(each), 0, 0) != 0)
      return std::unexpected(errno_text(fmt::format("handing on {}", to_string(each)), errno));
  return {};
}

auto find_user(const std::string& name) -> std::optional<User> {
  const passwd* const found = ::getpwnam(name.c_str());
  return found == nullptr ? std::nullopt : std::optional(User{found->pw_uid, found->pw_gid});
}

/// What no program that it starts may get, not even root's.
void limit_programs(Set needed) {
  for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    if ((needed >> capability & 1U) == 0)
      // Without CAP_SETPCAP it is its starter's to limit.
      static_cast<void>(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0));
}

auto change_user(const std::string& name, const User& user) -> std::expected<void, std::string> {
  if (::geteuid() == user.user && ::getuid() == user.user) return {};
  // The capabilities stay with this thread, for keep_only() to choose from.
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || ::initgroups(name.c_str(), user.group) != 0 ||
      ::setresgid(user.group, user.group, user.group) != 0 ||
      ::setresuid(user.user, user.user, user.user) != 0 || ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0)
    return std::unexpected(errno_text(fmt::format("becoming user {}", name), errno));
  return {};
}

}  // namespace

auto to_string(Capability capability) -> std::string {
  switch (capability) {
    case Capability::dac_override: return "CAP_DAC_OVERRIDE";
    case Capability::net_bind_service: return "CAP_NET_BIND_SERVICE";
    case Capability::net_admin: return "CAP_NET_ADMIN";
    case Capability::net_raw: return "CAP_NET_RAW";
    case Capability::bpf: return "CAP_BPF";
  }
  return "?";
}

auto user_exists(const std::string& name) -> bool { return find_user(name).has_value(); }

auto group_number(const std::string& name) -> std::optional<gid_t> {
  const group* const found = ::getgrnam(name.c_str());
  return found == nullptr ? std::nullopt : std::optional(found->gr_gid);
}

auto make_directory_for(const std::filesystem::path& directory, const std::string& user)
    -> std::expected<void, std::string> {
  std::error_code error;
  const bool is_new = std::filesystem::create_directories(directory, error);
  if (error) return std::unexpected(fmt::format("folder {}: {}", directory.string(), error.message()));
  if (!is_new || user.empty() || ::geteuid() != 0) return {};
  // One that was there before is somebody's, who may have put anything there: it stays theirs.
  const auto owner = find_user(user);
  if (owner && ::lchown(directory.c_str(), owner->user, owner->group) != 0)
    return std::unexpected(errno_text(fmt::format("giving {} to {}", directory.string(), user), errno));
  return {};
}

auto may_become(const std::string& user) -> std::expected<void, std::string> {
  if (user.empty()) return {};
  const auto found = find_user(user);
  if (!found)
    return std::unexpected(fmt::format("user {} does not exist: make it, or name another in run_as", user));
  if (::geteuid() == 0 || ::geteuid() == found->user) return {};
  return std::unexpected(fmt::format(
      "was started by a user who may not become {}: start it as root, or as {} itself", user, user));
}

auto become(const std::string& user, std::span<const Capability> needed, bool for_programs)
    -> std::expected<void, std::string> {
  if (const auto may = may_become(user); !may) return may;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return std::unexpected(errno_text("PR_SET_NO_NEW_PRIVS", errno));
  limit_programs(set_of(needed));
  if (const auto found = find_user(user))
    if (const auto changed = change_user(user, *found); !changed) return changed;
#if defined(PORTOLAN_SANITIZED)
  // Else the leak checker can't look at a process that has changed its user.
  static_cast<void>(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
#endif
  return keep(needed, set_of(std::array{Capability::dac_override}), for_programs);
}

auto keep_only(std::span<const Capability> kept, bool for_programs) -> std::expected<void, std::string> {
  return keep(kept, 0, for_programs);
}

Raised::Raised(Capability capability) noexcept {
  Sets sets = read_sets();
  before_ = sets.effective;
  sets.effective |= set_of(std::span(&capability, 1)) & sets.permitted;
  static_cast<void>(write_sets(sets));
}

Raised::~Raised() {
  Sets sets = read_sets();
  sets.effective = before_;
  static_cast<void>(write_sets(sets));
}

void give_up_all() noexcept { static_cast<void>(write_sets({})); }

auto present_capabilities() -> std::vector<std::string> {
  std::vector<std::string> names;
  for (const Capability each : {Capability::dac_override, Capability::net_bind_service, Capability::net_admin,
                                Capability::net_raw, Capability::bpf})
    if ((read_sets().effective & set_of(std::span(&each, 1))) != 0) names.push_back(to_string(each));
  return names;
}

}  // namespace portolan::io
