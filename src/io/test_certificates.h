// SPDX-License-Identifier: BSD-2-Clause
//
// Certificates for tests of TLS: an authority and what it signs, in files of a folder of their own.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "base/check.h"
#include "io/stream.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace portolan::io::testing {

class Authority {
 public:
  explicit Authority(const std::filesystem::path& folder) : folder_(folder), key_(EVP_EC_gen("P-256")) {
    std::filesystem::create_directories(folder_);
    certificate_ = make(key_, "authority", std::nullopt, "CA:TRUE");
    write("authority.pem", [&](FILE* file) { return PEM_write_X509(file, certificate_); });
  }
  Authority(const Authority&) = delete;
  auto operator=(const Authority&) -> Authority& = delete;
  ~Authority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }

  /// Signs a certificate for `name` and 127.0.0.1.
  auto sign(const std::string& name) -> TlsFiles {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const made = make(key, name, "DNS:" + name + ",IP:127.0.0.1", "CA:FALSE");
    write(name + ".pem", [&](FILE* file) { return PEM_write_X509(file, made); });
    write(name + ".key",
          [&](FILE* file) { return PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr); });
    X509_free(made);
    EVP_PKEY_free(key);
    return {.certificate = folder_ / (name + ".pem"),
            .key = folder_ / (name + ".key"),
            .authorities = folder_ / "authority.pem",
            .peer_name = {}};
  }

 private:
  auto make(EVP_PKEY* key, const std::string& name, const std::optional<std::string>& names,
            const char* constraints) -> X509* {
    X509* const made = X509_new();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 3600);
    X509_set_pubkey(made, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(certificate_ != nullptr ? certificate_ : made));
    extend(made, NID_basic_constraints, constraints);
    if (names) extend(made, NID_subject_alt_name, names->c_str());
    PORTOLAN_CHECK(X509_sign(made, key_, EVP_sha256()) != 0);
    return made;
  }
  static void extend(X509* certificate, int kind, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    PORTOLAN_CHECK(extension != nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  void write(const std::string& name, auto put) {
    FILE* const file = std::fopen((folder_ / name).c_str(), "w");
    PORTOLAN_CHECK(file != nullptr && put(file) == 1);
    std::fclose(file);
  }

  std::filesystem::path folder_;
  EVP_PKEY* key_;
  X509* certificate_ = nullptr;
  long serial_ = 0;
};

}  // namespace portolan::io::testing
