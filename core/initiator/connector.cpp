#include "core/initiator/connector.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstring>

namespace iscsi::initiator {

Connector::Connector(io::Loop& loop, ConnectSettings settings, Done done)
    : loop_(loop), settings_(std::move(settings)), done_(std::move(done)),
      deadline_(loop, [this] { finish(Fd(), {false, ETIMEDOUT, "Connection timed out"}); }),
      kick_(loop, [this] { try_next(); }) {
    deadline_.arm(settings_.timeout_ms);
    if (auto numeric = io::parse_numeric(settings_.host, settings_.port)) {
        addresses_.push_back(*numeric);
        kick_.arm(0);
        return;
    }
    io::ResolveOptions options;
    options.timeout_ms = settings_.timeout_ms;
    lookup_ = std::make_unique<io::Lookup>(loop_, settings_.host, settings_.port, options, [this](Result<io::Addresses> found) {
        if (found) addresses_ = std::move(*found);
        else last_ = {true, found.error().code, found.error().text()};
        kick_.arm(0);
    });
}

Connector::~Connector() {
    if (fd_) loop_.remove(fd_.get(), *this);
}

Result<Fd> Connector::open_socket(const io::Address& to) {
    Fd fd(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!fd) return Error{errno, "socket", ""};
    int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (settings_.buffer_size) {        // before the connect: the window scale is agreed on in the handshake
        int size = int(settings_.buffer_size);
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    if (settings_.type_of_service) {
        int tos = int(settings_.type_of_service);
        if (to.family() == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
        else ::setsockopt(fd.get(), IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    }
    if (!settings_.bind_interface.empty() &&
        ::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, settings_.bind_interface.c_str(),
                     socklen_t(settings_.bind_interface.size() + 1)) != 0)
        return Error{errno, "bind to network interface", settings_.bind_interface};
    if (!settings_.bind_address.empty()) {
        auto from = io::parse_numeric(settings_.bind_address, 0);
        if (!from || ::bind(fd.get(), from->get(), from->length) != 0)
            return Error{from ? errno : EINVAL, "bind to address", settings_.bind_address};
    }
    return fd;
}

void Connector::try_next() {
    while (next_ < addresses_.size()) {
        const io::Address& to = addresses_[next_++];
        auto fd = open_socket(to);
        if (!fd) {
            last_ = {false, fd.error().code, fd.error().text()};
            continue;
        }
        fd_ = std::move(*fd);
        if (::connect(fd_.get(), to.get(), to.length) != 0 && errno != EINPROGRESS) {
            last_ = {false, errno, std::strerror(errno)};
            fd_.reset();
            continue;
        }
        if (auto added = loop_.add(fd_.get(), EPOLLOUT, *this); !added) {
            last_ = {false, added.error().code, added.error().text()};
            fd_.reset();
            continue;
        }
        return;
    }
    finish(Fd(), last_);
}

void Connector::on_ready(uint32_t) {
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    loop_.remove(fd_.get(), *this);
    if (error) {
        last_ = {false, error, std::strerror(error)};
        fd_.reset();
        kick_.arm(0);
        return;
    }
    finish(std::move(fd_), {});
}

void Connector::finish(Fd fd, ConnectFailure failure) {
    deadline_.cancel();
    kick_.cancel();
    if (fd_) {
        loop_.remove(fd_.get(), *this);
        fd_.reset();
    }
    Done done = std::move(done_);       // the owner may destroy us inside
    if (done) done(std::move(fd), failure);
}

}  // namespace iscsi::initiator
