// What leaves a connection: control PDUs and the tasks that have something to send are turned into PDUs in the worker's batch,
// which goes out in one sendmsg. What the socket does not take is kept, and nothing new is made until it is gone: the
// back-pressure of a slow initiator costs it alone, and memory is bounded by one batch.
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "core/target/connection.h"

namespace iscsi::target {

namespace {
constexpr size_t pump_limit = 256 * 1024;       // bytes one connection may send before the others have their turn
}

void Connection::control(const wire::Bhs& header, Bytes data, bool counts) {
    control_.push_back({header, {data.begin(), data.end()}, counts});
}

void Connection::queue(Task& task) {
    if (task.queued || phase_ == Phase::closed) return;
    task.queued = true;
    task.send_next = nullptr;
    (send_tail_ ? send_tail_->send_next : send_head_) = &task;
    send_tail_ = &task;
}

void Connection::unqueue(Task& task) {
    if (!task.queued) return;
    Task* before = nullptr;
    for (Task* t = send_head_; t; before = t, t = t->send_next) {
        if (t != &task) continue;
        (before ? before->send_next : send_head_) = t->send_next;
        if (send_tail_ == t) send_tail_ = before;
        break;
    }
    task.queued = false;
    task.send_next = nullptr;
}

void Connection::pump() {
    if (pumping_ || phase_ == Phase::closed) return;
    pumping_ = true;
    size_t total = 0;
    while (unsent_.empty() && phase_ != Phase::closed) {
        wire::PduBatch& batch = worker_.batch;
        while (!control_.empty() && batch.has_room(control_.front().data.size())) {
            Control c = std::move(control_.front());
            control_.pop_front();
            // StatSN, ExpCmdSN and MaxCmdSN lie at the same place in every PDU a target sends (§11).
            auto stamped = wire::header_cast<wire::NopIn>(c.header);
            stamp(stamped, c.counts);
            batch.append(stamped, c.data, digests_);
            if (c.header.op() == wire::Opcode::login_response && phase_ == Phase::full_feature) digests_ = digests_after_login_;
        }
        // Each task in turn sends what there is room for; one that has more goes to the end of the queue.
        const Task* last = send_tail_;
        for (const Task* turn = nullptr; turn != last && control_.empty() && send_head_ && batch.has_room(0);) {
            Task& task = *send_head_;
            turn = &task;
            unqueue(task);
            if (!produce(task)) queue(task);
        }
        if (batch.empty()) break;
        total += batch.bytes();
        if (!flush()) break;
        if (total >= pump_limit && (send_head_ || !control_.empty())) {
            pump_later_.schedule();
            break;
        }
    }
    pumping_ = false;
    if (phase_ == Phase::closed) return;
    if (close_when_sent_ && unsent_.empty() && control_.empty()) return close(nullptr);
    watch();
}

// A long payload may go without a copy, while there is room for what that holds.
bool Connection::may_refer(size_t length) {
    if (!worker_.options.zerocopy) return false;
    if (!zerocopy_) zerocopy_ = std::make_unique<io::Zerocopy>(socket_.get());
    return zerocopy_->wanted() && worker_.held_room(zerocopy_->held_bytes(), length);
}

ssize_t Connection::send_by_reference(const iovec& piece, const io::Zerocopy::Memory& memory, size_t whole, int flags) {
    const size_t before = zerocopy_->held_bytes();
    const ssize_t n = zerocopy_->send(socket_.get(), piece, memory, worker_.held_room(before, whole) ? whole : 0, flags);
    worker_.add_held(zerocopy_->held_bytes() - before);
    return n;
}

// EPOLLERR, because the kernel is done with something that it sent by reference? False: the connection is lost.
bool Connection::take_notification() {
    if (!zerocopy_) return false;
    const size_t before = zerocopy_->held_bytes();
    if (zerocopy_->take_notification(socket_.get())) {
        worker_.remove_held(before - zerocopy_->held_bytes());
        return true;
    }
    int error = 0;
    socklen_t length = sizeof error;
    return ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

// Sends pieces in order until the socket takes no more: the bytes it took, or -1 with errno. One call where all is memory.
// sendfile() has no MSG_NOSIGNAL: the process ignores SIGPIPE.
ssize_t Connection::send(std::span<iovec> pieces, std::span<const wire::ApartPiece> apart, const std::vector<std::shared_ptr<const void>>& kept) {
    if (apart.empty()) {
        msghdr message{};
        message.msg_iov = pieces.data();
        message.msg_iovlen = pieces.size();
        ssize_t n;
        do n = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL); while (n < 0 && errno == EINTR);
        return n < 0 && errno == EAGAIN ? 0 : n;
    }
    size_t total = 0, next = 0;
    auto more = [](ssize_t n) { return n < 0 && errno == EINTR; };
    auto stopped = [&](ssize_t n) { return n < 0 && errno == EAGAIN ? ssize_t(total) : n; };
    while (next < pieces.size()) {
        const size_t end = apart.empty() ? pieces.size() : apart.front().index;
        if (end > next) {
            msghdr message{};
            message.msg_iov = &pieces[next];
            message.msg_iovlen = end - next;
            size_t want = 0;
            for (const iovec& piece : pieces.subspan(next, end - next)) want += piece.iov_len;
            ssize_t n;
            do n = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL | (end < pieces.size() ? MSG_MORE : 0)); while (more(n));
            if (n < 0) return stopped(n);
            total += size_t(n);
            if (size_t(n) < want) return ssize_t(total);
        }
        if (apart.empty()) break;
        if (const wire::ApartPiece& part = apart.front(); part.memory > 0) {
            const ssize_t n = send_by_reference(pieces[end], kept[part.offset], part.memory, end + 1 < pieces.size() ? MSG_MORE : 0);
            if (n < 0) return stopped(n);
            total += size_t(n);
            if (size_t(n) < pieces[end].iov_len) return ssize_t(total);
        }
        auto offset = off_t(apart.front().offset);
        for (size_t left = apart.front().memory > 0 ? 0 : pieces[end].iov_len; left > 0;) {
            ssize_t n;
            do n = ::sendfile(socket_.get(), apart.front().fd, &offset, left); while (more(n));
            if (n == 0) return errno = EFAULT, -1;          // the file ends before
            if (n < 0) return stopped(n);
            total += size_t(n);
            left -= size_t(n);
        }
        next = end + 1;
        apart = apart.subspan(1);
    }
    return ssize_t(total);
}

// Sends the batch, or what is left of an earlier one.
bool Connection::flush() {
    wire::PduBatch& batch = worker_.batch;
    ssize_t n;
    if (unsent_.empty()) {
        n = send(batch.pieces(), batch.apart(), batch.kept());
    } else {
        iovec rest[wire::PduBatch::max_pieces];
        std::vector<wire::ApartPiece> apart;
        size_t pieces = unsent_.gather(rest, wire::PduBatch::max_pieces, apart);
        n = send({rest, pieces}, apart, unsent_.kept());
    }
    if (n < 0) {
        // EFAULT: bytes that were referred to are gone (the file was truncated): the PDU's header is out, so the connection
        // is lost; the initiator logs in again, and its retry gets the medium error.
        batch.clear();
        close(errno == EFAULT ? "the backing store shrank under a read" : "send error");
        return false;
    }
    auto sent = size_t(n);
    if (record_) record_->tx_octets.store(record_->tx_octets.load(std::memory_order_relaxed) + sent, std::memory_order_relaxed);
    if (!unsent_.empty())
        unsent_.sent(sent);
    else if (sent < batch.bytes())
        unsent_.take(batch, sent);
    else
        batch.clear();
    return true;
}

}  // namespace iscsi::target
