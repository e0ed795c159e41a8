#include "core/io/zerocopy.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/errqueue.h>

#include <cerrno>
#include <cstring>

namespace iscsi::io {

Zerocopy::Zerocopy(int socket, uint32_t first) : first_(first) {
    int on = 1;
    if (::setsockopt(socket, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on) != 0) state_ = State::off;
}

Zerocopy::~Zerocopy() = default;

ssize_t Zerocopy::send(int socket, const iovec& piece, const Memory& memory, size_t size, int flags) {
    iovec one = piece;
    msghdr message{};
    message.msg_iov = &one;
    message.msg_iovlen = 1;
    flags |= MSG_DONTWAIT | MSG_NOSIGNAL;
    if (size > 0 && wanted() && piece.iov_len >= least) {       // the short rest of a piece is not worth it
        ssize_t n;
        do n = ::sendmsg(socket, &message, flags | MSG_ZEROCOPY); while (n < 0 && errno == EINTR);
        if (n > 0) sent(memory, size);
        if (n >= 0 || errno != ENOBUFS) return n;
        // More than net.core.optmem_max or RLIMIT_MEMLOCK allow. With nothing on its way it would be so the next time too.
        state_ = held_.empty() ? State::off : State::refused;
    }
    ssize_t n;
    do n = ::sendmsg(socket, &message, flags); while (n < 0 && errno == EINTR);
    return n;
}

void Zerocopy::sent(const Memory& memory, size_t size) {
    // Several pieces of one memory, one after the other: the last one answers for it.
    if (!held_.empty() && held_.back().memory == memory)
        held_.back().bytes = 0;
    else
        held_bytes_ += size;
    held_.push_back({memory, size});
    sends_++;
}

void Zerocopy::completed(uint32_t first, uint32_t last, bool copied) {
    const uint32_t more = last - first;
    for (size_t i = 0; i < held_.size(); i++) {
        Held& held = held_[i];
        if (first_ + uint32_t(i) - first > more || !held.memory) continue;
        held_bytes_ -= held.bytes;
        held.memory.reset();
    }
    size_t gone = 0;
    while (gone < held_.size() && !held_[gone].memory) gone++;
    held_.erase(held_.begin(), held_.begin() + ptrdiff_t(gone));
    first_ += uint32_t(gone);
    if (copied)
        state_ = State::off;
    else if (state_ != State::off)
        state_ = State::on;
}

bool Zerocopy::take_notification(int socket) {
    union {
        cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(sock_extended_err) + sizeof(sockaddr_in6))];
    } space;
    msghdr message{};
    message.msg_control = space.bytes;
    message.msg_controllen = sizeof space.bytes;
    if (::recvmsg(socket, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return false;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        const bool v4 = c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR;
        if ((!v4 && !(c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR)) || c->cmsg_len < CMSG_LEN(sizeof(sock_extended_err))) continue;
        sock_extended_err e;
        std::memcpy(&e, CMSG_DATA(c), sizeof e);
        if (e.ee_errno == 0 && e.ee_origin == SO_EE_ORIGIN_ZEROCOPY) completed(e.ee_info, e.ee_data, e.ee_code & SO_EE_CODE_ZEROCOPY_COPIED);
    }
    return true;
}

}  // namespace iscsi::io
