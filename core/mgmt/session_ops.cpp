#include "core/mgmt/session_ops.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>

#include "core/base/log.h"
#include "core/initiator/session_settings.h"

namespace iscsi::mgmt {
namespace {
constexpr size_t max_clients = 256;
constexpr size_t max_unread = 4 << 20;      // answers a client leaves lying
constexpr size_t max_waiting = 256;
}  // namespace

Result<Fd> bind_iscsid_socket(std::string_view name) {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return Error{errno, "create socket", ""};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    size_t length = std::min(name.size(), sizeof address.sun_path - 1);
    std::memcpy(address.sun_path + 1, name.data(), length);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), socklen_t(offsetof(sockaddr_un, sun_path) + 1 + length)) != 0)
        return Error{errno, "Can not bind IPC socket", ""};
    return fd;
}

class SessionOps::Client : private io::Watcher {
public:
    Client(SessionOps& ops, Fd fd, uint64_t n) : number(n), ops_(ops), fd_(std::move(fd)) {}
    ~Client() { close(); }
    Result<void> start() { return ops_.loop_.add(fd_.get(), EPOLLIN, *this); }
    bool open() const { return bool(fd_); }
    void send(const IscsidMessage& message) {
        if (!fd_) return;
        out_ += encode(message);
        flush();
    }
    void close() {
        if (fd_) ops_.loop_.remove(fd_.get(), *this);
        fd_.reset();
    }
    const uint64_t number;

private:
    void on_ready(uint32_t events) override {
        if (events & EPOLLOUT) flush();
        if (fd_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read();
        if (!fd_) ops_.sweep_.schedule();
    }
    void read() {
        char buffer[8192];
        for (int rounds = 0; rounds < 64 && fd_; rounds++) {
            ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) break;
            if (n <= 0) return close();
            in_.append(buffer, size_t(n));
            if (!take()) return close();
        }
    }
    bool take() {
        for (;;) {
            auto decoded = decode_iscsid(as_bytes(in_));
            if (!decoded) return refuse();
            if (!*decoded) return true;
            IscsidMessage m = std::move((*decoded)->message);
            in_.erase(0, (*decoded)->used);
            if (!m.reply()) ops_.handle(*this, m);
            if (!fd_) return false;
        }
    }
    // Not our language. open-iscsi's iscsiadm sends one struct, its command first, and waits for another with the same
    // command and an error number: so it ends with a message. False: close the connection.
    bool refuse() {
        const bool theirs = in_.size() >= 4 && uint8_t(in_[0]) < 64 && !in_[1] && !in_[2] && !in_[3];
        if (theirs && in_.size() < open_iscsi_request_length) return true;
        log::warning("a request that is not ours (%s iscsiadm?): refused", theirs ? "open-iscsi's" : "another version's");
        if (!theirs) return false;
        std::string answer = in_.substr(0, 4);
        answer += char(InitiatorError::daemon_comm);
        answer.resize(open_iscsi_answer_length);
        (void)!::send(fd_.get(), answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        return false;
    }
    void flush() {
        while (!out_.empty()) {
            ssize_t n = ::send(fd_.get(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) break;
            if (n < 0) return close();
            out_.erase(0, size_t(n));
        }
        if (out_.size() > max_unread) return close();
        ops_.loop_.modify(fd_.get(), out_.empty() ? EPOLLIN : uint32_t(EPOLLIN | EPOLLOUT), *this);
    }

    SessionOps& ops_;
    Fd fd_;
    std::string in_, out_;
};

SessionOps::SessionOps(io::Loop& loop, initiator::KernelInitiator& engine, DaemonIdentity& identity, std::function<void()> stop)
    : loop_(loop), engine_(engine), identity_(identity), stop_(std::move(stop)), sweep_(loop, [this] { sweep(); }) {
    engine_.on_change([this] { answer_waiting(); });
}

SessionOps::~SessionOps() {
    engine_.on_change(nullptr);
    if (socket_) loop_.remove(socket_.get(), *this);
}

Result<void> SessionOps::listen(Fd fd) {
    socket_ = std::move(fd);
    if (::listen(socket_.get(), 64) != 0) return Error{errno, "listen on the IPC socket", ""};
    return loop_.add(socket_.get(), EPOLLIN, *this);
}

void SessionOps::on_ready(uint32_t) {
    for (int i = 0; i < 16; i++) {
        Fd fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd) return;
        ucred peer{};
        socklen_t length = sizeof peer;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.uid != 0) {
            log::error("request of pid %d, uid %u refused: only root may", int(peer.pid), unsigned(peer.uid));
            IscsidMessage m = request(IscsidRequest::hello);
            m.kind |= iscsid_reply_bit;
            m.tag = 1;
            m.add("error", uint64_t(InitiatorError::access));
            m.add("message", "only root may use iscsid");
            std::string bytes = encode(m);
            (void)!::send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            continue;
        }
        if (clients_.size() >= max_clients) continue;
        clients_.push_back(std::make_unique<Client>(*this, std::move(fd), next_client_++));
        if (!clients_.back()->start()) clients_.pop_back();
    }
}

void SessionOps::sweep() {
    std::erase_if(clients_, [](const auto& c) { return !c->open(); });
    std::erase_if(scans_, [](const auto& s) { return !s->running(); });
}

SessionOps::Client* SessionOps::client(uint64_t number) {
    for (auto& c : clients_)
        if (c->number == number && c->open()) return c.get();
    return nullptr;
}

namespace {
IscsidMessage reply(const IscsidMessage& request, InitiatorError error, const std::string& message = "") {
    IscsidMessage m;
    m.kind = request.kind | iscsid_reply_bit;
    m.tag = request.tag;
    m.add("error", uint64_t(error));
    if (!message.empty()) m.add("message", message);
    return m;
}
// What an answer takes from its request: kind and tag. Kept instead of the request, which may hold a record with its secrets.
IscsidMessage envelope(const IscsidMessage& request) {
    IscsidMessage m;
    m.kind = request.kind;
    m.tag = request.tag;
    return m;
}
}  // namespace

void SessionOps::reply_to(uint64_t number, const IscsidMessage& request, InitiatorError error, const std::string& message,
                          uint32_t sid, int host) {
    Client* c = client(number);
    if (!c) return;
    IscsidMessage m = reply(request, error, message);
    if (sid) m.add("sid", uint64_t(sid));
    if (host >= 0) m.add("host", uint64_t(host));
    c->send(m);
}

void SessionOps::handle(Client& client, const IscsidMessage& request) {
    IscsidMessage out = reply(request, InitiatorError::none);
    const auto sid = request.number("sid");
    switch (request.request()) {
    case IscsidRequest::hello:
        out.add("version", ISCSI_VERSION);
        out.add("pid", uint64_t(::getpid()));
        if (request.version != iscsid_protocol_version)
            log::warning("iscsiadm speaks version %u of our protocol, we speak %u: restart iscsid", request.version,
                         iscsid_protocol_version);
        break;
    case IscsidRequest::login: return login(client, request);
    case IscsidRequest::logout: return logout(client, request);
    case IscsidRequest::states: states(out, request); break;
    case IscsidRequest::stats:
        if (!sid) out = reply(request, InitiatorError::invalid, "no sid");
        else stats(out, *sid);
        break;
    case IscsidRequest::rescan:
        if (!sid) break;
        return rescan(client, request, *sid);
    case IscsidRequest::stop:
        client.send(out);
        log::info("stopped by request");
        return stop_();
    case IscsidRequest::initiator_info:
        out.add("initiator_name", identity_.initiator.name);
        out.add("initiator_alias", identity_.initiator.alias);
        out.add("config_file", identity_.config_file);
        break;
    case IscsidRequest::sync:
        if (engine_.settled()) break;
        if (waiting_.size() >= max_waiting) waiting_.erase(waiting_.begin());
        waiting_.emplace_back(client.number, envelope(request));
        return;
    default: out = reply(request, InitiatorError::invalid_request, "this iscsid does not know the request"); break;
    }
    client.send(out);
}

void SessionOps::login(Client& client, const IscsidMessage& request) {
    config::Record record(config::Kind::node);
    std::vector<config::Complaint> complaints;
    record.read(request.get("record").value_or(""), "login request", complaints);
    for (const auto& c : complaints) log::warning("%s", c.message().c_str());
    auto settings = initiator::session_settings(record, identity_.initiator.name, identity_.initiator.alias, engine_.sysfs());
    if (!settings) {
        log::error("login refused: %s", settings.error().text().c_str());
        return client.send(reply(request, InitiatorError::invalid, settings.error().text()));
    }
    const bool wait = request.number("wait").value_or(1) != 0, multiple = request.number("multiple").value_or(0) != 0;
    const uint64_t limit = request.number("time_limit_ms").value_or(0), number = client.number;
    engine_.login(std::move(*settings), multiple, limit,
                  [this, number, wait, asked = envelope(request)](InitiatorError error, const std::string& message, uint32_t sid, int host) {
                      if (wait) reply_to(number, asked, error, message, sid, host);
                  });
    if (!wait) client.send(reply(request, InitiatorError::none));
}

void SessionOps::logout(Client& client, const IscsidMessage& request) {
    auto sid = request.number("sid");
    if (!sid) return client.send(reply(request, InitiatorError::invalid, "no sid"));
    const bool force = request.number("force").value_or(0) != 0;
    engine_.logout(*sid, force, [this, number = client.number, asked = envelope(request)](InitiatorError error, const std::string& message) {
        reply_to(number, asked, error, message);
    });
}

void SessionOps::states(IscsidMessage& out, const IscsidMessage& request) const {
    auto wanted = request.number("sid");
    for (const auto& s : engine_.sessions()) {
        if (s->gone() || !s->sid() || (wanted && *wanted != *s->sid())) continue;
        out.add("session", std::to_string(*s->sid()) + " " + initiator::text(s->connection()) + "|" + initiator::text(s->work()));
    }
}

void SessionOps::stats(IscsidMessage& out, uint32_t sid) {
    auto found = engine_.statistics(sid);
    if (!found) {
        out = reply(out, found.error().code == EINVAL ? InitiatorError::session_not_found : InitiatorError::internal,
                    found.error().text());
        return;
    }
    for (const auto& [name, value] : found->snmp) out.add("snmp", name + " " + std::to_string(value));
    for (const auto& [name, value] : found->extended) out.add("extended", name + " " + std::to_string(value));
}

void SessionOps::rescan(Client& client, const IscsidMessage& request, uint32_t sid) {
    initiator::KernelSession* s = engine_.find(sid);
    if (!s) return client.send(reply(request, InitiatorError::session_not_found));
    auto job = std::make_unique<initiator::ScanJob>(loop_, [this, number = client.number, asked = envelope(request)] {
        reply_to(number, asked, InitiatorError::none, "");
        sweep_.schedule();
    });
    if (auto begun = job->start(engine_.sysfs(), sid, s->host(), s->settings().queue_depth, true); !begun)
        return client.send(reply(request, InitiatorError::internal, begun.error().text()));
    scans_.push_back(std::move(job));
}

void SessionOps::answer_waiting() {
    if (waiting_.empty() || !engine_.settled()) return;
    auto waiting = std::move(waiting_);
    waiting_.clear();
    for (const auto& [number, asked] : waiting) reply_to(number, asked, InitiatorError::none, "");
}

}  // namespace iscsi::mgmt
