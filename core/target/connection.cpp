#include "core/target/connection.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/base/log.h"
#include "core/wire/digest.h"

namespace iscsi::target {

namespace {
constexpr size_t login_data_limit = 8192;       // RFC 7143 §13.12: the default holds until declared otherwise
}

Connection::Connection(Worker& worker, Fd socket)
    : worker_(worker), socket_(std::move(socket)), reader_(login_data_limit),
      start_waiting_(*worker.loop, [this] { start_waiting(); }), pump_later_(*worker.loop, [this] { pump(); }),
      timer_(*worker.loop, [this] {
          if (phase_ == Phase::login)
              close("login took too long");
          else
              ping();
      }) {}

Connection::~Connection() = default;

bool Connection::start() {
    sockaddr_storage peer{}, local{};
    socklen_t peer_length = sizeof peer, local_length = sizeof local;
    if (::getpeername(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &peer_length) != 0 ||
        ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&local), &local_length) != 0)
        return false;
    peer_address_ = io::from_sockaddr(reinterpret_cast<sockaddr*>(&peer), peer_length).host();
    local_ = io::from_sockaddr(reinterpret_cast<sockaddr*>(&local), local_length);
    int on = 1, idle = 60, interval = 15, count = 6;        // a peer that vanished is noticed in 150 s,
    unsigned stall_ms = 150'000;                            // and so is one that takes nothing of what we send
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof stall_ms);
    login_ = std::make_unique<Login>(worker_.directory, peer_address_);
    watched_ = EPOLLIN;
    if (!worker_.loop->add(socket_.get(), watched_, *this)) return false;
    timer_.arm(worker_.options.login_timeout_s * uint64_t(1000));
    return true;
}

void Connection::close(const char* why) {
    if (phase_ == Phase::closed) return;
    if (why && session_ && !session_->discovery())
        log::info("connection %u of session %u (%s, %s): %s", unsigned(cid_), unsigned(session_->record->sid),
                  session_->record->initiator.c_str(), peer_address_.c_str(), why);
    else if (why)
        log::info("connection from %s: %s", peer_address_.c_str(), why);
    phase_ = Phase::closed;
    *handle_ = nullptr;
    timer_.cancel();
    worker_.loop->remove(socket_.get(), *this);
    if (zerocopy_ && zerocopy_->sends() > 0) {
        log::debug("connection from %s: payloads sent by reference: %u, copies: %s", peer_address_.c_str(), zerocopy_->sends(), zerocopy_->off() ? "yes" : "no");
        if (zerocopy_->held_bytes() > 0) worker_.linger(std::move(socket_), std::move(zerocopy_));
    }
    socket_.reset();
    pipe_.reset();
    login_.reset();
    while (send_head_) unqueue(*send_head_);
    if (Session* session = std::exchange(session_, nullptr)) session->detach(*this);
    worker_.release(*this);
}

void Connection::watch() {
    if (phase_ == Phase::closed) return;
    uint32_t want = 0;
    if (!reading_paused_ && unsent_.empty() && phase_ != Phase::logged_out) want |= EPOLLIN;
    if (!unsent_.empty()) want |= EPOLLOUT;
    if (want == watched_) return;
    watched_ = want;
    worker_.loop->modify(socket_.get(), want, *this);
}

void Connection::resume_reading() {
    reading_paused_ = false;
    watch();
    schedule_pump();        // reads that waited for room as well
}

void Connection::on_ready(uint32_t events) {
    if (events & (EPOLLERR | EPOLLHUP)) {
        const bool lives = (events & EPOLLERR) && take_notification() && !(events & EPOLLHUP);
        if (!lives && !(events & EPOLLIN)) return close("connection lost");
    }
    if ((events & EPOLLOUT) && !flush()) return;
    if (events & EPOLLIN) receive();
    if (phase_ != Phase::closed) pump();
}

void Connection::receive() {
    if (reader_.passing() == 0 || pass()) receive_pdus();
    if (phase_ != Phase::closed && !worker_.cold_room()) {
        reading_paused_ = true;
        worker_.wait_for_room(*this);
        watch();
    }
}

void Connection::receive_pdus() {
    // While long bursts are on their way only headers go to the shared buffer: then each payload is taken in one piece to
    // where it belongs, together with the header behind it, and is not copied.
    MutableBytes shared = worker_.receive_buffer.span();
    if (bulk_bursts_ > 0 && phase_ == Phase::full_feature) shared = shared.first(wire::bhs_length + (digests_.header ? wire::digest_length : 0));
    std::array<iovec, 2> where;
    size_t pieces = reader_.receive_into(shared, where);
    msghdr message{};
    message.msg_iov = where.data();
    message.msg_iovlen = pieces;
    ssize_t n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (!heard(n)) return;
    if (!reader_.received(size_t(n), shared, *this) && phase_ != Phase::closed && !close_when_sent_) close("protocol error");
}

bool Connection::heard(ssize_t n) {
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) close(errno == ECONNRESET ? "connection reset by the initiator" : "receive error");
        return false;
    }
    if (n == 0) {
        close(session_ && !session_->discovery() ? "closed by the initiator" : nullptr);
        return false;
    }
    unanswered_pings_ = 0;
    last_heard_ms_ = worker_.loop->now_ms();
    if (record_) record_->rx_octets.store(record_->rx_octets.load(std::memory_order_relaxed) + uint64_t(n), std::memory_order_relaxed);
    return true;
}

void Connection::on_framing_error(const char* why) { close(why); }

bool Connection::on_header(const wire::Bhs& header, Bytes) {
    if (close_when_sent_) return true;                  // drained and ignored
    if (phase_ == Phase::login) {
        if (header.op() == wire::Opcode::login_request) return true;
        close("not a Login Request in the login phase");        // §6.3: anything else ends the connection
        return false;
    }
    if (header.op() != wire::Opcode::data_out || phase_ != Phase::full_feature) return true;
    Task* task;
    Burst* burst;
    if (const char* wrong = check_data_out(wire::header_cast<wire::DataOut>(header), task, burst)) {
        close(wrong);
        return false;
    }
    // §11.7.4: with a TTT the LUN is the command's (§4.2.5.3: else a protocol error); without, it is reserved.
    if (task && uint32_t(wire::header_cast<wire::DataOut>(header).ttt) != wire::reserved_tag && !same_unit(header.lun, task->command.lun)) {
        close("Data-Out for another logical unit than its command");
        return false;
    }
    data_out_task_ = task;
    return true;
}

bool Connection::on_pdu(const wire::Bhs& header, Bytes ahs, Bytes data) {
    if (close_when_sent_) return true;
    if (phase_ == Phase::login) return login_request(wire::header_cast<wire::LoginRequest>(header), data);
    bool go_on = phase_ != Phase::full_feature || dispatch(header, ahs, data);
    if (landing_) worker_.give_back(std::move(landing_));
    return go_on;
}

// §7.8.1 at ErrorRecoveryLevel 0: the PDU is answered with Reject, then the session is given up.
bool Connection::on_data_digest_error(const wire::Bhs& header) {
    reject(wire::RejectReason::data_digest_error, header);
    log::info("connection from %s: data digest error", peer_address_.c_str());
    close_when_sent_ = true;
    return true;
}

uint32_t Connection::exp_cmd_sn() const { return session_ ? session_->window.exp_cmd_sn() : login_ ? login_->cmd_sn() : 0; }

uint32_t Connection::max_cmd_sn() {
    if (!session_) return exp_cmd_sn();
    return session_->window.max_cmd_sn(session_->tasks() + uint32_t(waiting_.size()));
}

void Connection::ping() {
    if (phase_ != Phase::full_feature || !session_) return;
    if (session_->discovery()) {            // anybody may open one: it must not stay for nothing
        const uint64_t limit = worker_.options.discovery_timeout_s * uint64_t(1000), quiet = worker_.loop->now_ms() - last_heard_ms_;
        if (quiet >= limit) return close("discovery session is idle");
        return timer_.arm(limit - quiet);
    }
    TargetConfig config = session_->target->config();
    if (config.nop_interval <= 0) return;
    timer_.arm(uint64_t(config.nop_interval) * 1000);
    if (worker_.loop->now_ms() - last_heard_ms_ < uint64_t(config.nop_interval) * 1000 && unanswered_pings_ == 0) return;
    if (unanswered_pings_ >= std::max(1, config.nop_count)) return close("no answer to pings");
    unanswered_pings_++;
    wire::NopIn nop;                                    // §11.19: a TTT asks for a NOP-Out
    nop.itt = wire::reserved_tag;
    nop.ttt = ++pings_ == wire::reserved_tag ? ++pings_ : pings_;
    control(nop, {}, false);
    schedule_pump();
}

}  // namespace iscsi::target
