/* SPDX-License-Identifier: BSD-2-Clause
 *
 * libportolan: makes ports of this host reachable through NATs and firewalls, by PCP (RFC 6887) or NAT-PMP
 * (RFC 6886), and keeps them so: it repeats what is lost, renews in time, recovers when a router restarts,
 * moves when an address changes.
 *
 *   portolan_client *client;
 *   portolan_mapping *mapping;
 *   portolan_request request = PORTOLAN_REQUEST_INIT;
 *   request.protocol = IPPROTO_TCP;
 *   request.internal_port = 8080;
 *   if (portolan_client_new(NULL, &client) || portolan_map(client, &request, &mapping)) ...
 *   if (portolan_wait(mapping, 10000, &info) == PORTOLAN_OK) ...   or a callback, or portolan_next_event()
 *
 * Nothing blocks, but for portolan_run(), portolan_wait() and portolan_flush(). No thread is started and no
 * signal is used. Put portolan_fd() into your poll(), epoll or event loop, and call portolan_process() when
 * it is readable; or call portolan_run().
 *
 * Threads: a client and its mappings are used by one thread at a time; different clients may be used by
 * different ones. Only portolan_stop() may be called from anywhere, signal handlers included.
 *
 * Structures begin with their size, which the PORTOLAN_..._INIT macros set. Later versions add members at
 * their ends, so that programs go on to work without being compiled again. Unset members mean the default.
 *
 * Functions that may fail return a portolan_status; portolan_last_error() then says what is wrong, in words.
 */
#ifndef PORTOLAN_PORTOLAN_H
#define PORTOLAN_PORTOLAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PORTOLAN_API __attribute__((visibility("default")))

/** A client: its servers, sockets and mappings. */
typedef struct portolan_client portolan_client;
/** A mapping that is wanted. */
typedef struct portolan_mapping portolan_mapping;

typedef enum portolan_status {
  PORTOLAN_OK = 0,
  PORTOLAN_INVALID = 1, /**< an argument; the last error names it */
  PORTOLAN_LIMIT = 2,   /**< there are as many as may be */
  PORTOLAN_SYSTEM = 3,  /**< the system refused something; the last error says what */
  PORTOLAN_TIMEOUT = 4, /**< it did not happen in time, but still may */
  PORTOLAN_REFUSED = 5, /**< the servers that answered said no; they are asked again later */
  PORTOLAN_NONE = 6,    /**< there is no such thing (yet) */
  PORTOLAN_STOPPED = 7  /**< by portolan_stop() */
} portolan_status;

/** An address of either family, as on the wire: IPv4 as ::ffff:a.b.c.d. All zeros: none, or any. */
typedef struct portolan_address {
  uint8_t octets[16];
} portolan_address;

typedef struct portolan_endpoint {
  portolan_address address;
  uint16_t port; /**< in the host's byte order */
} portolan_endpoint;

/** Longest text of an address, with its end. */
#define PORTOLAN_ADDRESS_TEXT 46
/** Longest text of an endpoint, with its end. */
#define PORTOLAN_ENDPOINT_TEXT 56

/** Reads "192.0.2.1" or "2001:db8::1". */
PORTOLAN_API portolan_status portolan_address_parse(const char* text, portolan_address* address);
/** Writes the address into `text`, which it returns. */
PORTOLAN_API char* portolan_address_text(const portolan_address* address, char text[PORTOLAN_ADDRESS_TEXT]);
/** Writes "192.0.2.1:80" or "[2001:db8::1]:80" into `text`, which it returns. */
PORTOLAN_API char* portolan_endpoint_text(const portolan_endpoint* endpoint,
                                          char text[PORTOLAN_ENDPOINT_TEXT]);

/** The version of the library that runs, "0.1.0". */
PORTOLAN_API const char* portolan_version(void);
/** What went wrong in this thread's last call that failed, and what to do; never NULL. */
PORTOLAN_API const char* portolan_last_error(void);

/* ---- Events ---------------------------------------------------------------------------------------- */

typedef enum portolan_event_kind {
  PORTOLAN_EVENT_NONE = 0,
  PORTOLAN_EVENT_GRANTED = 1,   /**< the mapping works; info says where it is reachable */
  PORTOLAN_EVENT_RENEWED = 2,   /**< it goes on for longer */
  PORTOLAN_EVENT_CHANGED = 3,   /**< it is reachable elsewhere now; `previous` says where it was */
  PORTOLAN_EVENT_REFUSED = 4,   /**< the server said no: `result`; it is asked again after `retry_after` s */
  PORTOLAN_EVENT_LOST = 5,      /**< it is gone, and asked for again */
  PORTOLAN_EVENT_SILENT = 6,    /**< the server has not answered `transmissions` requests; they go on */
  PORTOLAN_EVENT_RESTARTED = 7, /**< the server forgot its mappings; they are asked for again */
  PORTOLAN_EVENT_NAT64_PREFIX = 8, /**< a NAT64's prefix is known, or another: portolan_nat64_prefix() */
  PORTOLAN_EVENT_VERSION =
      9 /**< the server speaks another protocol; `retry_after` says when it is tried again */
} portolan_event_kind;

/** Result codes of PCP (RFC 6887 s7.4) that a program may want to tell apart; `result` may be any octet. */
enum {
  PORTOLAN_RESULT_NOT_AUTHORIZED = 2,
  PORTOLAN_RESULT_UNSUPP_OPCODE = 4,
  PORTOLAN_RESULT_UNSUPP_OPTION = 5,
  PORTOLAN_RESULT_NETWORK_FAILURE = 7,
  PORTOLAN_RESULT_NO_RESOURCES = 8,
  PORTOLAN_RESULT_UNSUPP_PROTOCOL = 9,
  PORTOLAN_RESULT_USER_EX_QUOTA = 10,
  PORTOLAN_RESULT_CANNOT_PROVIDE_EXTERNAL = 11,
  PORTOLAN_RESULT_ADDRESS_MISMATCH = 12, /**< there is another NAT between this host and the server */
  PORTOLAN_RESULT_EXCESSIVE_REMOTE_PEERS = 13
};

/** The server confirmed the filters. */
#define PORTOLAN_INFO_FILTERED 0x1u
/** Made by NAT-PMP. */
#define PORTOLAN_INFO_NAT_PMP 0x2u

/** A mapping as one server granted it. */
typedef struct portolan_info {
  size_t size;
  uint32_t flags;                /**< PORTOLAN_INFO_... */
  uint32_t lifetime;             /**< seconds granted */
  uint32_t remaining;            /**< seconds left of them */
  uint16_t port_count;           /**< ports in a row, from both endpoints on */
  uint8_t protocol;              /**< IPPROTO_...; 0: all */
  portolan_endpoint internal;    /**< this host's end */
  portolan_endpoint external;    /**< where it is reachable */
  portolan_endpoint remote_peer; /**< of portolan_peer() */
  const char* server;            /**< its name; valid until the mapping's next event or call */
  const char* description;       /**< as the server keeps it, or NULL; valid as `server` */
} portolan_info;
#define PORTOLAN_INFO_INIT \
  {sizeof(portolan_info), 0, 0, 0, 0, 0, {{{0}}, 0}, {{{0}}, 0}, {{{0}}, 0}, NULL, NULL}

typedef struct portolan_event {
  size_t size;
  portolan_event_kind kind;
  portolan_mapping* mapping; /**< NULL: it is about the server */
  void* user;                /**< the request's, or the options' if there is no mapping */
  const char* server;        /**< its name; pointers in here are valid until the next call for the client */
  const char* text;          /**< a sentence for people */
  portolan_info info;        /**< GRANTED, RENEWED, CHANGED, and what was LOST */
  portolan_endpoint previous;
  uint8_t result;
  uint32_t retry_after; /**< seconds */
  uint32_t transmissions;
} portolan_event;
#define PORTOLAN_EVENT_INIT                                             \
  {sizeof(portolan_event), PORTOLAN_EVENT_NONE, NULL, NULL, NULL, NULL, \
   PORTOLAN_INFO_INIT,     {{{0}}, 0},          0,    0,    0}

/** Called from portolan_process() and what calls it. It may call anything but portolan_client_free(). */
typedef void (*portolan_callback)(const portolan_event* event);

/* ---- Client ---------------------------------------------------------------------------------------- */

/** Never speaks NAT-PMP. */
#define PORTOLAN_ONLY_PCP 0x1u
/** Speaks nothing but NAT-PMP. */
#define PORTOLAN_ONLY_NAT_PMP 0x2u
/** Never asks the anycast addresses of PCP (RFC 7723). */
#define PORTOLAN_NO_ANYCAST 0x4u

/** A datagram as it went to a server or came from one; what it points to is valid until the call returns. */
typedef struct portolan_datagram {
  size_t size;
  uint8_t is_sent; /**< 1: by this host */
  portolan_endpoint local;
  portolan_endpoint remote;
  const uint8_t* octets;
  size_t octet_count;
  void* user; /**< the options' */
} portolan_datagram;

/** Called as datagrams pass, for traces. It must not call for the client. */
typedef void (*portolan_observer)(const portolan_datagram* datagram);

typedef struct portolan_options {
  size_t size;
  uint32_t flags; /**< PORTOLAN_ONLY_..., PORTOLAN_NO_ANYCAST */
  /** Servers to ask instead of those that are found; each text is one server. See portolan_use_servers(). */
  const char* const* servers;
  size_t server_count;
  /** Called for events without a mapping. NULL: portolan_next_event() hands them out. */
  portolan_callback callback;
  void* user;
  portolan_observer observer; /**< NULL: nobody looks */
} portolan_options;
#define PORTOLAN_OPTIONS_INIT {sizeof(portolan_options), 0, NULL, 0, NULL, NULL, NULL}

/** Makes a client; `options` may be NULL. */
PORTOLAN_API portolan_status portolan_client_new(const portolan_options* options, portolan_client** client);
/** Ends the client at once, and its mappings' handles. Their servers are not told: mappings live on until
 * they expire, and portolan_mapping_save() lets a later run take them up. To end them, portolan_drop() them
 * and portolan_flush(). NULL is nothing. */
PORTOLAN_API void portolan_client_free(portolan_client* client);

/** Names the servers to ask, or with `count` 0 those that are found again: on each interface the servers that
 * DHCP named in the leases of this host (RFC 7291), or else the default routers, and behind these the anycast
 * addresses (RFC 7723). Changes of the network are followed. Each text is one server: its
 * addresses in the order to try them, separated by commas, "192.0.2.1,[2001:db8::1]:5351,fe80::1%eth0".
 * Mappings at servers that stay are kept. */
PORTOLAN_API portolan_status portolan_use_servers(portolan_client* client, const char* const* servers,
                                                  size_t count);

/** A descriptor that is readable when portolan_process() has to be called. Do not read or close it. */
PORTOLAN_API int portolan_fd(const portolan_client* client);
/** Does what is due, without waiting, and calls callbacks. */
PORTOLAN_API void portolan_process(portolan_client* client);
/** Milliseconds until portolan_process() has something to do, unless the descriptor says so before; -1: none.
 * Only needed by loops that can't watch the descriptor. */
PORTOLAN_API int portolan_timeout_ms(const portolan_client* client);
/** An event loop: processes until portolan_stop(), or `timeout_ms` have passed (-1: for ever). */
PORTOLAN_API portolan_status portolan_run(portolan_client* client, int timeout_ms);
/** Ends the present, or else the next, portolan_run(), portolan_wait() or portolan_flush(). */
PORTOLAN_API void portolan_stop(portolan_client* client);
/** Processes until all deletions are answered, at most `timeout_ms`. */
PORTOLAN_API portolan_status portolan_flush(portolan_client* client, int timeout_ms);

/** The next event of what has no callback; PORTOLAN_NONE if there is none. Of more than 1024 that wait the
 * oldest are dropped; portolan_mapping_get() has the state. */
PORTOLAN_API portolan_status portolan_next_event(portolan_client* client, portolan_event* event);

/** The prefix by which this host reaches IPv4 addresses through a NAT64, once a server told it (a request
 * with PORTOLAN_NAT64_PREFIX asks for it), a router advertised it (RFC 8781), or the DNS tells it (RFC 7050);
 * PORTOLAN_NONE before. While nothing is known, a call begins to ask the DNS servers of resolv.conf for
 * ipv4only.arpa, without waiting for them: PORTOLAN_EVENT_NAT64_PREFIX tells of what comes of it. */
PORTOLAN_API portolan_status portolan_nat64_prefix(const portolan_client* client, portolan_address* prefix,
                                                   uint8_t* prefix_length);

/* ---- Mappings -------------------------------------------------------------------------------------- */

/** Who may send to a mapping (FILTER). */
typedef struct portolan_filter {
  portolan_address address; /**< as this host sees it: behind a NAT64 an IPv6 address */
  uint8_t prefix_length;    /**< 1 to 32 bits of an IPv4, 1 to 128 of an IPv6 address */
  uint16_t port;            /**< 0: any */
} portolan_filter;

/** Rather no mapping than another external port (PREFER_FAILURE). Seldom wise. */
#define PORTOLAN_PREFER_FAILURE 0x1u
/** External ports of a port set have the parity of internal ones. */
#define PORTOLAN_KEEP_PARITY 0x2u
/** Ask for the NAT64's prefix with it (PREFIX64). */
#define PORTOLAN_NAT64_PREFIX 0x4u
/** An external IPv6 address: a hole in a firewall. Without, an IPv4 address is asked for. */
#define PORTOLAN_EXTERNAL_IPV6 0x8u

typedef struct portolan_request {
  size_t size;
  uint32_t flags;         /**< PORTOLAN_PREFER_FAILURE and so on */
  uint32_t lifetime;      /**< seconds to ask for at a time; 0: two hours */
  uint8_t protocol;       /**< IPPROTO_TCP, ...; 0: all, with internal_port 0 */
  uint16_t internal_port; /**< 0: all ports */
  uint16_t external_port; /**< a suggestion; 0: any */
  uint16_t port_count;    /**< ports in a row (PORT_SET); 0 and 1: one; 65535: as many as there are */
  portolan_address external_address; /**< a suggestion */
  /** Ask from this address of this host, while it has it; none: from the one that the kernel chooses */
  portolan_address client_address;
  portolan_address third_party; /**< the host it is for, if another (THIRD_PARTY) */
  const void* third_party_id;   /**< goes with it (RFC 7843) */
  size_t third_party_id_length;
  const portolan_filter* filters;
  size_t filter_count;
  const char* description;    /**< UTF-8; what it is for (DESCRIPTION) */
  const char* server;         /**< ask this one only, by its text of portolan_use_servers() */
  const char* state;          /**< what portolan_mapping_save() gave to an earlier run */
  portolan_callback callback; /**< NULL: portolan_next_event() hands out its events */
  void* user;
} portolan_request;
#define PORTOLAN_REQUEST_INIT \
  {sizeof(portolan_request),  \
   0,                         \
   0,                         \
   0,                         \
   0,                         \
   0,                         \
   0,                         \
   {{0}},                     \
   {{0}},                     \
   {{0}},                     \
   NULL,                      \
   0,                         \
   NULL,                      \
   0,                         \
   NULL,                      \
   NULL,                      \
   NULL,                      \
   NULL,                      \
   NULL}

/** Wants a mapping for connections from outside (MAP). All servers that suit are asked; each grants its own.
 */
PORTOLAN_API portolan_status portolan_map(portolan_client* client, const portolan_request* request,
                                          portolan_mapping** mapping);
/** Wants to know and keep alive the mapping of a connection to `remote_peer` (PEER). */
PORTOLAN_API portolan_status portolan_peer(portolan_client* client, const portolan_request* request,
                                           const portolan_endpoint* remote_peer, portolan_mapping** mapping);

/** Ends the mapping: its handle at once, without further events, and at the servers as portolan_process()
 * goes on. A PEER mapping is not renewed any more. NULL is nothing. */
PORTOLAN_API void portolan_drop(portolan_mapping* mapping);
/** Ends the handle, but tells no server: the mapping lives on until it expires. NULL is nothing. */
PORTOLAN_API void portolan_release(portolan_mapping* mapping);

/** How many servers grant it now. */
PORTOLAN_API size_t portolan_mapping_count(const portolan_mapping* mapping);
/** What the server number `index`, from 0, grants; PORTOLAN_NONE if there are not so many. */
PORTOLAN_API portolan_status portolan_mapping_get(portolan_mapping* mapping, size_t index,
                                                  portolan_info* info);
/** Processes until some server grants it (PORTOLAN_OK), all that are asked refused it (PORTOLAN_REFUSED), or
 * `timeout_ms` have passed: where no server could be asked, portolan_last_error() says why. `info` may be
 * NULL. */
PORTOLAN_API portolan_status portolan_wait(portolan_mapping* mapping, int timeout_ms, portolan_info* info);

/** Writes what a later run needs to take the mapping up again (its secret nonces among it) as a text of lines
 * into `buffer`. Returns the length it needs, without the end: if that is not less than `size`, the text is
 * cut. */
PORTOLAN_API size_t portolan_mapping_save(const portolan_mapping* mapping, char* buffer, size_t size);

#ifdef __cplusplus
}
#endif

#endif
