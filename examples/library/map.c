/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Makes a TCP port reachable, tells where, keeps it for some seconds and gives it back.
 *
 *   cc map.c $(pkg-config --cflags --libs portolan) -o map
 *   ./map 8080 [SECONDS [SERVER]]
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include <portolan/portolan.h>

static void tell(const portolan_event* event) { printf("%s\n", event->text); }

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s PORT [SECONDS [SERVER]]\n", argv[0]);
    return 2;
  }
  const char* server = argc > 3 ? argv[3] : NULL;
  portolan_options options = PORTOLAN_OPTIONS_INIT;
  options.servers = &server;
  options.server_count = server != NULL;

  portolan_client* client = NULL;
  portolan_mapping* mapping = NULL;
  portolan_request request = PORTOLAN_REQUEST_INIT;
  request.protocol = IPPROTO_TCP;
  request.internal_port = (uint16_t)atoi(argv[1]);
  request.description = "example";
  request.callback = tell;
  if (portolan_client_new(&options, &client) != PORTOLAN_OK ||
      portolan_map(client, &request, &mapping) != PORTOLAN_OK) {
    fprintf(stderr, "%s\n", portolan_last_error());
    portolan_client_free(client);
    return 1;
  }

  portolan_info info = PORTOLAN_INFO_INIT;
  const portolan_status status = portolan_wait(mapping, 10000, &info);
  if (status == PORTOLAN_OK) {
    char text[PORTOLAN_ENDPOINT_TEXT];
    printf("external %s\n", portolan_endpoint_text(&info.external, text));
    /* A program with an event loop of its own watches portolan_fd() instead. */
    portolan_run(client, argc > 2 ? atoi(argv[2]) * 1000 : 0);
  } else {
    fprintf(stderr, "%s\n", portolan_last_error());
  }
  portolan_drop(mapping);
  if (portolan_flush(client, 5000) == PORTOLAN_OK) printf("given back\n");
  portolan_client_free(client);
  return status == PORTOLAN_OK ? 0 : 1;
}
