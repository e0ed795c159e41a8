// Long payloads of SCSI Data-Out: socket -> pipe -> file, inside the kernel, so that they are copied once and no page of theirs
// is ever ours. The pipe is the connection's while the payload comes. What the medium does not take at once (a disk that is
// behind, an error) is read back out of the pipe and goes the way of all other data, which knows how to wait and to fail.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>

#include "core/target/connection.h"

namespace iscsi::target {

namespace {
constexpr uint64_t page = 4096;     // a write that ends inside a page that is not cached makes the kernel read it first
}

bool Connection::on_passing(const wire::Bhs& header, size_t length) {
    if (phase_ != Phase::full_feature || close_when_sent_ || header.op() != wire::Opcode::data_out || !data_out_task_ || digests_.data)
        return false;
    auto h = wire::header_cast<wire::DataOut>(header);
    Task& task = *data_out_task_;
    const Burst* burst = task.find_burst(h.ttt);
    if (task.failed || !burst || h.data_sn != burst->exp_data_sn || uint64_t(h.buffer_offset) + length > task.want) return false;
    if (!task.command.lu->splices(task.command, h.buffer_offset, length)) return false;
    pipe_ = worker_.take_pipe();
    if (!pipe_) return false;
    passing_ = true;
    passing_at_ = h.buffer_offset;
    in_pipe_ = 0;
    return true;
}

// False: wait for more, or the connection is closed.
bool Connection::pass() {
    for (bool first = true; const size_t left = reader_.passing(); first = false) {
        ssize_t n;
        if (pipe_) {
            n = ::splice(socket_.get(), nullptr, pipe_->in.get(), nullptr, left - in_pipe_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            // Something waits (or this would not be called), but it has not moved: the pipe has no slot left (tiny segments), or
            // splice() stops at urgent data, which only a receiving call passes over. Or the stream has ended, which splice()
            // does not see while the pipe is full.
            if (uint8_t byte; n < 0 && errno == EAGAIN && (in_pipe_ > 0 || first)) {
                n = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
                if (n > 0 && in_pipe_ == 0) worker_.give_back(std::move(pipe_));
                if (n > 0 && in_pipe_ > 0 && !deliver(in_pipe_)) return false;
                if (n > 0) continue;
            }
        } else {
            MutableBytes scratch = worker_.receive_buffer.span();
            n = ::recv(socket_.get(), scratch.data(), std::min(left, scratch.size()), MSG_DONTWAIT);
        }
        if (!heard(n)) return false;
        if (!pipe_) {
            if (!take_passed(Bytes(worker_.receive_buffer.span()).first(size_t(n)))) return false;
            continue;
        }
        in_pipe_ += size_t(n);
        size_t ready = in_pipe_;
        if (in_pipe_ < left) ready -= std::min<size_t>(ready, (data_out_task_->command.offset + passing_at_ + in_pipe_) % page);
        if (ready > 0 && !deliver(ready)) return false;
    }
    return phase_ != Phase::closed;
}

// Moves `ready` bytes of the pipe to the medium.
bool Connection::deliver(size_t ready) {
    Task& task = *data_out_task_;
    while (ready > 0) {
        ssize_t n = task.command.lu->splice(task.command, passing_at_, pipe_->out.get(), ready);
        if (n <= 0) return empty_pipe();
        ready -= size_t(n);
        in_pipe_ -= size_t(n);
        passing_at_ += uint32_t(n);
        task.received += uint32_t(n);
        if (in_pipe_ == 0 && reader_.passing() == size_t(n)) worker_.give_back(std::move(pipe_));
        if (!reader_.passed(size_t(n), *this)) return false;
    }
    return true;
}

// The medium did not take it: by copies from here to the end of this payload.
bool Connection::empty_pipe() {
    auto pipe = std::move(pipe_);
    MutableBytes scratch = worker_.receive_buffer.span();
    while (in_pipe_ > 0) {
        ssize_t n = ::read(pipe->out.get(), scratch.data(), std::min(in_pipe_, scratch.size()));
        if (n <= 0) {
            close("a pipe lost data");
            return false;
        }
        in_pipe_ -= size_t(n);
        if (in_pipe_ == 0) worker_.give_back(std::move(pipe));
        if (!take_passed(Bytes(scratch).first(size_t(n)))) return false;
    }
    return true;
}

bool Connection::take_passed(Bytes data) {
    const uint32_t at = passing_at_;
    passing_at_ += uint32_t(data.size());
    if (data_out_task_) take_data(*data_out_task_, at, data);
    return phase_ != Phase::closed && reader_.passed(data.size(), *this);
}

// Its task is aborted: what has come and what still comes is dropped. The payload is never whole here.
void Connection::stop_passing() {
    if (!pipe_) return;
    pipe_.reset();
    reader_.passed(std::exchange(in_pipe_, 0), *this);
}

}  // namespace iscsi::target
