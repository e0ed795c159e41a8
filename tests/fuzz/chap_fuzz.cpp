// Texts of the security stage against either side of CHAP; texts are separated by 0xff. No sequence of texts may
// authenticate: the peer does not know the secret, and a hash of 128 bits is not guessed.
#include <cstdlib>

#include "core/auth/chap.h"

using namespace iscsi;
using namespace iscsi::auth;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 1) return 0;
    const Secret secret("a secret of sixteen and more");
    const Account outgoing{"storage", Secret("another secret")};
    ChapTarget target({[&](std::string_view user) { return user == "alice" ? &secret : nullptr; }, true,
                       data[0] & 2 ? &outgoing : nullptr, {std::begin(all_hashes), std::end(all_hashes)}, {}});
    ChapInitiator::Config config;
    config.chap = true;
    config.account = {"alice", secret};
    config.target_account = outgoing;
    ChapInitiator initiator(config);
    wire::TextWriter start;
    initiator.start(start);
    std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
    for (;;) {
        const size_t end = rest.find('\xff');
        std::vector<wire::TextKey> pairs;
        if (wire::parse_text(as_bytes(rest.substr(0, end)), pairs) != wire::TextError::none) return 0;
        wire::TextWriter answer;
        const Progress p = data[0] & 1 ? target.digest(pairs, answer) : initiator.digest(pairs, answer);
        if (p == Progress::done || (p == Progress::failed) == (*(data[0] & 1 ? target.why() : initiator.why()) == 0))
            std::abort();
        if (end == rest.npos) return 0;
        rest.remove_prefix(end + 1);
    }
}
