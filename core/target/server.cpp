#include "core/target/server.h"

#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "core/base/log.h"
#include "core/io/resolve.h"
#include "core/target/connection.h"

namespace iscsi::target {

// A listening socket: one address and port (RFC 7143 §4.1.2 "Network Portal").
class Server::Portal final : public io::Watcher {
public:
    Portal(Server& server, Fd socket, std::string name)
        : server_(server), socket_(std::move(socket)), name_(std::move(name)),
          again_(server.loop(), [this] { server_.loop().modify(socket_.get(), EPOLLIN, *this); }) {}
    ~Portal() { server_.loop().remove(socket_.get(), *this); }
    Result<void> listen() { return server_.loop().add(socket_.get(), EPOLLIN, *this); }
    const std::string& name() const { return name_; }

private:
    void on_ready(uint32_t) override {
        for (int i = 0; i < 64; i++) {
            int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (fd < 0) {
                if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) return;
                log::warning("portal %s: %s; tries again in a second", name_.c_str(), std::strerror(errno));
                server_.loop().modify(socket_.get(), 0, *this);     // it stays readable: don't spin
                return again_.arm(1000);
            }
            server_.accepted(Fd(fd));
        }
    }
    Server& server_;
    Fd socket_;
    std::string name_;
    io::Timer again_;
};

Server::Server(Directory& directory, ServerOptions options) : directory_(directory), options_(std::move(options)) {}

Result<std::unique_ptr<Server>> Server::create(Directory& directory, ServerOptions options) {
    std::unique_ptr<Server> server(new Server(directory, std::move(options)));
    for (unsigned i = 0; i < std::max(1u, server->options_.threads); i++) {
        auto loop = TRY(io::Loop::create());
        server->workers_.push_back(std::make_unique<Worker>(directory, server->options_, std::move(loop)));
    }
    return server;
}

Server::~Server() {
    stop();
    for (auto& t : threads_) t.join();
    if (watch_) directory_.sessions.unwatch(watch_);
    portals_.clear();
}

// A name may have several addresses; the first is taken.
static Result<io::Address> portal_address(const std::string& host, uint16_t port) {
    if (auto numeric = io::parse_numeric(host.empty() ? "0.0.0.0" : host, port)) return *numeric;
    io::ResolveOptions quickly;
    quickly.timeout_ms = 1000;          // this blocks the loop
    io::Addresses found = TRY(io::resolve(host, port ? port : default_portal_port, quickly));
    found.front().set_port(port);
    return found.front();
}

Result<void> Server::add_portal(const std::string& host, uint16_t port) {
    io::Address address = TRY(portal_address(host, port));
    const std::string name = address.portal();
    Fd socket(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return Error{errno, "portal", name};
    int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.family() == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(socket.get(), address.get(), address.length) != 0 || ::listen(socket.get(), 1024) != 0)
        return Error{errno, "listen on portal", name};
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &length);
    auto portal = std::make_unique<Portal>(*this, std::move(socket), io::from_sockaddr(reinterpret_cast<sockaddr*>(&bound), length).portal());
    TRY_VOID(portal->listen());
    portals_.push_back(std::move(portal));
    return {};
}

bool Server::remove_portal(const std::string& host, uint16_t port) {
    auto address = io::parse_numeric(host.empty() ? "0.0.0.0" : host, port);
    if (!address) return false;
    const std::string name = address->portal();
    return std::erase_if(portals_, [&](const auto& p) { return p->name() == name; }) > 0;
}

std::vector<std::string> Server::portals() const {
    std::vector<std::string> names;
    for (auto p = portals_.rbegin(); p != portals_.rend(); ++p) names.push_back((*p)->name());
    return names;
}

Result<void> Server::add_default_portals() {
    auto v4 = add_portal("0.0.0.0", default_portal_port), v6 = add_portal("::", default_portal_port);
    if (!v4 && (!v6 || v4.error().code == EADDRINUSE)) return v4.error();
    if (!v6 && v6.error().code == EADDRINUSE) return v6.error();       // no IPv6 at all is fine
    return {};
}

void Server::accepted(Fd socket) {
    if (shutting_down_ || connections() >= options_.max_connections) return;        // closes it
    // Like tgt: a daemon that is offline, or has nothing to offer, does not talk.
    if (directory_.state == SystemState::offline || directory_.empty()) return;
    Worker& worker = *workers_[next_worker_++ % workers_.size()];
    worker.count++;
    if (&worker == workers_.front().get()) return worker.adopt(std::move(socket));
    worker.loop->post([&worker, fd = std::make_shared<Fd>(std::move(socket))] { worker.adopt(std::move(*fd)); });
}

size_t Server::connections() const {
    size_t n = 0;
    for (const auto& w : workers_) n += w->count;
    return n;
}

void Server::run() {
    for (size_t i = 1; i < workers_.size(); i++) {
        Worker& worker = *workers_[i];
        threads_.emplace_back([&worker] {
            sigset_t all;
            ::sigfillset(&all);
            ::pthread_sigmask(SIG_BLOCK, &all, nullptr);     // signals are the main thread's
            worker.loop->run();
        });
    }
    loop().run();
    for (size_t i = 1; i < workers_.size(); i++) workers_[i]->loop->stop();
    for (auto& t : threads_) t.join();
    threads_.clear();
}

void Server::stop() {
    for (auto& w : workers_) w->loop->stop();
}

void Server::shut_down(uint64_t grace_ms) {
    if (shutting_down_) return;
    shutting_down_ = true;
    portals_.clear();
    auto sessions = directory_.sessions.all();
    uint16_t seconds = uint16_t(std::min<uint64_t>((grace_ms + 999) / 1000, 0xffff));
    for (const auto& s : sessions) s->notify(wire::AsyncEvent::logout_request, seconds);
    grace_ = std::make_unique<io::Timer>(loop(), [this] { end_all(); });
    grace_->arm(grace_ms);
    watch_ = directory_.sessions.watch([this] {
        loop().post([this] {
            if (directory_.sessions.size() == 0) stop();
        });
    });
    if (directory_.sessions.size() == 0) stop();
}

void Server::end_all() {
    auto sessions = directory_.sessions.all();
    for (const auto& s : sessions) s->drop();
    if (sessions.empty() || ended_) return stop();
    ended_ = true;
    grace_->arm(5000);          // a disk that hangs does not keep the daemon for ever
}

}  // namespace iscsi::target
