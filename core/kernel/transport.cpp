#include "core/kernel/transport.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/base/log.h"

namespace iscsi::kernel {
namespace {

constexpr size_t head_length = sizeof(nlmsghdr) + sizeof(Uevent);
static_assert(head_length == 72);
constexpr size_t max_datagram = 128 * 1024;     // the kernel passes up at most a login or text PDU
constexpr int reply_limit_ms = 30000;           // stopping a connection waits for the kernel's workers
constexpr size_t max_events = 4096;

class Netlink : public Channel {
public:
    explicit Netlink(Fd fd) : fd_(std::move(fd)) {}
    Result<void> send(Bytes datagram) override {
        sockaddr_nl kernel{};
        kernel.nl_family = AF_NETLINK;
        ssize_t n;
        do {
            n = ::sendto(fd_.get(), datagram.data(), datagram.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
        } while (n < 0 && errno == EINTR);
        if (n < 0) return Error{errno, "send to the kernel's iSCSI transport", ""};
        return {};
    }
    Result<std::vector<uint8_t>> receive(int timeout_ms) override {
        for (;;) {
            // MSG_TRUNC | MSG_PEEK: the datagram's real length, before it meets an allocator.
            ssize_t n = ::recv(fd_.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
            if (n >= 0) {
                std::vector<uint8_t> out(std::min(size_t(n), max_datagram));
                sockaddr_nl from{};
                socklen_t length = sizeof from;
                n = ::recvfrom(fd_.get(), out.data(), out.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
                if (n < 0) continue;
                if (from.nl_pid != 0) continue;     // only the kernel's word counts
                out.resize(size_t(n));
                return out;
            }
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return Error{errno, "read from the kernel's iSCSI transport", ""};
            pollfd p{fd_.get(), POLLIN, 0};
            int ready = timeout_ms != 0 ? ::poll(&p, 1, timeout_ms) : 0;
            if (ready < 0 && errno == EINTR) continue;
            if (ready <= 0) return std::vector<uint8_t>();
        }
    }
    int fd() const override { return fd_.get(); }

private:
    Fd fd_;
};

}  // namespace

Result<std::unique_ptr<Channel>> open_netlink() {
    Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, netlink_iscsi));
    if (!fd) return Error{errno, "open the kernel's iSCSI interface (is module scsi_transport_iscsi there?)", ""};
    sockaddr_nl own{};
    own.nl_family = AF_NETLINK;
    own.nl_groups = daemon_group;
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) != 0)
        return Error{errno, "bind the kernel's iSCSI interface", ""};
    int size = 1 << 20;     // a burst of events of many sessions must not overflow it
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return std::unique_ptr<Channel>(new Netlink(std::move(fd)));
}

Transport::~Transport() {
    if (loop_ && channel_->fd() >= 0) loop_->remove(channel_->fd(), *this);
}

Result<void> Transport::watch(io::Loop& loop, std::function<void(const Event&)> sink, std::function<void()> lost) {
    sink_ = std::move(sink);
    lost_ = std::move(lost);
    loop_ = &loop;
    later_ = std::make_unique<io::Deferred>(loop, [this] { dispatch(); });
    if (channel_->fd() >= 0) return loop.add(channel_->fd(), EPOLLIN, *this);
    return {};
}

void Transport::on_ready(uint32_t) {
    drain(0);
    dispatch();
}

// Reads what there is, waiting at most so long for the first; true if something came.
bool Transport::drain(int timeout_ms) {
    bool any = false;
    for (;;) {
        auto datagram = channel_->receive(any ? 0 : timeout_ms);
        if (!datagram) {
            if (datagram.error().code == ENOBUFS) {
                overflowed_ = true;
                continue;
            }
            log::error("%s", datagram.error().text().c_str());
            return any;
        }
        if (datagram->empty()) return any;
        queue(*datagram);
        any = true;
    }
}

void Transport::poll(int timeout_ms) {
    drain(timeout_ms);
    dispatch();
}

void Transport::dispatch() {
    if (overflowed_) {
        overflowed_ = false;
        log::warning("events of the kernel's iSCSI transport were lost, re-reading session states");
        if (lost_) lost_();
    }
    while (!events_.empty() && sink_) {
        Event e = std::move(events_.front());
        events_.pop_front();
        sink_(e);
    }
}

void Transport::queue(Bytes datagram) {
    if (datagram.size() < head_length) return;
    nlmsghdr head;
    Uevent u;
    std::memcpy(&head, datagram.data(), sizeof head);
    std::memcpy(&u, datagram.data() + sizeof head, sizeof u);
    if (head.nlmsg_len < head_length || head.nlmsg_len > datagram.size()) return;
    Bytes payload = datagram.subspan(head_length, head.nlmsg_len - head_length);
    Event e{EventKind(u.type), 0, 0, 0, {}, {}};
    switch (e.kind) {
    case EventKind::recv_pdu: {
        if (payload.size() < 48) return;
        e.sid = u.r.recv_pdu.sid;
        e.cid = u.r.recv_pdu.cid;
        e.header.assign(payload.begin(), payload.begin() + 48);
        // The data segment as long as the header says, without padding, never longer than what came.
        size_t length = std::min<size_t>(get24(payload.data() + 5), payload.size() - 48);
        e.data.assign(payload.begin() + 48, payload.begin() + 48 + ptrdiff_t(length));
        break;
    }
    case EventKind::connection_error:
        e.sid = u.r.connection_error.sid;
        e.cid = u.r.connection_error.cid;
        e.error = u.r.connection_error.error;
        break;
    case EventKind::destroy_session: e.sid = u.r.destroy_session.sid; break;
    case EventKind::unbind_session:
    case EventKind::create_session: e.sid = u.r.create_session.sid; break;
    default: return;
    }
    if (events_.size() >= max_events) {
        overflowed_ = true;
        return;
    }
    events_.push_back(std::move(e));
}

Result<Uevent> Transport::request(Request type, Uevent& event, Bytes payload, const char* what, std::vector<uint8_t>* rest) {
    event.type = uint32_t(type);
    event.transport_handle = handle_;
    nlmsghdr head{};
    head.nlmsg_len = uint32_t(head_length + payload.size());
    head.nlmsg_type = uint16_t(type);
    std::vector<uint8_t> datagram(head_length + payload.size());
    std::memcpy(datagram.data(), &head, sizeof head);
    std::memcpy(datagram.data() + sizeof head, &event, sizeof event);
    if (!payload.empty()) std::memcpy(datagram.data() + head_length, payload.data(), payload.size());
    TRY_VOID(channel_->send(datagram));

    for (;;) {
        auto answer = channel_->receive(reply_limit_ms);
        if (!answer) {
            if (answer.error().code != ENOBUFS) return answer.error();
            overflowed_ = true;
            continue;
        }
        if (answer->empty()) return Error{ETIMEDOUT, what, ""};
        if (answer->size() < head_length) continue;
        std::memcpy(&head, answer->data(), sizeof head);
        Uevent reply;
        std::memcpy(&reply, answer->data() + sizeof head, sizeof reply);
        // Statistics come as an event (nlmsg_type 0) of the request's type.
        bool ours = head.nlmsg_type == uint16_t(type) ||
                    (type == Request::get_stats && head.nlmsg_type == 0 && reply.type == uint32_t(type));
        if (!ours) {
            queue(*answer);
            if (later_) later_->schedule();
            continue;
        }
        if (reply.type == uint32_t(EventKind::interface_error)) return Error{-reply.error, what, ""};
        if (rest) rest->assign(answer->begin() + ptrdiff_t(head_length), answer->end());
        return reply;
    }
}

Result<void> Transport::plain(Request type, Uevent& event, Bytes payload, const char* what) {
    Uevent reply = TRY(request(type, event, payload, what));
    if (reply.r.code != 0) return Error{reply.r.code < 0 ? -reply.r.code : EPROTO, what, ""};
    return {};
}

Result<NewSession> Transport::create_session(uint32_t initial_cmdsn, uint16_t cmds_max, uint16_t queue_depth) {
    Uevent e;
    e.u.create_session = {initial_cmdsn, cmds_max, queue_depth};
    Uevent reply = TRY(request(Request::create_session, e, {}, "create a session in the kernel"));
    return NewSession{reply.r.create_session.sid, reply.r.create_session.host};
}

Result<void> Transport::create_connection(uint32_t sid, uint32_t cid) {
    Uevent e;
    e.u.connection = {sid, cid};
    (void)TRY(request(Request::create_connection, e, {}, "create a connection in the kernel"));
    return {};
}

Result<void> Transport::bind_connection(uint32_t sid, uint32_t cid, int socket) {
    Uevent e;
    e.u.bind = {sid, cid, uint64_t(uint32_t(socket)), 1};
    return plain(Request::bind_connection, e, {}, "bind a socket to the kernel's connection");
}

Result<void> Transport::set_param(uint32_t sid, uint32_t cid, Param param, std::string_view value) {
    Uevent e;
    std::string text(value);            // the kernel wants its NUL
    e.u.set_param = {sid, cid, uint32_t(param), uint32_t(text.size() + 1)};
    return plain(Request::set_param, e, as_bytes(std::string_view(text.c_str(), text.size() + 1)), "set a session parameter");
}

Result<void> Transport::start_connection(uint32_t sid, uint32_t cid) {
    Uevent e;
    e.u.connection = {sid, cid};
    return plain(Request::start_connection, e, {}, "start the connection");
}

Result<void> Transport::stop_connection(uint32_t sid, uint32_t cid, StopFlag flag) {
    Uevent e;
    e.u.stop = {sid, cid, 0, uint32_t(flag)};
    return plain(Request::stop_connection, e, {}, "stop the connection");
}

Result<void> Transport::send_pdu(uint32_t sid, uint32_t cid, Bytes header, Bytes data) {
    Uevent e;
    e.u.send_pdu = {sid, cid, uint32_t(header.size()), uint32_t(pad4(data.size()))};
    std::vector<uint8_t> pdu(header.begin(), header.end());
    pdu.insert(pdu.end(), data.begin(), data.end());
    pdu.resize(header.size() + pad4(data.size()));
    return plain(Request::send_pdu, e, pdu, "send a PDU");
}

Result<void> Transport::unbind_session(uint32_t sid) {
    Uevent e;
    e.u.connection = {sid, 0};
    (void)TRY(request(Request::unbind_session, e, {}, "remove the session's devices"));
    return {};
}

Result<void> Transport::destroy_connection(uint32_t sid, uint32_t cid) {
    Uevent e;
    e.u.connection = {sid, cid};
    return plain(Request::destroy_connection, e, {}, "remove the connection");
}

Result<void> Transport::destroy_session(uint32_t sid) {
    Uevent e;
    e.u.connection = {sid, 0};
    return plain(Request::destroy_session, e, {}, "remove the session");
}

Result<Statistics> Transport::statistics(uint32_t sid, uint32_t cid) {
    static constexpr const char* names[] = {
        "noptx_pdus", "scsicmd_pdus", "tmfcmd_pdus", "login_pdus", "text_pdus", "dataout_pdus", "logout_pdus", "snack_pdus",
        "noprx_pdus", "scsirsp_pdus", "tmfrsp_pdus", "textrsp_pdus", "datain_pdus", "logoutrsp_pdus", "r2t_pdus",
        "async_pdus", "rjt_pdus", "digest_err", "timeout_err"};
    Uevent e;
    e.u.connection = {sid, cid};
    std::vector<uint8_t> rest;
    (void)TRY(request(Request::get_stats, e, {}, "read the session's statistics", &rest));
    if (rest.size() < sizeof(StatsHead)) return Error{EPROTO, "read the session's statistics", ""};
    StatsHead head;
    std::memcpy(&head, rest.data(), sizeof head);
    Statistics out;
    out.snmp.emplace_back("txdata_octets", head.octets[0]);
    out.snmp.emplace_back("rxdata_octets", head.octets[1]);
    for (size_t i = 0; i < std::size(names); i++) out.snmp.emplace_back(names[i], head.counters[i]);
    size_t room = (rest.size() - sizeof head) / sizeof(CustomStat);
    for (size_t i = 0; i < head.custom_length && i < room; i++) {
        CustomStat c;
        std::memcpy(&c, rest.data() + sizeof head + i * sizeof c, sizeof c);
        out.extended.emplace_back(std::string(c.name, ::strnlen(c.name, sizeof c.name)), c.value);
    }
    return out;
}

const char* connection_error_text(uint32_t error) {
    switch (error) {
    case 1001: return "ISCSI_ERR_DATASN: Received invalid data sequence number from target";
    case 1002: return "ISCSI_ERR_DATA_OFFSET: Received invalid data offset from target";
    case 1003: return "ISCSI_ERR_MAX_CMDSN: Received invalid command sequence number from target";
    case 1004: return "ISCSI_ERR_EXP_CMDSN: Received invalid expected command sequence number from target";
    case 1005: return "ISCSI_ERR_BAD_OPCODE: Received invalid iSCSI opcode from target";
    case 1006: return "ISCSI_ERR_DATALEN: Received invalid data length from target";
    case 1007: return "ISCSI_ERR_AHSLEN: Received an invalid AHS length";
    case 1008: return "ISCSI_ERR_PROTO: iSCSI protocol violation";
    case 1009: return "ISCSI_ERR_LUN: LUN mismatch";
    case 1010: return "ISCSI_ERR_BAD_ITT: Received invalid initiator task tag from target";
    case 1011: return "ISCSI_ERR_CONN_FAILED: iSCSI connection failed";
    case 1012: return "ISCSI_ERR_R2TSN: Received invalid R2T (Ready to Transfer) data sequence number from target";
    case 1013: return "ISCSI_ERR_SESSION_FAILED: iSCSI session failed";
    case 1014: return "ISCSI_ERR_HDR_DGST: Header digest mismatch";
    case 1015: return "ISCSI_ERR_DATA_DGST: Data digest mismatch";
    case 1016: return "ISCSI_ERR_PARAM_NOT_FOUND: Parameter not found";
    case 1017: return "ISCSI_ERR_NO_SCSI_CMD: Could not look up SCSI command";
    case 1018: return "ISCSI_ERR_INVALID_HOST: iSCSI host is in an invalid state";
    case 1019: return "ISCSI_ERR_XMIT_FAILED: Transmission of iSCSI packet failed";
    case 1020: return "ISCSI_ERR_TCP_CONN_CLOSE: TCP connection closed";
    case 1021: return "ISCSI_ERR_SCSI_EH_SESSION_RST: Session was dropped as a result of SCSI error recovery";
    case 1022: return "ISCSI_ERR_NOP_TIMEDOUT: A NOP has timed out";
    default: return "Invalid or unknown error code";
    }
}

}  // namespace iscsi::kernel
