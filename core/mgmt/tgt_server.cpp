#include "core/mgmt/tgt_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "core/base/log.h"

namespace iscsi::mgmt {

// One connection: gathers a request, waits for its answer, sends it.
struct TgtReply::Client final : io::Watcher {
    Client(TgtServer& server_, io::Loop& loop_, Fd fd_) : server(server_), loop(loop_), fd(std::move(fd_)),
        timer(loop_, [this] { log::warning("control socket: a client is too slow, closed"); finish(); }) {}

    void on_ready(uint32_t events) override {
        if (out.empty()) receive(events);
        else send();
    }

    void receive(uint32_t events) {
        if (asked) {                        // nothing more is due: the asker hung up, or talks out of turn
            if (events & (EPOLLHUP | EPOLLERR)) finish();
            else loop.modify(fd.get(), 0, *this);
            return;
        }
        uint8_t chunk[tgt_request_header + tgt_max_text + 1];
        ssize_t n = ::recv(fd.get(), chunk, std::min(sizeof chunk, wanted() - in.size()), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) return finish();
        in.append(reinterpret_cast<const char*>(chunk), size_t(n));
        if (in.size() < wanted()) return;
        auto length = tgt_request_length(as_bytes(in));
        if (length && in.size() < *length) return;
        asked = true;
        timer.cancel();
        auto request = length ? decode_tgt_request(as_bytes(in)) : std::nullopt;
        in.clear();
        if (!request) return answer({TgtCode::invalid, ""}, {});
        loop.modify(fd.get(), 0, *this);    // hang-ups are reported all the same
        auto reply = std::make_shared<TgtReply>();
        reply->client_ = self;
        server.handler_(*request, std::move(reply));
    }

    size_t wanted() const {
        if (in.size() < tgt_request_header) return tgt_request_header;
        return tgt_request_length(as_bytes(in)).value_or(tgt_request_header);
    }

    void answer(const TgtAnswer& a, std::function<void()> then) {
        out = encode(a);
        sent = std::move(then);
        timer.arm(server.options_.request_ms);
        send();
    }

    void send() {
        while (done < out.size()) {
            ssize_t n = ::send(fd.get(), out.data() + done, out.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) return loop.modify(fd.get(), EPOLLOUT, *this);
            if (n <= 0) break;
            done += size_t(n);
        }
        finish();
    }

    void finish() {
        timer.cancel();
        auto then = std::move(sent);
        server.drop(*this);                 // may be the end of this object
        if (then) then();
    }

    TgtServer& server;
    io::Loop& loop;
    Fd fd;
    std::weak_ptr<Client> self;
    std::string in, out;
    size_t done = 0;
    bool asked = false;
    std::function<void()> sent;
    io::Timer timer;
};

TgtReply::~TgtReply() {
    if (!answered_) answer({TgtCode::unknown, ""});
}

void TgtReply::answer(TgtAnswer a, std::function<void()> sent) {
    if (answered_) return;
    answered_ = true;
    if (answer_) answer_(a);
    if (auto client = client_.lock()) client->answer(a, std::move(sent));
    else if (sent) sent();
}

TgtServer::TgtServer(io::Loop& loop, const Options& options, TgtHandler handler)
    : loop_(loop), options_(options), handler_(std::move(handler)), path_(tgt_socket_path(options.control_port)) {}

TgtServer::~TgtServer() {
    if (watching_) loop_.remove(listener_.get(), *this);
    for (auto& client : clients_) loop_.remove(client->fd.get(), *client);
}

Result<std::unique_ptr<TgtServer>> TgtServer::create(io::Loop& loop, const Options& options, TgtHandler handler) {
    std::unique_ptr<TgtServer> server(new TgtServer(loop, options, std::move(handler)));
    TRY_VOID(server->take_lock());
    TRY_VOID(server->listen());
    TRY_VOID(server->watch());
    return server;
}

Result<std::unique_ptr<TgtServer>> TgtServer::adopt(io::Loop& loop, const Options& options, Fd listener, TgtHandler handler) {
    std::unique_ptr<TgtServer> server(new TgtServer(loop, options, std::move(handler)));
    TRY_VOID(server->take_lock());
    server->listener_ = std::move(listener);
    TRY_VOID(server->watch());
    return server;
}

Result<void> TgtServer::take_lock() {
    if (path_.size() >= sizeof(sockaddr_un::sun_path)) return Error{0, "management path too long:", path_};
    if (!::getenv("TGT_IPC_SOCKET")) {
        std::string directory = path_.substr(0, path_.rfind('/'));
        if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return Error{errno, "create", directory};
    }
    const std::string name = path_ + ".lock";
    lock_ = Fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!lock_) return Error{errno, "open", name};
    struct flock whole{};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(lock_.get(), F_SETLK, &whole) == 0) return {};
    if (errno == EACCES || errno == EAGAIN) return Error{0, "another tgtd is using", name};
    return Error{errno, "lock", name};
}

Result<void> TgtServer::listen() {
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener_) return Error{errno, "socket", path_};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);     // take_lock checked the length
    ::unlink(path_.c_str());
    mode_t old = ::umask(022);
    int rc = ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    int error = errno;
    ::umask(old);
    if (rc != 0) return Error{error, "bind", path_};
    if (::listen(listener_.get(), 128) != 0) return Error{errno, "listen", path_};
    return {};
}

Result<void> TgtServer::watch() {
    TRY_VOID(loop_.add(listener_.get(), EPOLLIN, *this));
    watching_ = true;
    return {};
}

void TgtServer::on_ready(uint32_t) { accept_one(); }

void TgtServer::accept_one() {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
        if (errno == EMFILE || errno == ENFILE) log::error("control socket: %s", std::strerror(errno));
        return;
    }
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != ::geteuid() || peer.gid != ::getegid()) {
        log::warning("control socket: uid %u gid %u may not talk to this daemon", unsigned(peer.uid), unsigned(peer.gid));
        return;
    }
    auto client = std::make_shared<TgtReply::Client>(*this, loop_, std::move(fd));
    client->self = client;
    if (auto added = loop_.add(client->fd.get(), EPOLLIN, *client); !added) {
        log::error("control socket: %s", added.error().text().c_str());
        return;
    }
    client->timer.arm(options_.request_ms);
    clients_.push_back(std::move(client));
    pause_when_full();
}

void TgtServer::drop(TgtReply::Client& client) {
    auto place = std::find_if(clients_.begin(), clients_.end(), [&](const auto& c) { return c.get() == &client; });
    if (place == clients_.end()) return;
    auto last = std::move(*place);          // lives to the end of this function
    clients_.erase(place);
    loop_.remove(last->fd.get(), *last);
    last->fd.reset();
    pause_when_full();
    loop_.post([last] {});                  // the object may be on the stack below us: its end waits for the loop
}

void TgtServer::pause_when_full() {
    loop_.modify(listener_.get(), clients_.size() < options_.max_clients ? uint32_t(EPOLLIN) : 0, *this);
}

}  // namespace iscsi::mgmt
