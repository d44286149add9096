// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/session.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "wire/describe.h"

namespace portolan {
namespace {

auto config_for(const ServerChoice& choice, client::Speech speech) -> client::Config {
  client::Config config;
  config.speech = speech;
  config.server = {.address = choice.server.address, .port = choice.port};
  config.client_address = choice.client_address;
  return config;
}

}  // namespace

auto Session::open(const ServerOptions& options, client::Speech speech)
    -> std::expected<std::unique_ptr<Session>, Exit> {
  auto choice = choose_server(options);
  if (!choice) return std::unexpected(choice.error());
  if (speech == client::Speech::nat_pmp && !choice->client_address.is_ipv4())
    return std::unexpected(
        Exit{.status = exit_usage,
             .text = fmt::format("--speak nat-pmp: NAT-PMP serves IPv4 only, and the server is {}: give "
                                 "--server with an IPv4 address",
                                 choice->address_text())});
  auto socket = io::UdpSocket::open({.bind_address = choice->client_address,
                                     .bind_port = {},
                                     .scope_id = choice->server.interface_index,
                                     .device = {},
                                     .receive_buffer_bytes = 0,
                                     .shares_port = false});
  if (!socket && options.internal_address)
    return std::unexpected(
        Exit{.status = exit_usage,
             .text = fmt::format("--internal-address {}: give an address of this host", socket.error())});
  if (!socket) return std::unexpected(Exit{.status = exit_no_answer, .text = socket.error()});
  const Endpoint server{.address = choice->server.address, .port = choice->port};
  if (const auto connected = socket->connect(server, choice->server.interface_index); !connected)
    return std::unexpected(Exit{.status = exit_no_answer,
                                .text = fmt::format("{}: is this host on the network of {}?",
                                                    connected.error(), choice->address_text())});
  return std::unique_ptr<Session>(new Session(options, speech, std::move(*choice), std::move(*socket)));
}

Session::Session(const ServerOptions& options, client::Speech speech, ServerChoice choice,
                 io::UdpSocket socket)
    : options_(options),
      choice_(std::move(choice)),
      socket_(std::move(socket)),
      engine_(config_for(choice_, speech), random_) {
  engine_.limit_lifetimes(choice_.address_valid_until);
  readable_ = loop_.on_readable(socket_.descriptor(), [this] { receive(); });
  due_ = loop_.timer([this] {
    engine_.advance(io::monotonic_now());
    carry_out();
  });
  timeout_ = loop_.timer([this] { on_timeout_(); });
}

auto Session::run(std::function<void(const client::Event&)> on_event, std::function<void()> on_timeout)
    -> int {
  on_event_ = std::move(on_event);
  on_timeout_ = std::move(on_timeout);
  loop_.run();
  return status_.value_or(exit_no_answer);
}

void Session::finish(int status) {
  if (!status_) status_ = status;
  loop_.stop();
}

void Session::expect_answer() { timeout_.arm(io::monotonic_now() + options_.timeout); }

auto Session::no_answer_text() const -> std::string {
  return fmt::format("no PCP server answered at {} within {} s", choice_.address_text(),
                     options_.timeout.count());
}

void Session::carry_out() {
  client::Actions actions = engine_.take_actions();
  for (const client::Send& send : actions.send) {
    if (options_.is_verbose)
      fmt::print(stderr, "sent from {} to {}:\n{}", socket_.local_endpoint(), choice_.endpoint_text(),
                 wire::describe(send.datagram.octets(), 2));
    const io::SendResult result = socket_.send({.destination = send.to,
                                                .scope_id = choice_.server.interface_index,
                                                .local_address = {},
                                                .interface_index = 0,
                                                .payload = send.datagram.octets()});
    if (result.error) hint(*result.error);
  }
  for (const client::Event& event : actions.events)
    if (!status_) on_event_(event);
  if (const auto deadline = engine_.next_deadline())
    due_.arm(*deadline);
  else
    due_.disarm();
}

void Session::receive() {
  const auto datagrams = socket_.receive();
  if (!datagrams) {
    hint(datagrams.error());
    return;
  }
  for (const io::ReceivedDatagram& datagram : *datagrams) take(datagram);
}

void Session::take(const io::ReceivedDatagram& datagram) {
  const client::Reception reception = engine_.receive(io::monotonic_now(), datagram.source, datagram.payload);
  if (options_.is_verbose) {
    const std::string ignored =
        reception == client::Reception::accepted ? "" : fmt::format(", ignored: {}", to_string(reception));
    fmt::print(stderr, "received from {} at {}{}:\n{}", datagram.source, datagram.local_address, ignored,
               wire::describe(datagram.payload, 2));
  }
  if (reception == client::Reception::accepted) listen_to_announcements(datagram.interface_index);
  carry_out();
}

void Session::listen_to_announcements(unsigned interface_index) {
  if (!stays_ || announcements_ || interface_index == 0) return;
  const Family family = choice_.server.address.family();
  auto socket = io::UdpSocket::open({.bind_address = IpAddress::unspecified(family),
                                     .bind_port = Port{wire::client_port},
                                     .scope_id = 0,
                                     .device = {},
                                     .receive_buffer_bytes = 0,
                                     .shares_port = true});
  // Announcements only speed up recovery, which comes with the next renewal at the latest.
  if (!socket || !socket->join(client::announcement_group(family), interface_index)) return;
  announcements_.emplace(std::move(*socket));
  announced_ = loop_.on_readable(announcements_->descriptor(), [this] {
    const auto datagrams = announcements_->receive();
    if (!datagrams) return;
    for (const io::ReceivedDatagram& datagram : *datagrams) take(datagram);
  });
}

void Session::stay() {
  stays_ = true;
  // Without word of changes the address is taken for what it was.
  auto watch = io::NetworkWatch::open(io::Advertisements::ignored);
  if (!watch) return;
  network_.emplace(std::move(*watch));
  network_changed_ = loop_.on_readable(network_->descriptor(), [this] {
    if (network_->take().has_changed) follow_address();
  });
}

void Session::follow_address() {
  const bool had_address = std::exchange(has_address_, choice_.look_at_address());
  engine_.limit_lifetimes(choice_.address_valid_until);
  if (had_address && !has_address_)
    fmt::print(
        stderr,
        "portolan: this host has lost the address {}, so the mapping leads nowhere now: end this and run "
        "it again\n",
        choice_.client_address);
}

void Session::hint(const io::SystemError& error) {
  if (error.number == hinted_) return;
  hinted_ = error.number;
  if (error.number == ECONNREFUSED) {
    fmt::print(stderr,
               "portolan: {} answers that nothing listens on its UDP port {}: is portoland running there? "
               "Trying on.\n",
               choice_.address_text(), choice_.port);
  } else {
    fmt::print(stderr, "portolan: {} cannot be reached now: {}. Trying on.\n", choice_.address_text(),
               std::strerror(error.number));
  }
}

}  // namespace portolan
