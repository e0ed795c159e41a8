#include "core/kernel/nbd.h"

#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>

#include "core/base/fd.h"

namespace iscsi::kernel {
namespace {

constexpr int answer_ms = 10000;

void attribute(std::string& out, uint16_t type, const void* data, size_t size) {
    nlattr head{uint16_t(NLA_HDRLEN + size), type};
    out.append(reinterpret_cast<const char*>(&head), sizeof head);
    out.append(static_cast<const char*>(data), size);
    out.resize(NLA_ALIGN(out.size()));
}
void attribute64(std::string& out, uint16_t type, uint64_t v) { attribute(out, type, &v, sizeof v); }
void attribute32(std::string& out, uint16_t type, uint32_t v) { attribute(out, type, &v, sizeof v); }
void nested(std::string& out, uint16_t type, const std::string& inner) {
    attribute(out, uint16_t(type | NLA_F_NESTED), inner.data(), inner.size());
}

// The payload of the attribute `type`, or nothing.
std::optional<std::string_view> find_attribute(std::string_view attributes, uint16_t type) {
    while (attributes.size() >= NLA_HDRLEN) {
        nlattr head;
        std::memcpy(&head, attributes.data(), sizeof head);
        if (head.nla_len < NLA_HDRLEN || head.nla_len > attributes.size()) return {};
        if ((head.nla_type & NLA_TYPE_MASK) == type) return attributes.substr(NLA_HDRLEN, head.nla_len - NLA_HDRLEN);
        attributes.remove_prefix(std::min<size_t>(NLA_ALIGN(head.nla_len), attributes.size()));
    }
    return {};
}

class Generic {
public:
    static Result<Generic> open() {
        Generic g;
        g.socket_ = Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
        if (!g.socket_) return Error{errno, "open generic netlink", ""};
        return g;
    }

    // Sends one request and takes answers until the acknowledgement; the attributes of the answer that had some.
    Result<std::string> call(uint16_t family, uint8_t command, uint8_t version, const std::string& attributes, const char* what) {
        std::string m(NLMSG_HDRLEN + GENL_HDRLEN, '\0');
        genlmsghdr generic{command, version, 0};
        std::memcpy(&m[NLMSG_HDRLEN], &generic, sizeof generic);
        m += attributes;
        nlmsghdr head{uint32_t(m.size()), family, NLM_F_REQUEST | NLM_F_ACK, ++sequence_, 0};
        std::memcpy(&m[0], &head, sizeof head);
        if (::send(socket_.get(), m.data(), m.size(), 0) < 0) return Error{errno, what, ""};
        std::string found;
        for (;;) {
            pollfd p{socket_.get(), POLLIN, 0};
            if (::poll(&p, 1, answer_ms) <= 0) return Error{ETIMEDOUT, what, ""};
            char buffer[8192];
            ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
            if (n < 0) return Error{errno, what, ""};
            std::string_view rest(buffer, size_t(n));
            while (rest.size() >= NLMSG_HDRLEN) {
                std::memcpy(&head, rest.data(), sizeof head);
                if (head.nlmsg_len < NLMSG_HDRLEN || head.nlmsg_len > rest.size()) return Error{EPROTO, what, ""};
                std::string_view body = rest.substr(NLMSG_HDRLEN, head.nlmsg_len - NLMSG_HDRLEN);
                rest.remove_prefix(std::min<size_t>(NLMSG_ALIGN(head.nlmsg_len), rest.size()));
                if (head.nlmsg_seq != sequence_) continue;
                if (head.nlmsg_type == NLMSG_ERROR) {
                    int error;
                    if (body.size() < sizeof error) return Error{EPROTO, what, ""};
                    std::memcpy(&error, body.data(), sizeof error);
                    if (error) return Error{-error, what, ""};
                    return found;
                }
                if (body.size() > GENL_HDRLEN) found = body.substr(GENL_HDRLEN);
            }
        }
    }

    Result<uint16_t> family(const char* name) {
        std::string a;
        attribute(a, CTRL_ATTR_FAMILY_NAME, name, std::strlen(name) + 1);
        auto answer = TRY(call(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, a, "find the nbd driver (modprobe nbd)"));
        auto id = find_attribute(answer, CTRL_ATTR_FAMILY_ID);
        uint16_t n;
        if (!id || id->size() < sizeof n) return Error{EPROTO, "find the nbd driver", ""};
        std::memcpy(&n, id->data(), sizeof n);
        return n;
    }

private:
    Fd socket_;
    uint32_t sequence_ = 0;
};

std::string index_attribute(uint32_t index) {
    std::string a;
    attribute32(a, NBD_ATTR_INDEX, index);
    return a;
}

}  // namespace

std::string nbd_connect_attributes(const NbdDevice& d, int socket) {
    uint64_t flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA;
    if (d.read_only) flags |= NBD_FLAG_READ_ONLY;
    if (d.can_trim) flags |= NBD_FLAG_SEND_TRIM;
    if (d.rotational) flags |= 1 << 4;                  // NBD_FLAG_ROTATIONAL, since 6.11; before that it is ignored
    std::string a;
    if (d.index) attribute32(a, NBD_ATTR_INDEX, *d.index);
    attribute64(a, NBD_ATTR_SIZE_BYTES, d.bytes);
    attribute64(a, NBD_ATTR_BLOCK_SIZE_BYTES, d.block_size);
    attribute64(a, NBD_ATTR_SERVER_FLAGS, flags);
    if (d.dead_timeout_s) attribute64(a, NBD_ATTR_DEAD_CONN_TIMEOUT, d.dead_timeout_s);
    std::string fd, item, sockets;
    attribute32(fd, NBD_SOCK_FD, uint32_t(socket));
    nested(item, NBD_SOCK_ITEM, fd);
    nested(a, NBD_ATTR_SOCKETS, item);
    return a;
}

Result<uint32_t> nbd_connect(const NbdDevice& device, int socket) {
    auto netlink = TRY(Generic::open());
    const uint16_t family = TRY(netlink.family(NBD_GENL_FAMILY_NAME));
    auto answer = TRY(netlink.call(family, NBD_CMD_CONNECT, NBD_GENL_VERSION, nbd_connect_attributes(device, socket),
                                   "connect an nbd device"));
    auto index = find_attribute(answer, NBD_ATTR_INDEX);
    uint32_t n;
    if (!index || index->size() < sizeof n) return Error{EPROTO, "connect an nbd device", ""};
    std::memcpy(&n, index->data(), sizeof n);
    return n;
}

Result<void> nbd_disconnect(uint32_t index) {
    auto netlink = TRY(Generic::open());
    const uint16_t family = TRY(netlink.family(NBD_GENL_FAMILY_NAME));
    auto answer = netlink.call(family, NBD_CMD_DISCONNECT, NBD_GENL_VERSION, index_attribute(index), "disconnect");
    if (!answer) return answer.error();
    return {};
}

Result<void> nbd_resize(uint32_t index, uint64_t bytes) {
    auto netlink = TRY(Generic::open());
    const uint16_t family = TRY(netlink.family(NBD_GENL_FAMILY_NAME));
    std::string a = index_attribute(index);
    attribute64(a, NBD_ATTR_SIZE_BYTES, bytes);
    auto answer = netlink.call(family, NBD_CMD_RECONFIGURE, NBD_GENL_VERSION, a, "resize");
    if (!answer) return answer.error();
    return {};
}

}  // namespace iscsi::kernel
