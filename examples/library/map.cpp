// SPDX-License-Identifier: BSD-2-Clause
//
// The same as map.c, in C++20.
//
//   find_package(portolan REQUIRED)
//   target_link_libraries(map PRIVATE portolan::portolan)
#include <netinet/in.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>

#include <portolan/portolan.hpp>

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: " << argv[0] << " PORT [SECONDS [SERVER]]\n";
    return 2;
  }
  try {
    portolan::Client client(argc > 3 ? std::vector<std::string>{argv[3]} : std::vector<std::string>{});
    bool is_reachable = false;
    {
      auto mapping =
          client.map({.protocol = IPPROTO_TCP,
                      .internal_port = static_cast<std::uint16_t>(std::atoi(argv[1])),
                      .description = "example",
                      .callback = [](const portolan::Event& event) { std::cout << event.text << '\n'; }});
      if (const auto info = mapping.wait(std::chrono::seconds{10})) {
        is_reachable = true;
        std::cout << "external " << info->external.text() << '\n';
        client.run(std::chrono::seconds{argc > 2 ? std::atoi(argv[2]) : 0});
      } else {
        std::cerr << portolan_last_error() << '\n';
      }
    }  // dropped here
    if (client.flush(std::chrono::seconds{5})) std::cout << "given back\n";
    return is_reachable ? 0 : 1;
  } catch (const portolan::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
