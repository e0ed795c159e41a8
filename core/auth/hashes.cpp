#include "core/auth/hashes.h"

#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

#include <string_view>

namespace iscsi::auth {
namespace {

// SHA3-256, FIPS 202: Keccak-f[1600], rate 136 bytes, domain 01.
class Sha3 {
public:
    ~Sha3() { ::explicit_bzero(lanes_, sizeof lanes_); }
    void update(Bytes data) {
        for (uint8_t b : data) {
            absorb(b);
            if (++at_ == rate) {
                permute();
                at_ = 0;
            }
        }
    }
    void final(uint8_t* out) {
        absorb(0x06);
        at_ = rate - 1;
        absorb(0x80);
        permute();
        for (size_t i = 0; i < 32; ++i) out[i] = uint8_t(lanes_[i / 8] >> (8 * (i % 8)));
    }

private:
    static constexpr size_t rate = 136;
    void absorb(uint8_t b) { lanes_[at_ / 8] ^= uint64_t(b) << (8 * (at_ % 8)); }
    static uint64_t rotate(uint64_t v, unsigned n) { return n ? v << n | v >> (64 - n) : v; }
    void permute();
    uint64_t lanes_[25]{};
    size_t at_ = 0;
};

void Sha3::permute() {
    uint64_t* a = lanes_;
    uint8_t lfsr = 1;                               // round constants, FIPS 202 §3.2.5
    for (int round = 0; round < 24; ++round) {
        uint64_t c[5];
        for (int x = 0; x < 5; ++x) c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (int x = 0; x < 5; ++x) {               // theta
            const uint64_t d = c[(x + 4) % 5] ^ rotate(c[(x + 1) % 5], 1);
            for (int y = 0; y < 25; y += 5) a[y + x] ^= d;
        }
        uint64_t last = a[1];                       // rho and pi: walk the cycle of positions
        for (int t = 0, x = 1, y = 0; t < 24; ++t) {
            const int next = (2 * x + 3 * y) % 5;
            x = y;
            y = next;
            const uint64_t keep = a[x + 5 * y];
            a[x + 5 * y] = rotate(last, unsigned((t + 1) * (t + 2) / 2 % 64));
            last = keep;
        }
        for (int y = 0; y < 25; y += 5) {           // chi
            for (int x = 0; x < 5; ++x) c[x] = a[y + x];
            for (int x = 0; x < 5; ++x) a[y + x] = c[x] ^ (~c[(x + 1) % 5] & c[(x + 2) % 5]);
        }
        for (int j = 0; j < 7; ++j) {               // iota
            if (lfsr & 1) a[0] ^= uint64_t(1) << ((1 << j) - 1);
            lfsr = uint8_t(lfsr & 0x80 ? lfsr << 1 ^ 0x71 : lfsr << 1);
        }
    }
}

template <class Context, auto init, auto update, auto final>
void openssl_hash(std::initializer_list<Bytes> pieces, uint8_t* out) {
    Context context;
    init(&context);
    for (Bytes piece : pieces) update(&context, piece.data(), piece.size());
    final(out, &context);
    ::explicit_bzero(&context, sizeof context);
}

}  // namespace

size_t hash_length(Hash hash) {
    switch (hash) {
        case Hash::md5: return 16;
        case Hash::sha1: return 20;
        case Hash::sha256:
        case Hash::sha3_256: return 32;
    }
    return 0;
}

const char* hash_name(Hash hash) {
    switch (hash) {
        case Hash::md5: return "MD5";
        case Hash::sha1: return "SHA1";
        case Hash::sha256: return "SHA256";
        case Hash::sha3_256: return "SHA3-256";
    }
    return "";
}

bool parse_hash(std::string_view name, Hash& out) {
    for (Hash hash : {Hash::md5, Hash::sha1, Hash::sha256, Hash::sha3_256})
        if (name == hash_name(hash)) {
            out = hash;
            return true;
        }
    return false;
}

void hash_of(Hash hash, std::initializer_list<Bytes> pieces, MutableBytes out) {
    uint8_t* to = out.data();
    switch (hash) {
        case Hash::md5: return openssl_hash<MD5_CTX, MD5_Init, MD5_Update, MD5_Final>(pieces, to);
        case Hash::sha1: return openssl_hash<SHA_CTX, SHA1_Init, SHA1_Update, SHA1_Final>(pieces, to);
        case Hash::sha256: return openssl_hash<SHA256_CTX, SHA256_Init, SHA256_Update, SHA256_Final>(pieces, to);
        case Hash::sha3_256: {
            Sha3 sha3;
            for (Bytes piece : pieces) sha3.update(piece);
            sha3.final(to);
        }
    }
}

bool equal_in_constant_time(Bytes a, Bytes b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace iscsi::auth
