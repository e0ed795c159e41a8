// A kernel for tests of the initiator's engine: answers the requests of the iSCSI transport class as Linux 6.1 does, keeps
// a list of them, and lets the test say what the target answers to PDUs.
#pragma once
#include <linux/netlink.h>

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/kernel/transport.h"
#include "core/wire/bhs.h"

namespace iscsi::test {

class FakeKernel : public kernel::Channel {
public:
    struct Call {
        kernel::Request type;
        uint32_t sid = 0, param = 0, flag = 0;
        std::string value;              // of a parameter
        std::vector<uint8_t> pdu;
    };
    std::vector<Call> calls;
    // What to answer to a PDU: header and data, or nothing.
    std::function<void(FakeKernel&, const Call&)> on_pdu;
    std::map<kernel::Request, int> fail;        // request -> errno
    uint32_t next_sid = 1;
    bool gone_devices = true;                   // UNBIND is followed by its event

    Result<void> send(Bytes datagram) override {
        nlmsghdr head;
        kernel::Uevent u;
        std::memcpy(&head, datagram.data(), sizeof head);
        std::memcpy(&u, datagram.data() + sizeof head, sizeof u);
        if (head.nlmsg_len != datagram.size()) return Error{EMSGSIZE, "fake", ""};
        Bytes payload = datagram.subspan(72);
        Call c{kernel::Request(u.type), u.u.connection.sid, 0, 0, "", {}};
        kernel::Uevent reply = u;
        switch (c.type) {
        case kernel::Request::create_session:
            c.sid = next_sid;
            reply.r.create_session = {next_sid, next_sid - 1};
            event(kernel::EventKind::create_session, next_sid++);
            break;
        case kernel::Request::set_param:
            c.param = u.u.set_param.param;
            c.value = std::string(as_text(payload.first(payload.size() - 1)));
            break;
        case kernel::Request::stop_connection: c.flag = u.u.stop.flag; break;
        case kernel::Request::send_pdu: c.pdu.assign(payload.begin(), payload.end()); break;
        case kernel::Request::unbind_session:
            if (gone_devices) event(kernel::EventKind::unbind_session, c.sid);
            break;
        case kernel::Request::destroy_session: event(kernel::EventKind::destroy_session, c.sid, c.sid); break;
        default: break;
        }
        if (auto it = fail.find(c.type); it != fail.end()) {
            reply.type = uint32_t(kernel::EventKind::interface_error);
            reply.error = -it->second;
        }
        queue(uint16_t(u.type), reply, {});
        calls.push_back(c);
        if (c.type == kernel::Request::send_pdu && on_pdu) on_pdu(*this, c);
        return {};
    }
    Result<std::vector<uint8_t>> receive(int) override {
        if (queue_.empty()) return std::vector<uint8_t>();
        auto d = std::move(queue_.front());
        queue_.pop_front();
        return d;
    }
    int fd() const override { return -1; }

    void event(kernel::EventKind kind, uint32_t sid, uint32_t second = 0, Bytes payload = {}) {
        kernel::Uevent u;
        u.type = uint32_t(kind);
        if (kind == kernel::EventKind::destroy_session) u.r.destroy_session = {0, sid};
        else if (kind == kernel::EventKind::connection_error) u.r.connection_error = {sid, 0, second};
        else u.r.create_session = {sid, 0};
        queue(0, u, payload);
    }
    template <class Header>
    void pdu(uint32_t sid, Header header, std::string_view data) {
        header.data_segment_length = uint32_t(data.size());
        std::vector<uint8_t> bytes(48 + pad4(data.size()));
        std::memcpy(bytes.data(), &header, 48);
        std::memcpy(bytes.data() + 48, data.data(), data.size());
        event(kernel::EventKind::recv_pdu, sid, 0, bytes);
    }
    size_t count(kernel::Request type) const {
        size_t n = 0;
        for (const Call& c : calls) n += c.type == type;
        return n;
    }
    void queue_raw(std::vector<uint8_t> datagram) { queue_.push_back(std::move(datagram)); }

private:
    void queue(uint16_t type, const kernel::Uevent& u, Bytes payload) {
        nlmsghdr head{};
        head.nlmsg_len = uint32_t(72 + payload.size());
        head.nlmsg_type = type;
        std::vector<uint8_t> d(72 + payload.size());
        std::memcpy(d.data(), &head, sizeof head);
        std::memcpy(d.data() + sizeof head, &u, sizeof u);
        if (!payload.empty()) std::memcpy(d.data() + 72, payload.data(), payload.size());
        queue_.push_back(std::move(d));
    }
    std::deque<std::vector<uint8_t>> queue_;
};

// A directory tree under /tmp that goes away with it.
class TempTree {
public:
    TempTree();
    ~TempTree();
    void file(const std::string& path, std::string_view text);      // folders are made
    void link(const std::string& path, const std::string& to);      // `to` is relative to the tree's root
    void folder(const std::string& path);
    std::string read(const std::string& path) const;
    const std::string& root() const { return root_; }

private:
    std::string root_;
};

}  // namespace iscsi::test
