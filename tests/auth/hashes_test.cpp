#include "core/auth/hashes.h"

#include <doctest/doctest.h>
#include <openssl/evp.h>

#include <string>
#include <vector>

#include "core/wire/text_keys.h"

using namespace iscsi;
using namespace iscsi::auth;

static std::string hex_of(Hash hash, std::string_view text) {
    uint8_t out[max_hash_length];
    hash_of(hash, {as_bytes(text)}, out);
    return wire::encode_hex({out, hash_length(hash)});
}

TEST_CASE("golden hashes of \"abc\" and of nothing") {
    CHECK(hex_of(Hash::md5, "abc") == "0x900150983cd24fb0d6963f7d28e17f72");
    CHECK(hex_of(Hash::sha1, "abc") == "0xa9993e364706816aba3e25717850c26c9cd0d89d");
    CHECK(hex_of(Hash::sha256, "abc") == "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hex_of(Hash::sha3_256, "abc") == "0x3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
    CHECK(hex_of(Hash::sha3_256, "") == "0xa7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
}

TEST_CASE("every hash agrees with OpenSSL's EVP at every length around its block, whole and in pieces") {
    struct Row { Hash hash; const EVP_MD* md; };
    std::vector<uint8_t> data(300);
    for (size_t i = 0; i < data.size(); ++i) data[i] = uint8_t(i * 131 + 7);
    for (const Row& r : {Row{Hash::md5, EVP_md5()}, {Hash::sha1, EVP_sha1()}, {Hash::sha256, EVP_sha256()},
                         {Hash::sha3_256, EVP_sha3_256()}}) {
        for (size_t n = 0; n <= data.size(); ++n) {
            uint8_t ours[max_hash_length], theirs[EVP_MAX_MD_SIZE];
            unsigned length = 0;
            REQUIRE(EVP_Digest(data.data(), n, theirs, &length, r.md, nullptr) == 1);
            REQUIRE(length == hash_length(r.hash));
            const size_t cut = n / 3;
            hash_of(r.hash, {Bytes(data.data(), cut), Bytes(data.data() + cut, n - cut)}, ours);
            REQUIRE(std::memcmp(ours, theirs, length) == 0);
        }
    }
}

TEST_CASE("names and comparison") {
    Hash h = Hash::md5;
    CHECK(parse_hash("SHA3-256", h));
    CHECK(h == Hash::sha3_256);
    CHECK_FALSE(parse_hash("sha1", h));
    const uint8_t a[] = {1, 2, 3}, b[] = {1, 2, 4};
    CHECK(equal_in_constant_time(a, a));
    CHECK_FALSE(equal_in_constant_time(a, b));
    CHECK_FALSE(equal_in_constant_time(a, Bytes(a, 2)));
}
