// An iSCSI session for the benchmark (RFC 7143): one connection, ERL 0, no authentication. Written apart from core/ on purpose.
#include <errno.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/bench/load.h"

namespace bench {
namespace {

using u8 = uint8_t;

uint32_t get32(const char* p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
void put32(char* p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); }
void put24(char* p, uint32_t v) { p[0] = char(v >> 16), p[1] = char(v >> 8), p[2] = char(v); }
uint32_t get24(const char* p) { return uint32_t(u8(p[0])) << 16 | uint32_t(u8(p[1])) << 8 | u8(p[2]); }

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc32c(uint32_t crc, const char* p, size_t n) {
    uint64_t c = crc;
    for (; n >= 8; n -= 8, p += 8) { uint64_t v; memcpy(&v, p, 8); c = __builtin_ia32_crc32di(c, v); }
    for (; n; n--) c = __builtin_ia32_crc32qi(uint32_t(c), u8(*p++));
    return uint32_t(c);
}
#else
uint32_t crc32c(uint32_t crc, const char* p, size_t n) {
    for (; n; n--) {
        crc ^= u8(*p++);
        for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}
#endif

struct Slot {
    uint64_t started = 0;
    uint64_t offset = 0;
    bool read = false;
};

class IscsiSession final : public Session {
public:
    IscsiSession(const Options& o, unsigned number, int fd) : o_(o), fd_(fd), number_(number), slots_(o.depth) {
        for (unsigned i = 0; i < o.depth; i++) free_.push_back(i);
    }
    ~IscsiSession() override { close(fd_); }
    int fd() const override { return fd_; }
    bool flush() override { return out_.flush(fd_); }
    const char* trouble() const override { return trouble_; }
    bool setup() { return login() && identify(); }

    void fill(Totals& t) override {
        if (o_.count && (free_.size() < slots_.size() || t.latency.total >= o_.count)) return;
        while (!free_.empty() && int32_t(max_cmd_sn_ - cmd_sn_) >= 0) {
            const uint32_t tag = free_.back();
            free_.pop_back();
            Slot& s = slots_[tag];
            s.read = o_.tur || offsets_->reads(), s.offset = offsets_->next(), s.started = now_ns();
            command(tag, s);
        }
    }

    bool receive(Totals& t) override {
        for (;;) {
            if (body_left_) {
                if (!take_body(t)) return false;
                if (body_left_) return true;
                continue;
            }
            const size_t want = 48 + (digests_ ? 4 : 0);
            size_t at = 0;
            while (have_ - at >= want) {
                memcpy(bhs_, &in_[at], 48);
                if (digests_ && ~crc32c(~0u, bhs_, 48) != raw32(&in_[at + 48])) return lost("header digest");
                at += want;
                body_ = get24(bhs_ + 5);
                body_left_ = (body_ + 3) / 4 * 4 + (digests_ && body_ ? 4 : 0);
                crc_ = ~0u;
                const size_t here = std::min(body_left_, have_ - at);
                digest(&in_[at], here);
                at += here, body_left_ -= here;
                if (body_left_) break;
                if (!pdu(t)) return false;
            }
            memmove(in_.data(), &in_[at], have_ - at);
            have_ -= at;
            if (body_left_) continue;
            const size_t room = o_.bs >= long_data && !digests_ ? want : in_.size();      // long data is not copied, it is thrown away
            ssize_t n = recv(fd_, in_.data() + have_, room - have_, MSG_DONTWAIT);
            if (n <= 0) return (n < 0 && errno == EAGAIN) || lost("closed");
            have_ += size_t(n);
        }
    }

private:
    bool lost(const char* why) { trouble_ = why; return false; }
    static uint32_t raw32(const char* p) { uint32_t v; memcpy(&v, p, 4); return v; }

    // The data segment goes by; digests want to see it.
    void digest(const char* p, size_t n) {
        if (!digests_ || !body_) return;
        const size_t padded = (body_ + 3) / 4 * 4, before = padded + 4 - body_left_;
        const size_t data = before < padded ? std::min(n, padded - before) : 0;
        crc_ = crc32c(crc_, p, data);
        for (size_t i = data; i < n; i++) sent_digest_[before + i - padded] = p[i];
    }
    bool take_body(Totals& t) {
        ssize_t n;
        if (digests_) {
            n = recv(fd_, scratch_.data(), std::min(body_left_, scratch_.size()), MSG_DONTWAIT);
            if (n > 0) digest(scratch_.data(), size_t(n));
        } else {
            n = recv(fd_, nullptr, body_left_, MSG_DONTWAIT | MSG_TRUNC);
        }
        if (n <= 0) return (n < 0 && errno == EAGAIN) || lost("closed");
        body_left_ -= size_t(n);
        return body_left_ > 0 || pdu(t);
    }

    Output::Chunk& header(Output::Chunk& c, const char* bhs, const char* data, size_t length) {
        memcpy(c.head.data(), bhs, 48);
        put24(&c.head[5], uint32_t(length));
        c.head_length = 48;
        if (digests_) { uint32_t d = ~crc32c(~0u, c.head.data(), 48); memcpy(&c.head[48], &d, 4); c.head_length = 52; }
        c.data = data, c.length = length;
        c.tail.fill(0), c.tail_length = (4 - length % 4) % 4;
        if (digests_ && length) {
            uint32_t d = ~crc32c(crc32c(~0u, data, length), c.tail.data(), c.tail_length);
            memcpy(&c.tail[c.tail_length], &d, 4);
            c.tail_length += 4;
        }
        return c;
    }

    void command(uint32_t tag, const Slot& s) {
        char h[48] = {};
        const uint32_t blocks = o_.bs / block_, lba = uint32_t(s.offset / block_);
        h[0] = 0x01, h[9] = char(o_.lun);
        put32(h + 16, tag), put32(h + 24, cmd_sn_++), put32(h + 28, exp_stat_sn_);
        if (o_.tur) { h[1] = char(0x81); header(out_.add(), h, nullptr, 0); return; }
        put32(h + 20, o_.bs);
        h[32] = s.read ? 0x28 : 0x2a;
        put32(h + 34, lba), h[39] = char(blocks >> 8), h[40] = char(blocks);
        if (s.read) { h[1] = char(0xc1); header(out_.add(), h, nullptr, 0); return; }
        const uint32_t unsolicited = std::min(o_.bs, first_burst_);
        const uint32_t immediate = immediate_ ? std::min(unsolicited, max_send_) : 0;
        const bool more = !initial_r2t_ && immediate < unsolicited;
        h[1] = char(more ? 0x21 : 0xa1);
        header(out_.add(), h, payload(), immediate);
        if (more) data_out(tag, 0xffffffff, immediate, unsolicited - immediate);
    }
    void data_out(uint32_t tag, uint32_t ttt, uint32_t offset, uint32_t length) {
        char h[48] = {};
        h[0] = 0x05, h[9] = char(o_.lun);
        put32(h + 16, tag), put32(h + 20, ttt), put32(h + 28, exp_stat_sn_);
        for (uint32_t sn = 0; length > 0; sn++) {
            const uint32_t n = std::min(length, max_send_);
            h[1] = char(n == length ? 0x80 : 0), put32(h + 36, sn), put32(h + 40, offset);
            header(out_.add(), h, payload() + offset, n);
            offset += n, length -= n;
        }
    }

    bool pdu(Totals& t) {
        if (digests_ && body_ && ~crc_ != raw32(sent_digest_)) return lost("data digest");
        const int opcode = bhs_[0] & 0x3f;
        const uint32_t tag = get32(bhs_ + 16);
        switch (opcode) {
        case 0x25:                                        // Data-In
            if (tag >= slots_.size()) return lost("tag of Data-In");
            note_window();
            if (!(bhs_[1] & 1)) return true;              // no status yet
            break;
        case 0x21:                                        // SCSI Response
            if (tag >= slots_.size()) return lost("tag of a response");
            note_window();
            break;
        case 0x31: {                                      // R2T
            note_window();
            const uint32_t offset = get32(bhs_ + 40), length = get32(bhs_ + 44);
            if (tag >= slots_.size() || uint64_t(offset) + length > o_.bs) return lost("R2T");
            data_out(tag, get32(bhs_ + 20), offset, length);
            return true;
        }
        case 0x20:                                        // NOP-In
            note_window();
            if (get32(bhs_ + 20) != 0xffffffff) {
                char h[48] = {};
                h[0] = 0x40, h[1] = char(0x80);
                memcpy(h + 8, bhs_ + 8, 8), put32(h + 16, 0xffffffff), memcpy(h + 20, bhs_ + 20, 4), put32(h + 24, cmd_sn_), put32(h + 28, exp_stat_sn_);
                header(out_.add(), h, nullptr, 0);
            }
            return true;
        default: return lost("unexpected PDU");
        }
        if (opcode == 0x21 && bhs_[2] != 0) t.errors++;
        if (bhs_[3] != 0) t.errors++;                     // SCSI status
        t.latency.add(now_ns() - slots_[tag].started);
        free_.push_back(tag);
        return true;
    }
    void note_window() {
        // StatSN counts where the PDU carries status; R2T and plain Data-In only repeat or reserve the field
        const int opcode = bhs_[0] & 0x3f;
        if (opcode == 0x21 || (opcode == 0x25 && (bhs_[1] & 1)) || (opcode == 0x20 && get32(bhs_ + 16) != 0xffffffff)) exp_stat_sn_ = get32(bhs_ + 24) + 1;
        const uint32_t max = get32(bhs_ + 32);
        if (int32_t(max - max_cmd_sn_) > 0) max_cmd_sn_ = max;
    }

    // ---- before the clock runs: blocking
    bool send_all(const char* p, size_t n) {
        while (n) { ssize_t m = send(fd_, p, n, MSG_NOSIGNAL); if (m <= 0) return false; p += m, n -= size_t(m); }
        return true;
    }
    bool receive_pdu(std::string& data) {
        const bool d = digests_;
        if (recv(fd_, bhs_, 48, MSG_WAITALL) != 48) return false;
        char skip[4];
        if (d && recv(fd_, skip, 4, MSG_WAITALL) != 4) return false;
        const size_t length = get24(bhs_ + 5);
        data.resize((length + 3) / 4 * 4);
        if (length && recv(fd_, data.data(), data.size(), MSG_WAITALL) != ssize_t(data.size())) return false;
        if (d && length && recv(fd_, skip, 4, MSG_WAITALL) != 4) return false;
        data.resize(length);
        return true;
    }
    void learn(const std::string& text) {
        for (size_t at = 0; at < text.size();) {
            const std::string pair = text.c_str() + at;
            at += pair.size() + 1;
            const size_t eq = pair.find('=');
            if (eq == pair.npos) continue;
            const std::string key = pair.substr(0, eq), value = pair.substr(eq + 1);
            if (key == "MaxRecvDataSegmentLength") max_send_ = uint32_t(atoi(value.c_str()));
            if (key == "FirstBurstLength") first_burst_ = uint32_t(atoi(value.c_str()));
            if (key == "HeaderDigest" || key == "DataDigest") (value == "CRC32C" ? yes_ : no_)++;
            if (key == "InitialR2T") initial_r2t_ = value == "Yes";
            if (key == "ImmediateData") immediate_ = value == "Yes";
        }
    }
    bool login() {
        std::string text = "InitiatorName=iqn.2001-04.com.example:load" + std::to_string(getpid()) + '-' + std::to_string(number_) + '\0' + "SessionType=Normal" + '\0' +
            "TargetName=" + o_.target + '\0';
        const char* digest = o_.digests ? "CRC32C" : "None";
        text += std::string("HeaderDigest=") + digest + '\0' + "DataDigest=" + digest + '\0' + "ErrorRecoveryLevel=0" + '\0' + "MaxConnections=1" + '\0' +
            "InitialR2T=No" + '\0' + "ImmediateData=Yes" + '\0' + "MaxBurstLength=1048576" + '\0' + "FirstBurstLength=262144" + '\0' +
            "MaxOutstandingR2T=1" + '\0' + "MaxRecvDataSegmentLength=1048576" + '\0' + "DefaultTime2Wait=2" + '\0' + "DefaultTime2Retain=0" + '\0' +
            "DataPDUInOrder=Yes" + '\0' + "DataSequenceInOrder=Yes" + '\0';
        for (int round = 0; round < 10; round++) {
            char h[48] = {};
            h[0] = 0x43, h[1] = char(0x87);               // T, CSG operational, NSG full feature
            put24(h + 5, uint32_t(text.size()));
            h[8] = char(0x80), put32(h + 9, number_ << 8 | 1);
            put32(h + 24, cmd_sn_), put32(h + 28, exp_stat_sn_);
            std::string out(h, 48);
            out += text;
            out.resize((out.size() + 3) / 4 * 4);
            std::string data;
            if (!send_all(out.data(), out.size()) || !receive_pdu(data)) { fprintf(stderr, "load: login: connection lost\n"); return false; }
            if ((bhs_[0] & 0x3f) != 0x23 || bhs_[36] != 0) { fprintf(stderr, "load: login refused: class %d detail %d\n", bhs_[36], bhs_[37]); return false; }
            learn(data);
            exp_stat_sn_ = get32(bhs_ + 24) + 1, cmd_sn_ = get32(bhs_ + 28), max_cmd_sn_ = get32(bhs_ + 32);
            text.clear();
            if ((bhs_[1] & 0x83) != 0x83) continue;
            digests_ = o_.digests;
            if (yes_ != (digests_ ? 2 : 0)) { fprintf(stderr, "load: the target does not agree to digests\n"); return false; }
            return true;
        }
        return false;
    }
    // TEST UNIT READY until the unit attentions of a fresh nexus are gone, then READ CAPACITY(10)
    bool identify() {
        for (int i = 0; i < 8; i++) {
            char h[48] = {};
            h[0] = 0x01, h[1] = char(0x81), h[9] = char(o_.lun);
            put32(h + 16, 0), put32(h + 24, cmd_sn_++), put32(h + 28, exp_stat_sn_);
            if (!exchange(h)) return false;
            if (bhs_[3] == 0) break;
        }
        char h[48] = {};
        h[0] = 0x01, h[1] = char(0xc1), h[9] = char(o_.lun), h[32] = 0x25;
        put32(h + 16, 0), put32(h + 20, 8), put32(h + 24, cmd_sn_++), put32(h + 28, exp_stat_sn_);
        std::string data = exchange_data(h);
        if (data.size() < 8) { fprintf(stderr, "load: READ CAPACITY failed\n"); return false; }
        block_ = get32(&data[4]);
        if (block_ == 0 || o_.bs % block_ != 0) { fprintf(stderr, "load: blocks of %u bytes\n", block_); return false; }
        offsets_ = std::make_unique<Offsets>(o_, (uint64_t(get32(data.data())) + 1) * block_, number_);
        return true;
    }
    bool exchange(char* h) { answer_.clear(); return exchange_raw(h); }
    std::string exchange_data(char* h) { answer_.clear(); return exchange_raw(h) ? answer_ : std::string(); }
    bool exchange_raw(char* h) {
        Output one(o_);
        header(one.add(), h, nullptr, 0);
        if (!one.flush(fd_)) return false;
        for (;;) {
            std::string data;
            if (!receive_pdu(data)) return false;
            const int opcode = bhs_[0] & 0x3f;
            if (opcode != 0x25 && opcode != 0x21) continue;
            if (opcode == 0x25) answer_ = data;
            const uint32_t max = get32(bhs_ + 32);
            if (int32_t(max - max_cmd_sn_) > 0) max_cmd_sn_ = max;
            if (opcode == 0x21 || (bhs_[1] & 1)) { exp_stat_sn_ = get32(bhs_ + 24) + 1; return true; }
        }
    }

    const Options& o_;
    int fd_;
    unsigned number_;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_;
    std::unique_ptr<Offsets> offsets_;
    Output out_{o_};
    std::vector<char> in_ = std::vector<char>(64 << 10), scratch_ = std::vector<char>(256 << 10);
    size_t have_ = 0, body_left_ = 0, body_ = 0;
    char bhs_[48] = {};
    char sent_digest_[4] = {};
    uint32_t crc_ = 0;
    std::string answer_;
    const char* trouble_ = "";
    int yes_ = 0, no_ = 0;                                // digest keys answered CRC32C, and None
    bool digests_ = false, initial_r2t_ = true, immediate_ = true;
    uint32_t cmd_sn_ = 1, exp_stat_sn_ = 0, max_cmd_sn_ = 1, block_ = 512;
    uint32_t max_send_ = 8192, first_burst_ = 65536;      // RFC 7143 §13.12, §13.14
};

}  // namespace

std::unique_ptr<Session> make_iscsi_session(const Options& o, unsigned number) {
    int fd = connect_to(o);
    if (fd < 0) return nullptr;
    auto s = std::make_unique<IscsiSession>(o, number, fd);
    if (!s->setup()) return nullptr;
    return s;
}

}  // namespace bench
