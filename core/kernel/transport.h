// The client of the kernel's iSCSI transport class (iscsi_tcp). Requests are executed inside the send, so a call is
// answered at once and blocks no longer than the kernel works; what the kernel says by itself (a PDU for the daemon, a
// broken connection) are events, which may also arrive in front of a reply: they queue until the loop fetches them.
// One thread; the fd joins the owner's loop.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/io/loop.h"
#include "core/kernel/uevent.h"

namespace iscsi::kernel {

// Datagrams to and from the kernel. The seam at which unit tests put a kernel of their own.
class Channel {
public:
    virtual ~Channel() = default;
    virtual Result<void> send(Bytes datagram) = 0;
    // The next datagram, or an empty one if none comes within the time.
    virtual Result<std::vector<uint8_t>> receive(int timeout_ms) = 0;
    virtual int fd() const = 0;         // -1: none to watch
};
Result<std::unique_ptr<Channel>> open_netlink();

struct Event {
    EventKind kind;
    uint32_t sid = 0, cid = 0;
    uint32_t error = 0;                 // connection_error
    std::vector<uint8_t> header, data;  // recv_pdu: 48 bytes, and the data segment
};

struct NewSession {
    uint32_t sid, host;
};

struct Statistics {
    std::vector<std::pair<std::string, uint64_t>> snmp, extended;
};

class Transport : private io::Watcher {
public:
    Transport(std::unique_ptr<Channel> channel, uint64_t handle) : channel_(std::move(channel)), handle_(handle) {}
    virtual ~Transport();

    // The number the kernel gives the transport (Sysfs::transport_handle); it changes when the module is loaded anew.
    void set_handle(uint64_t handle) { handle_ = handle; }

    // Events go to `sink` from the loop's turn, never from within a call below. `lost`: the queue overflowed
    // (ENOBUFS), events are missing: look at sysfs.
    Result<void> watch(io::Loop& loop, std::function<void(const Event&)> sink, std::function<void()> lost);

    Result<NewSession> create_session(uint32_t initial_cmdsn, uint16_t cmds_max, uint16_t queue_depth);
    Result<void> create_connection(uint32_t sid, uint32_t cid);
    Result<void> bind_connection(uint32_t sid, uint32_t cid, int socket);
    Result<void> set_param(uint32_t sid, uint32_t cid, Param param, std::string_view value);
    Result<void> start_connection(uint32_t sid, uint32_t cid);
    Result<void> stop_connection(uint32_t sid, uint32_t cid, StopFlag flag);
    Result<void> send_pdu(uint32_t sid, uint32_t cid, Bytes header, Bytes data);    // data unpadded
    Result<Statistics> statistics(uint32_t sid, uint32_t cid);
    Result<void> unbind_session(uint32_t sid);          // reply at once; event unbind_session when its devices are gone
    Result<void> destroy_connection(uint32_t sid, uint32_t cid);
    Result<void> destroy_session(uint32_t sid);

    // Hands queued events to the sink now (after a call, with no loop running).
    void dispatch();
    void poll(int timeout_ms);          // and those that arrive within the time

private:
    void on_ready(uint32_t) override;
    Result<Uevent> request(Request type, Uevent& event, Bytes payload, const char* what,
                           std::vector<uint8_t>* rest = nullptr);
    Result<void> plain(Request type, Uevent& event, Bytes payload, const char* what);
    void queue(Bytes datagram);
    bool drain(int timeout_ms);

    std::unique_ptr<Channel> channel_;
    uint64_t handle_;
    io::Loop* loop_ = nullptr;
    std::function<void(const Event&)> sink_;
    std::function<void()> lost_;
    std::unique_ptr<io::Deferred> later_;
    std::deque<Event> events_;
    bool overflowed_ = false;
};

}  // namespace iscsi::kernel
