#include "core/doctor/path_mtu.h"

#include <sys/epoll.h>

#include <vector>

namespace iscsi::doctor {
namespace {

constexpr uint64_t wait_ms = 400;
constexpr unsigned max_tries = 3;

}  // namespace

PathMtu::PathMtu(io::Loop& loop, const io::Address& to, int mtu, Done done)
    : loop_(loop), to_(to), mtu_(mtu), done_(std::move(done)), small_(*this, 64),
      full_(*this, size_t(mtu) - (to.family() == AF_INET6 ? 48 : 28)), timer_(loop, [this] { tick(); }) {
    timer_.arm(0);
}

PathMtu::Shot::~Shot() {
    if (fd) owner.loop_.remove(fd.get(), *this);
}

void PathMtu::Shot::send() {
    if (!fd) {
        fd = Fd(::socket(owner.to_.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        const bool v6 = owner.to_.family() == AF_INET6;
        const int probe = IP_PMTUDISC_PROBE;            // never fragment, and do not believe an MTU learned before
        if (fd) ::setsockopt(fd.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &probe, sizeof probe);
        if (!fd || ::connect(fd.get(), owner.to_.get(), owner.to_.length) != 0 || !owner.loop_.add(fd.get(), EPOLLIN, *this)) {
            fd.reset();
            return;
        }
    }
    const std::vector<uint8_t> bytes(size);
    if (::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 && (errno == EMSGSIZE || errno == ECONNREFUSED)) error = errno;
}

void PathMtu::Shot::on_ready(uint32_t) {
    char byte;
    if (::recv(fd.get(), &byte, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0) error = ECONNREFUSED;      // somebody answers there: as good
    else if (errno == ECONNREFUSED || errno == EMSGSIZE) error = errno;
    else return;
    owner.judge(false);
}

void PathMtu::tick() {
    if (tries_++ == max_tries) return judge(true);
    if (!small_.error) small_.send();
    if (!full_.error) full_.send();
    if (small_.error && full_.error) return judge(false);
    timer_.arm(wait_ms);
}

void PathMtu::judge(bool last) {
    if (over_ || (!last && (!small_.error || !full_.error))) return;
    over_ = true;
    Answer answer{Outcome::silent, mtu_};
    if (full_.error == ECONNREFUSED) answer.outcome = Outcome::passes;
    else if (full_.error == EMSGSIZE) {
        answer.outcome = Outcome::too_large;
        socklen_t length = sizeof answer.mtu;
        const bool v6 = to_.family() == AF_INET6;
        ::getsockopt(full_.fd.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &answer.mtu, &length);
    } else if (small_.error == ECONNREFUSED) answer.outcome = Outcome::lost;
    loop_.post([this, answer] { done_(answer); });
}

}  // namespace iscsi::doctor
