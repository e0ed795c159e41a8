#include "core/initiator/connection.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>

#include "core/io/tcp.h"
#include "core/wire/digest.h"

namespace iscsi::initiator {
namespace {

constexpr size_t reply_reserve = 4;             // kept for answers that the target provokes; below this we stop reading
constexpr size_t bulk_threshold = 32 * 1024;
constexpr size_t bulk_read_behind = 512;
constexpr unsigned reads_per_wake_up = 16;      // then others on the loop have their turn

int get_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

}  // namespace

Connection::Connection(io::Loop& loop, Owner& owner, size_t buffer, size_t queue)
    : loop_(loop), owner_(owner), flush_later_(loop, [this] { flush(); }), queue_(std::max<size_t>(queue, 16)),
      capacity_(std::max<size_t>(buffer, 4096)) {}

Connection::~Connection() { close(); }

Result<void> Connection::connect(const io::Address& to, const ConnectOptions& options) {
    close();
    Fd fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return Error{errno, "socket", ""};
    const int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (options.buffer_size > 0) {
        ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &options.buffer_size, sizeof options.buffer_size);
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &options.buffer_size, sizeof options.buffer_size);
    }
    if (!options.bind_interface.empty() &&
        ::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, options.bind_interface.data(), socklen_t(options.bind_interface.size())) != 0)
        return Error{errno, "bind to interface", options.bind_interface};
    if (!options.bind_address.empty()) {
        auto from = io::parse_numeric(options.bind_address, 0);
        if (!from || from->family() != to.family()) return Error{EAFNOSUPPORT, "bind to", options.bind_address};
        if (::bind(fd.get(), from->get(), from->length) != 0) return Error{errno, "bind to", options.bind_address};
    }
    if (::connect(fd.get(), to.get(), to.length) != 0 && errno != EINPROGRESS) return Error{errno, "connect to", to.portal()};
    if (auto added = loop_.add(fd.get(), EPOLLOUT, *this); !added) return added.error();
    socket_ = std::move(fd);
    events_ = EPOLLOUT;
    tcp_ = true;
    state_ = State::connecting;
    return {};
}

Result<void> Connection::adopt(Fd socket) {
    close();
    if (auto added = loop_.add(socket.get(), EPOLLIN, *this); !added) return added.error();
    socket_ = std::move(socket);
    events_ = EPOLLIN;
    state_ = State::open;
    return {};
}

void Connection::close() {
    epoch_++;
    if (state_ != State::closed) loop_.remove(socket_.get(), *this);
    socket_.reset();
    state_ = State::closed;
    header_digest_ = data_digest_ = starved_ = paused_ = bulk_ = tcp_ = watch_sent_ = false;
    max_data_ = scratch_size;
    queue_head_ = queued_ = front_sent_ = begin_ = end_ = 0;
    part_ = Part::header;
}

void Connection::full_feature(bool header_digest, bool data_digest, uint32_t max_data) {
    header_digest_ = header_digest;
    data_digest_ = data_digest;
    max_data_ = max_data;
    io::choose_congestion_control(socket_.get(), "auto");
}

void Connection::fail(const char* why, int error) {
    close();
    owner_.broken(why, error);
}

void Connection::update_events() {
    uint32_t want = (paused_ ? 0u : uint32_t(EPOLLIN)) | (queued_ > 0 ? uint32_t(EPOLLOUT) : 0u);
    if (want == events_) return;
    events_ = want;
    loop_.modify(socket_.get(), want, *this);
}

void Connection::on_ready(uint32_t events) {
    if (state_ == State::connecting) return finish_connect();
    const uint32_t epoch = epoch_;
    if (events & EPOLLOUT) flush();
    if (epoch != epoch_) return;
    if (paused_) {
        if (events & (EPOLLERR | EPOLLHUP)) fail("connection lost", get_socket_error(socket_.get()));
        return;
    }
    if (events & ~uint32_t(EPOLLOUT)) receive();
}

void Connection::finish_connect() {
    if (int error = get_socket_error(socket_.get())) return fail("connect", error);
    // A wake-up without a result: connect is still under way.
    sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (::getpeername(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &length) != 0) {
        if (errno != ENOTCONN) fail("connect", errno);
        return;
    }
    state_ = State::open;
    events_ = 0;
    update_events();
    owner_.connected();
}

// ---- sending

bool Connection::want_room() {
    if (space() > reply_reserve) return true;
    starved_ = true;
    return false;
}

bool Connection::put_pdu(const void* header, Bytes data) {
    if (state_ != State::open || queued_ == queue_.size()) return false;
    Outgoing& o = queue_[(queue_head_ + queued_) % queue_.size()];
    std::memcpy(o.header, header, wire::bhs_length);
    o.header_length = wire::bhs_length;
    if (header_digest_) {
        wire::put_digest(o.header + wire::bhs_length, wire::crc32c(0, {o.header, wire::bhs_length}));
        o.header_length += wire::digest_length;
    }
    o.data = data;
    o.tail_length = uint8_t(pad4(data.size()) - data.size());
    std::memset(o.tail, 0, sizeof o.tail);
    if (data_digest_ && !data.empty()) {
        uint32_t crc = wire::crc32c(wire::crc32c(0, data), {o.tail, o.tail_length});
        wire::put_digest(o.tail + o.tail_length, crc);
        o.tail_length += wire::digest_length;
    }
    queued_++;
    put_count_++;
    flush_later_.schedule();
    return true;
}

void Connection::flush() {
    bool progress = false;
    while (state_ == State::open && queued_ > 0) {
        iovec pieces[3 * 128];
        size_t n = 0, bytes = 0, skip = front_sent_;
        auto add = [&](const uint8_t* p, size_t length) {
            if (skip >= length) {
                skip -= length;
                return;
            }
            pieces[n++] = {const_cast<uint8_t*>(p) + skip, length - skip};
            bytes += length - skip;
            skip = 0;
        };
        for (size_t i = 0; i < queued_ && i < 128; i++) {
            Outgoing& o = queue_[(queue_head_ + i) % queue_.size()];
            add(o.header, o.header_length);
            if (!o.data.empty()) add(o.data.data(), o.data.size());
            if (o.tail_length) add(o.tail, o.tail_length);
        }
        msghdr message{};
        message.msg_iov = pieces;
        message.msg_iovlen = n;
        ssize_t done = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) return fail("connection lost", errno);
            break;
        }
        sent(size_t(done));
        progress = true;
        if (size_t(done) < bytes) break;
    }
    if (state_ != State::open) return;
    const uint32_t epoch = epoch_;
    if ((starved_ && space() >= queue_.size() / 2) || (watch_sent_ && progress)) {
        starved_ = watch_sent_ = false;
        owner_.room();
        if (epoch != epoch_) return;
    }
    if (paused_ && space() >= queue_.size() / 2) {
        paused_ = false;
        update_events();
        parse();                        // what is in the buffer already does not wake us
        if (epoch != epoch_) return;
    }
    update_events();
}

void Connection::sent(size_t bytes) {
    front_sent_ += bytes;
    while (queued_ > 0 && front_sent_ >= queue_[queue_head_].length()) {
        front_sent_ -= queue_[queue_head_].length();
        queue_[queue_head_].data = {};
        queue_head_ = (queue_head_ + 1) % queue_.size();
        queued_--;
    }
}

// ---- receiving

void Connection::compact() {
    if (begin_ == end_) {
        begin_ = end_ = 0;
    } else if (begin_ > 0 && capacity_ - end_ < capacity_ / 4) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
}

void Connection::receive() {
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<uint8_t[]>(capacity_);
    const uint32_t epoch = epoch_;
    for (unsigned round = 0; round < reads_per_wake_up && !paused_; round++) {
        if (part_ == Part::data && landing_.way == Landing::Way::discard) {
            if (!receive_discarded() || epoch != epoch_) return;
            continue;
        }
        compact();
        iovec pieces[2];
        size_t n = 0, wanted = 0, direct = 0;
        if (part_ == Part::data) {
            direct = data_length_ - data_done_;
            pieces[n++] = {landing_.at + data_done_, direct};
            wanted += direct;
        }
        size_t room = capacity_ - end_;
        if (bulk_) room = std::min(room, bulk_read_behind);
        pieces[n++] = {buffer_.get() + end_, room};
        wanted += room;
        msghdr message{};
        message.msg_iov = pieces;
        message.msg_iovlen = n;
        ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
        if (got < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return;
            return fail("connection lost", errno);
        }
        if (got == 0) return fail("connection closed by the target");
        received_ += uint64_t(got);
        const size_t landed = std::min(size_t(got), direct);
        data_done_ += landed;
        end_ += size_t(got) - landed;
        parse();
        if (epoch != epoch_ || size_t(got) < wanted) return;    // a short read: the socket is empty
    }
}

// Linux drops TCP data without copying it when MSG_TRUNC comes with recv (tcp(7)). False: nothing more now.
bool Connection::receive_discarded() {
    size_t left = data_length_ - data_done_;
    ssize_t got = ::recv(socket_.get(), nullptr, left, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0) {
        if (errno == EINTR) return true;
        if (errno != EAGAIN && errno != EWOULDBLOCK) fail("connection lost", errno);
        return false;
    }
    if (got == 0) {
        fail("connection closed by the target");
        return false;
    }
    received_ += uint64_t(got);
    data_done_ += size_t(got);
    parse();
    return size_t(got) == left;
}

// Handles all that is complete. Each step returns false when it needs more bytes, or when the connection was closed.
void Connection::parse() {
    const uint32_t epoch = epoch_;
    for (;;) {
        if (part_ == Part::header && end_ > begin_ && space() < reply_reserve) {
            paused_ = true;             // the target does not take our answers: take none of its questions
            update_events();
            return;
        }
        bool went_on = part_ == Part::header ? begin_pdu() : part_ == Part::data ? take_data() : end_pdu();
        if (epoch != epoch_ || !went_on) return;
    }
}

bool Connection::begin_pdu() {
    const size_t digest = header_digest_ ? wire::digest_length : 0;
    if (end_ - begin_ < wire::bhs_length + digest) return false;
    const uint8_t* p = buffer_.get() + begin_;
    std::memcpy(&header_, p, wire::bhs_length);
    if (digest && wire::get_digest(p + wire::bhs_length) != wire::crc32c(0, {p, wire::bhs_length})) {
        fail("header digest error");    // ERL 0: §7.8, the connection cannot be trusted any more
        return false;
    }
    begin_ += wire::bhs_length + digest;
    if (header_.total_ahs_length != 0) {
        fail("PDU with an additional header");
        return false;
    }
    data_length_ = header_.data_segment_length;
    data_done_ = 0;
    bulk_ = data_length_ >= bulk_threshold;
    landing_ = {};
    if (data_length_ == 0) {
        part_ = Part::tail;
        return true;
    }
    if (data_length_ > max_data_) {
        fail("PDU longer than MaxRecvDataSegmentLength");
        return false;
    }
    const uint32_t epoch = epoch_;
    landing_ = owner_.arriving(header_);
    if (epoch != epoch_) return false;
    if (landing_.way == Landing::Way::refuse) {
        fail(landing_.why);
        return false;
    }
    if (landing_.way == Landing::Way::scratch) {
        if (data_length_ > scratch_size) {
            fail("PDU with more data than it can have");
            return false;
        }
        if (!scratch_) scratch_ = std::make_unique_for_overwrite<uint8_t[]>(scratch_size);
        landing_.at = scratch_.get();
    }
    part_ = Part::data;
    return true;
}

bool Connection::take_data() {
    const size_t n = std::min(end_ - begin_, data_length_ - data_done_);
    if (n > 0 && landing_.way != Landing::Way::discard) std::memcpy(landing_.at + data_done_, buffer_.get() + begin_, n);
    begin_ += n;
    data_done_ += n;
    if (data_done_ < data_length_) return false;
    part_ = Part::tail;
    return true;
}

bool Connection::end_pdu() {
    if (data_length_ > 0) {
        const size_t padding = pad4(data_length_) - data_length_, digest = data_digest_ ? wire::digest_length : 0;
        if (end_ - begin_ < padding + digest) return false;
        const uint8_t* p = buffer_.get() + begin_;
        if (digest) {
            uint32_t crc = wire::crc32c(wire::crc32c(0, {landing_.at, data_length_}), {p, padding});
            if (wire::get_digest(p + padding) != crc) {
                fail("data digest error");
                return false;
            }
        }
        begin_ += padding + digest;
    }
    part_ = Part::header;
    const bool kept = data_length_ > 0 && landing_.way != Landing::Way::discard;
    owner_.arrived(header_, kept ? Bytes(landing_.at, data_length_) : Bytes());
    return true;
}

}  // namespace iscsi::initiator
