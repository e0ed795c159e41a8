// A target of a few lines for tests of the initiator: reads whole PDUs on the loop under test and hands them to a script,
// which answers what it likes, also what no target may.
#pragma once
#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <vector>

#include "core/io/loop.h"
#include "core/wire/bhs.h"
#include "core/wire/digest.h"

namespace iscsi::test {

class FakeTarget final : public io::Watcher {
public:
    using Script = std::function<void(FakeTarget&, const wire::Bhs&, Bytes data)>;
    FakeTarget(io::Loop& loop, Fd socket, Script script) : loop_(loop), socket_(std::move(socket)), script_(std::move(script)) {
        REQUIRE(bool(loop_.add(socket_.get(), EPOLLIN, *this)));
    }
    ~FakeTarget() { close(); }
    void close() {
        if (socket_) loop_.remove(socket_.get(), *this);
        socket_.reset();
    }

    template <class Header>
    void send(Header h, Bytes data = {}) {
        h.data_segment_length = uint32_t(data.size());
        send_lying(h, data);
    }
    // As the header says, even if that is not what follows.
    template <class Header>
    void send_lying(const Header& h, Bytes data = {}) {
        static_assert(sizeof(Header) == wire::bhs_length);
        std::vector<uint8_t> out(reinterpret_cast<const uint8_t*>(&h), reinterpret_cast<const uint8_t*>(&h) + sizeof h);
        if (header_digest) add_digest(out, 0);
        const size_t begin = out.size();
        out.insert(out.end(), data.begin(), data.end());
        out.resize(begin + pad4(data.size()));
        if (data_digest && !data.empty()) add_digest(out, begin);
        out_.insert(out_.end(), out.begin(), out.end());
        flush();
    }

    // Grants what a Login Request asks for; `text` is "A=1|B=2".
    void grant_login(const wire::Bhs& request, std::string text = "") {
        auto r = wire::header_cast<wire::LoginRequest>(request);
        wire::LoginResponse h;
        h.flags = r.flags;
        std::memcpy(h.isid, r.isid, 6);
        h.tsih = 1;
        h.itt = r.itt;
        h.stat_sn = stat_sn++;
        exp_cmd_sn = r.cmd_sn;
        h.exp_cmd_sn = exp_cmd_sn;
        h.max_cmd_sn = exp_cmd_sn + window - 1;
        for (char& c : text)
            if (c == '|') c = '\0';
        if (!text.empty()) text += '\0';
        send(h, as_bytes(text));
    }
    // StatSN, ExpCmdSN, MaxCmdSN of an answer that carries status (or not).
    template <class Header>
    Header numbered(Header h, bool status = true) {
        h.stat_sn = status ? stat_sn++ : stat_sn;
        h.exp_cmd_sn = exp_cmd_sn;
        h.max_cmd_sn = exp_cmd_sn + window - 1;
        return h;
    }
    void answer_good(uint32_t itt) {
        wire::ScsiResponse h;
        h.itt = itt;
        send(numbered(h));
    }

    bool header_digest = false, data_digest = false;
    uint32_t stat_sn = 100, exp_cmd_sn = 0, window = 32;

private:
    static void add_digest(std::vector<uint8_t>& out, size_t from) {
        uint32_t crc = wire::crc32c(0, Bytes(out).subspan(from));
        out.resize(out.size() + 4);
        wire::put_digest(&out[out.size() - 4], crc);
    }
    void flush() {
        if (!socket_) return;
        ssize_t n = out_.empty() ? 0 : ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) out_.erase(out_.begin(), out_.begin() + n);
        loop_.modify(socket_.get(), EPOLLIN | (out_.empty() ? 0u : uint32_t(EPOLLOUT)), *this);
    }
    void on_ready(uint32_t events) override {
        if (events & EPOLLOUT) flush();
        if (!(events & ~uint32_t(EPOLLOUT))) return;
        uint8_t block[65536];
        ssize_t n = ::recv(socket_.get(), block, sizeof block, MSG_DONTWAIT);
        if (n == 0) return close();
        if (n < 0) return;
        in_.insert(in_.end(), block, block + n);
        while (socket_ && in_.size() >= wire::bhs_length) {
            wire::Bhs h;
            std::memcpy(&h, in_.data(), sizeof h);
            const size_t head = wire::bhs_length + (header_digest ? 4 : 0), length = h.data_segment_length;
            const size_t whole = head + pad4(length) + (data_digest && length ? 4 : 0);
            if (in_.size() < whole) return;
            if (header_digest) CHECK(wire::get_digest(&in_[48]) == wire::crc32c(0, Bytes(in_).first(48)));
            if (data_digest && length)
                CHECK(wire::get_digest(&in_[whole - 4]) == wire::crc32c(0, Bytes(in_).subspan(head, pad4(length))));
            std::vector<uint8_t> data(in_.begin() + ssize_t(head), in_.begin() + ssize_t(head + length));
            in_.erase(in_.begin(), in_.begin() + ssize_t(whole));
            if (h.op() == wire::Opcode::scsi_command) exp_cmd_sn++;
            script_(*this, h, data);
        }
    }

    io::Loop& loop_;
    Fd socket_;
    Script script_;
    std::vector<uint8_t> in_, out_;
};

}  // namespace iscsi::test
