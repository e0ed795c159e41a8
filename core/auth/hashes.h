// The hashes CHAP uses. hashes.cpp is the only file that includes OpenSSL; only its low-level calls, because EVP
// would link 3.7 MB. SHA3-256 is ours (FIPS 202), the tests compare it with OpenSSL's.
#pragma once
#include <initializer_list>
#include <string_view>

#include "core/base/bytes.h"

namespace iscsi::auth {

// CHAP algorithms, IANA "PPP Authentication Algorithms". Their numbers are what CHAP_A carries.
enum class Hash : uint8_t { md5 = 5, sha1 = 6, sha256 = 7, sha3_256 = 8 };

inline constexpr size_t max_hash_length = 32;
size_t hash_length(Hash hash);                  // 16, 20, 32, 32
const char* hash_name(Hash hash);               // as in node.session.auth.chap_algs: MD5 SHA1 SHA256 SHA3-256
bool parse_hash(std::string_view name, Hash& out);

// The hash of the pieces one after the other; `out` has hash_length bytes.
void hash_of(Hash hash, std::initializer_list<Bytes> pieces, MutableBytes out);

// Compares in a time that depends on the lengths only.
bool equal_in_constant_time(Bytes a, Bytes b);

}  // namespace iscsi::auth
