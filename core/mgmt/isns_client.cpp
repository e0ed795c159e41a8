#include "core/mgmt/isns_client.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/log.h"
#include "core/io/address.h"

namespace iscsi::mgmt::isns {
namespace {
constexpr uint32_t default_period_s = 600, retry_s = 30, esi_interval_s = 60, missed_inquiries = 4;
constexpr uint32_t source_unknown = 6, source_absent = 7, source_unauthorized = 8, no_such_entry = 9;
}  // namespace

Exchange::Exchange(io::Loop& loop, const Server& server, Message request, Done done)
    : loop_(loop), host_(server.host), done_(std::move(done)), request_(std::move(request)),
      deadline_(loop, [this] { finish(Error{ETIMEDOUT, "no answer of the iSNS server", ""}); }) {
    request_.transaction = 1;
    deadline_.arm(server.timeout_ms);
    initiator::ConnectSettings settings;
    settings.host = server.host;
    settings.port = server.port;
    settings.buffer_size = 0;
    settings.timeout_ms = server.timeout_ms;
    connector_ = std::make_unique<initiator::Connector>(loop, settings, [this](Fd fd, const initiator::ConnectFailure& failure) {
        if (!fd) return finish(Error{0, "connect to " + host_ + ": " + failure.text, ""});
        connected(std::move(fd));
    });
}

Exchange::~Exchange() {
    if (fd_) loop_.remove(fd_.get(), *this);
}

void Exchange::connected(Fd fd) {
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &length) == 0)
        local_ = io::from_sockaddr(reinterpret_cast<sockaddr*>(&own), length).host();
    auto bytes = encode(request_);
    if (!bytes) return finish(bytes.error());
    out_ = std::move(*bytes);
    auto added = loop_.add(fd.get(), EPOLLIN | EPOLLOUT, *this);
    if (!added) return finish(added.error());
    fd_ = std::move(fd);
}

void Exchange::on_ready(uint32_t events) {
    if (events & EPOLLOUT && !out_.empty()) {
        ssize_t n = ::send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return finish(Error{errno, "send to the iSNS server", ""});
        if (n > 0) out_.erase(0, size_t(n));
        if (out_.empty()) loop_.modify(fd_.get(), EPOLLIN, *this);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    uint8_t buffer[8192];
    ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return finish(Error{errno, "read from the iSNS server", ""});
    if (n == 0) return finish(Error{ECONNRESET, "the iSNS server hung up", ""});
    auto message = reader_.take({buffer, size_t(n)});
    if (!message) return finish(message.error());
    if (!*message) return;
    if ((*message)->function != (request_.function | response_bit) || (*message)->transaction != request_.transaction)
        return finish(Error{EPROTO, "the iSNS server answered something else", ""});
    finish(std::move(**message));
}

void Exchange::finish(Result<Message> result) {
    deadline_.cancel();
    if (fd_) loop_.remove(fd_.get(), *this);
    fd_.reset();
    Done(std::move(done_))(std::move(result));
}

namespace {
// One exchange, waited for.
Result<Message> ask(io::Loop& loop, const Server& server, Message request, std::string* local) {
    std::optional<Result<Message>> answer;
    Exchange exchange(loop, server, std::move(request), [&](Result<Message> result) { answer = std::move(result); });
    while (!answer) loop.run_once(-1);
    if (local) *local = exchange.local_address();
    return std::move(*answer);
}
}  // namespace

QueryResult query_targets(const Server& server, const std::string& initiator_name) {
    QueryResult out;
    auto loop = io::Loop::create();
    if (!loop) {
        out.why = loop.error().text();
        return out;
    }
    std::string local;
    auto answer = ask(**loop, server, target_query(initiator_name), &local);
    // A server may answer only those it knows (§5.6.1): register as an initiator, then ask again.
    if (answer && (answer->status == source_unknown || answer->status == source_absent || answer->status == source_unauthorized) &&
        !local.empty()) {
        auto known = ask(**loop, server, registration(initiator_name, {{initiator_name, "", false}}, {{local, 3260}}, 0), nullptr);
        if (known && known->status == 0) answer = ask(**loop, server, target_query(initiator_name), nullptr);
    }
    if (!answer) {
        out.why = answer.error().text();
        out.connected = !local.empty();
        return out;
    }
    out.connected = true;
    if (answer->status != 0 && answer->status != no_such_entry) {
        out.why = status_text(answer->status);
        return out;
    }
    out.ok = true;
    out.portals = targets_of(*answer, out.ignored);
    return out;
}

Registrar::Registrar(io::Loop& loop, Server server, std::string entity)
    : loop_(loop), server_(std::move(server)), entity_(std::move(entity)), again_(loop, [this] { send(); }), esi_check_(loop, [this] { check_inquiries(); }) {}
Registrar::~Registrar() = default;

void Registrar::update(std::vector<Node> nodes, std::vector<Portal> portals) {
    nodes_ = std::move(nodes);
    portals_ = std::move(portals);
    changed_ = true;
    if (!exchange_) again_.arm(0);               // else the answer leads to the next one
}

void Registrar::withdraw() {
    again_.cancel();
    exchange_.reset();
    if (registered_as_.empty()) return;
    auto loop = io::Loop::create();
    if (!loop) return;
    Server server = server_;
    server.timeout_ms = 2000;
    (void)ask(**loop, server, deregistration(registered_as_, entity_), nullptr);
    registered_as_.clear();
}

void Registrar::send() {
    changed_ = false;
    if (nodes_.empty() && registered_as_.empty()) return;
    if (with_esi_ && !inquiries_) {
        auto listener = InquiryListener::create(loop_, [this] { asked_ms_ = loop_.now_ms(); });
        if (listener) inquiries_ = std::move(*listener);
        with_esi_ = bool(inquiries_);
    }
    sent_esi_ = with_esi_ && !nodes_.empty();
    Message request = nodes_.empty() ? deregistration(registered_as_, entity_)
                                     : registration(entity_, nodes_, portals_, default_period_s, sent_esi_ ? inquiries_->port() : 0, esi_interval_s);
    exchange_ = std::make_unique<Exchange>(loop_, server_, std::move(request), [this](Result<Message> result) { answered(std::move(result)); });
}

void Registrar::answered(Result<Message> result) {
    // The exchange is on the stack: it goes when the next one takes its place, or from the loop.
    loop_.post([old = std::shared_ptr<Exchange>(std::move(exchange_))] {});
    bool ok = result && result->status == 0;
    if (!ok && result && sent_esi_) {                   // perhaps it is this that it does not like
        with_esi_ = false;
        return again_.arm(0);
    }
    if (ok) watch_inquiries(*result);
    uint32_t next_s = ok ? default_period_s / 2 : retry_s;
    if (!ok && !told_)
        log::warning("iSNS server %s: %s", server_.host.c_str(), result ? status_text(result->status) : result.error().text().c_str());
    if (ok && told_) log::info("iSNS server %s answers again", server_.host.c_str());
    told_ = !ok;
    if (ok) {
        registered_as_ = nodes_.empty() ? "" : nodes_.front().name;
        for (const Attribute& a : result->attributes)          // the server may shorten the period (§6.2.6)
            if (a.tag == Tag::registration_period && a.number() >= 2) next_s = std::min(next_s, a.number() / 2);
    }
    if (changed_) again_.arm(0);
    else if (!nodes_.empty() || !ok) again_.arm(uint64_t(next_s) * 1000);
}

void Registrar::watch_inquiries(const Message& answer) {
    if (!sent_esi_) {
        esi_check_.cancel();
        return inquiries_.reset();
    }
    uint32_t interval_s = esi_interval_s;               // the server may have its own
    for (const Attribute& a : answer.attributes)
        if (a.tag == Tag::esi_interval && a.number() > 0) interval_s = std::min(a.number(), 3600u);
    esi_limit_ms_ = uint64_t(interval_s) * 1000 * missed_inquiries;
    asked_ms_ = loop_.now_ms();
    if (!esi_check_.armed()) esi_check_.arm(esi_limit_ms_);
}

// §6.3.4: a server that does not ask as agreed may have forgotten us, or cannot reach us and will drop us for that.
void Registrar::check_inquiries() {
    const uint64_t silent = loop_.now_ms() - asked_ms_;
    if (silent < esi_limit_ms_) return esi_check_.arm(esi_limit_ms_ - silent);
    log::info("iSNS server %s does not ask for us: registered again, without inquiries", server_.host.c_str());
    with_esi_ = false;
    changed_ = true;
    if (!exchange_) again_.arm(0);
}

}  // namespace iscsi::mgmt::isns
