// What a target may send to a session in user space. The first byte says how: bit 0 digests, bit 1 the login is the input's
// too (else it is granted), bit 2 many commands, bit 4 commands time out one after the other. Then records: a byte, what it
// means in take(); the rest of the input is sent as it is. Whatever comes, every request comes back once and the session ends.
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/log.h"
#include "core/initiator/discovery.h"
#include "core/initiator/session.h"
#include "core/wire/digest.h"

using namespace iscsi;
using namespace iscsi::initiator;

namespace {

struct Owner final : SessionOwner {
    bool ended = false;
    void session_ended(Session&, const SessionEnd&) override {
        if (ended) std::abort();
        ended = true;
    }
};

struct Request : ScsiRequest {
    int calls = 0;
    std::vector<uint8_t> data;
};

class Target {
public:
    Target(io::Loop& loop, int fd, bool digests) : loop_(loop), fd_(fd), digests_(digests) {}

    // Whole PDUs that the initiator has sent so far; remembers tags.
    void listen() {
        uint8_t block[65536];
        for (ssize_t n; (n = ::recv(fd_, block, sizeof block, MSG_DONTWAIT)) > 0;) in_.insert(in_.end(), block, block + n);
        size_t at = 0;
        while (in_.size() - at >= wire::bhs_length) {
            wire::Bhs h;
            std::memcpy(&h, &in_[at], sizeof h);
            const bool digested = digests_ && logged_in_;
            size_t whole = wire::bhs_length + pad4(h.data_segment_length) + (digested ? 4 + (h.data_segment_length ? 4 : 0) : 0);
            if (in_.size() - at < whole) break;
            at += whole;
            last_ = h;
            tags_.push_back(h.itt);
            if (tags_.size() > 16) tags_.erase(tags_.begin());
        }
        in_.erase(in_.begin(), in_.begin() + ptrdiff_t(at));
    }

    void grant_login() {
        listen();
        auto r = wire::header_cast<wire::LoginRequest>(last_);
        wire::LoginResponse h;
        h.flags = r.flags;
        std::memcpy(h.isid, r.isid, 6);
        h.tsih = 1;
        h.itt = r.itt;
        h.exp_cmd_sn = r.cmd_sn;
        h.max_cmd_sn = r.cmd_sn + 63;
        static const char plain[] = "MaxBurstLength=8192\0FirstBurstLength=1024\0InitialR2T=No\0ImmediateData=Yes\0MaxOutstandingR2T=2\0"
                                    "MaxRecvDataSegmentLength=512";
        static const char digested[] = "HeaderDigest=CRC32C\0DataDigest=CRC32C\0MaxRecvDataSegmentLength=512\0MaxOutstandingR2T=2";
        Bytes text(reinterpret_cast<const uint8_t*>(digests_ ? digested : plain), digests_ ? sizeof digested : sizeof plain);
        h.data_segment_length = uint32_t(text.size());
        pdu(&h, text);
        logged_in_ = true;
    }

    // One record of the input.
    void take(Bytes& input) {
        const uint8_t kind = input[0];
        input = input.subspan(1);
        listen();
        if (kind & 0x80) {                      // a PDU: header with a tag that is in use, sane numbers if bit 6
            if (input.size() < wire::bhs_length) return send(input);
            wire::Bhs h;
            std::memcpy(&h, input.data(), sizeof h);
            input = input.subspan(wire::bhs_length);
            if (!tags_.empty()) h.itt = tags_[kind % tags_.size()];
            h.total_ahs_length = 0;
            size_t length = std::min<size_t>(h.data_segment_length & 0x3ff, input.size());
            h.data_segment_length = uint32_t(length);
            if (kind & 0x40) {
                auto r = wire::header_cast<wire::DataIn>(h);
                r.data_sn = r.data_sn & 3;
                r.buffer_offset = r.buffer_offset & 0xfff;
                r.residual_count = r.residual_count & 0xfff;
                r.exp_cmd_sn = 1;
                r.max_cmd_sn = 64;
                h = wire::header_cast<wire::Bhs>(r);
            }
            pdu(&h, input.first(length));
            input = input.subspan(length);
        } else {                                // so many bytes as they are
            size_t n = std::min<size_t>(kind, input.size());
            send(input.first(n));
            input = input.subspan(n);
        }
        step();
    }
    void step() {
        for (int i = 0; i < 4; i++) loop_.run_once(0);
    }

private:
    void send(Bytes bytes) { (void)!::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT); }
    void pdu(const void* header, Bytes data) {
        std::vector<uint8_t> out(static_cast<const uint8_t*>(header), static_cast<const uint8_t*>(header) + wire::bhs_length);
        const bool digested = digests_ && logged_in_;
        auto digest = [&](size_t from) {
            uint32_t crc = wire::crc32c(0, Bytes(out).subspan(from));
            out.resize(out.size() + 4);
            wire::put_digest(&out[out.size() - 4], crc);
        };
        if (digested) digest(0);
        const size_t begin = out.size();
        out.insert(out.end(), data.begin(), data.end());
        out.resize(begin + pad4(data.size()));
        if (digested && !data.empty()) digest(begin);
        send(out);
    }

    io::Loop& loop_;
    int fd_;
    bool digests_, logged_in_ = false;
    std::vector<uint8_t> in_;
    std::vector<uint32_t> tags_;
    wire::Bhs last_{};
};

void run(io::Loop& loop, Bytes input) {
    const uint8_t mode = input.empty() ? 0 : input[0];
    if (!input.empty()) input = input.subspan(1);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    Fd target_end(ends[1]);
    SessionConfig config;
    config.login.offers.initiator_name = "iqn.2026-01.f:i";
    config.login.offers.target_name = "iqn.2026-01.f:t";
    config.login.offers.max_outstanding_r2t = 2;
    if (mode & 1) config.login.offers.header_digest = config.login.offers.data_digest = nego::Digests::crc32c;
    if (mode & 8) config.login.chap.account = {"user", Secret("a secret of some length")};
    config.replacement_timeout_ms = 0;
    config.receive_buffer = 4096;
    config.max_commands = 8;
    Owner owner;
    std::vector<Request> requests(mode & 4 ? 20 : 3);
    {
        Session session(loop, config, owner);
        session.start_on(Fd(ends[0]));
        Target target(loop, target_end.get(), mode & 1);
        for (size_t i = 0; i < requests.size(); i++) {
            Request& r = requests[i];
            if (i % 5 == 1) r.cdb[0] = 0x89;    // not to be sent twice
            r.data.resize(i % 3 == 2 ? 20000 : 4096);
            if (i % 3 == 0) r.in = r.data;
            else if (i % 3 == 1) r.out = r.data;
            else if (i % 2) r.discard = 20000;
            else r.out = r.data;
            r.done = [](ScsiRequest& q) {
                auto& me = static_cast<Request&>(q);
                me.calls++;
                std::vector<uint8_t>().swap(me.data);       // the sanitizer sees whoever still uses it
            };
            session.submit(r);
        }
        target.step();
        if (!(mode & 2)) target.grant_login();
        target.step();
        for (size_t i = 0; !input.empty() && !owner.ended; i++) {
            if (mode & 16) session.time_out(requests[i % requests.size()]);
            target.take(input);
        }
        if (!owner.ended) session.abandon("end of input");
        loop.run_once(0);
    }
    for (const Request& r : requests)
        if (r.calls != 1 || r.outcome == ScsiRequest::Outcome::pending) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    log::open("fuzz", log::Sink::quiet, log::Level::error);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::unique_ptr<io::Loop> loop = std::move(*io::Loop::create());
    run(*loop, {data, size});
    DiscoveryResult list;
    parse_send_targets({data, size}, "192.0.2.1", 3260, list);
    return 0;
}
