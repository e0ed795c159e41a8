#include "core/mgmt/isns_inquiry.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "core/io/address.h"

namespace iscsi::mgmt::isns {
namespace {
constexpr size_t max_peers = 8, max_answer = 64 * 1024;
constexpr uint64_t idle_ms = 600'000;                  // a server may keep its connection from one inquiry to the next
}  // namespace

std::optional<Message> answer_to(const Message& request) {
    const auto function = Function(request.function);
    if (function != Function::status_inquiry && function != Function::state_change) return {};
    Message answer;
    answer.function = uint16_t(request.function | response_bit);
    answer.flags = flag::from_client;
    answer.transaction = request.transaction;
    // §5.7.5.13: the attributes of the inquiry; §5.7.5.8: the destination of the notification, which comes first
    answer.attributes = request.attributes;
    if (function == Function::state_change && answer.attributes.size() > 1) answer.attributes.resize(1);
    return answer;
}

class InquiryListener::Peer final : private io::Watcher {
public:
    Peer(InquiryListener& owner, Fd fd) : owner_(owner), fd_(std::move(fd)), idle_(owner.loop_, [this] { owner_.drop(*this); }) {
        watched_ = bool(owner_.loop_.add(fd_.get(), EPOLLIN, *this));
        idle_.arm(watched_ ? idle_ms : 0);
    }
    ~Peer() { close(); }
    void close() {
        if (watched_) owner_.loop_.remove(fd_.get(), *this);
        watched_ = false;
        idle_.cancel();
        fd_.reset();
    }

private:
    void on_ready(uint32_t) override {
        if (!serve()) owner_.drop(*this);
    }
    bool serve() {
        uint8_t buffer[8192];
        if (!out_.empty()) {
            ssize_t n = ::send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
            if (n > 0) out_.erase(0, size_t(n));
        }
        if (out_.empty()) {
            ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
            if (n > 0 && !take({buffer, size_t(n)})) return false;
        }
        owner_.loop_.modify(fd_.get(), out_.empty() ? EPOLLIN : EPOLLOUT, *this);
        return true;
    }
    bool take(Bytes bytes) {
        for (received_ += bytes.size();; bytes = {}) {
            auto message = reader_.take(bytes);
            if (!message) return false;
            if (!*message) return received_ <= max_answer;          // of one message that does not end
            received_ = 0;
            auto answer = answer_to(**message);
            if (!answer) continue;
            auto raw = encode(*answer);
            if (!raw || out_.size() + raw->size() > max_answer) return false;
            out_ += *raw;
            idle_.arm(idle_ms);
            if ((*message)->function == uint16_t(Function::status_inquiry)) owner_.asked_();
        }
    }

    InquiryListener& owner_;
    Fd fd_;
    io::Timer idle_;
    Reader reader_;
    std::string out_;
    size_t received_ = 0;
    bool watched_ = false;
};

InquiryListener::InquiryListener(io::Loop& loop, std::function<void()> asked) : loop_(loop), asked_(std::move(asked)) {}

Result<std::unique_ptr<InquiryListener>> InquiryListener::create(io::Loop& loop, std::function<void()> asked) {
    std::unique_ptr<InquiryListener> l(new InquiryListener(loop, std::move(asked)));
    for (const char* any : {"::", "0.0.0.0"}) {
        const auto address = io::parse_numeric(any, 0);
        if (!address) continue;
        Fd fd(::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        const int both = 0;
        if (fd && address->family() == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
        if (!fd || ::bind(fd.get(), address->get(), address->length) != 0 || ::listen(fd.get(), int(max_peers)) != 0) continue;
        sockaddr_storage own{};
        socklen_t length = sizeof own;
        if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &length) != 0) continue;
        l->port_ = io::from_sockaddr(reinterpret_cast<sockaddr*>(&own), length).port();
        TRY_VOID(loop.add(fd.get(), EPOLLIN, *l));
        l->fd_ = std::move(fd);
        return l;
    }
    return Error{errno, "listen for iSNS inquiries", ""};
}

InquiryListener::~InquiryListener() {
    if (fd_) loop_.remove(fd_.get(), *this);
}

void InquiryListener::on_ready(uint32_t) {
    Fd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    if (peers_.size() >= max_peers) peers_.erase(peers_.begin());       // the oldest
    peers_.push_back(std::make_unique<Peer>(*this, std::move(fd)));
}

void InquiryListener::drop(Peer& peer) {
    // It is on the stack: closed now, it goes from the loop.
    peer.close();
    auto at = std::find_if(peers_.begin(), peers_.end(), [&](const auto& p) { return p.get() == &peer; });
    if (at == peers_.end()) return;
    loop_.post([old = std::shared_ptr<Peer>(std::move(*at))] {});
    peers_.erase(at);
}

}  // namespace iscsi::mgmt::isns
