#include "core/initiator/nbd_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>

#include "core/base/log.h"

namespace iscsi::initiator {
namespace {

using kernel::NbdCommand;

constexpr uint32_t max_request = 32 << 20;      // the kernel's own limit of a request
constexpr size_t kept_buffer = 128 * 1024;      // a slot keeps a buffer of this size, larger ones are given back
constexpr unsigned max_attempts = 100;
constexpr uint64_t retry_ms = 100;
constexpr uint64_t trim_piece_bytes = 64 << 20;

bool carries_data(NbdCommand c) { return c == NbdCommand::read || c == NbdCommand::write; }

// Sense to errno, as the SCSI midlayer does it for a local disk.
int errno_of(const ScsiRequest& r) {
    if (r.outcome != ScsiRequest::Outcome::answered) return EIO;
    const SenseCode sense = sense_code(r);
    if (sense.key == 7) return sense.asc == 0x2707 ? ENOSPC : EPERM;
    return EIO;
}

}  // namespace

NbdServer::NbdServer(io::Loop& loop, Fd socket, Settings settings, Owner& owner)
    : loop_(loop), socket_(std::move(socket)), settings_(std::move(settings)), owner_(owner), send_later_(loop, [this] { send(); }),
      retry_(loop, [this] { retry_all(); }), slots_(std::max(settings_.depth, 1u)), size_check_(loop, [this] { ask_size(); }) {
    for (Slot& slot : slots_) {
        slot.server = this;
        slot.request.owner = &slot;
        slot.request.done = [](ScsiRequest& r) {
            Slot& s = *static_cast<Slot*>(r.owner);
            s.server->completed(s);
        };
        slot.next = free_;
        free_ = &slot;
    }
    events_ = EPOLLIN;
    watched_ = bool(loop_.add(socket_.get(), events_, *this));
}

NbdServer::~NbdServer() {
    if (watched_) loop_.remove(socket_.get(), *this);
}

void NbdServer::use(Session* session) {
    session_ = session;
    if (session) ask_size();
}

// ---- the unit's size

void NbdServer::ask_size() {
    size_check_.arm(settings_.size_check_ms);
    size_known_late_ = asking_size_;            // what changed meanwhile may be in the next answer only
    if (asking_size_ || !session_) return;
    asking_size_ = true;
    ScsiRequest& r = size_request_;
    make_read_capacity_16(r);
    r.lun = settings_.lun;
    r.in = size_answer_;
    r.owner = this;
    r.done = [](ScsiRequest& q) { static_cast<NbdServer*>(q.owner)->size_answered(); };
    session_->submit(r);
}

void NbdServer::size_answered() {
    asking_size_ = false;
    const bool attention = sense_code(size_request_).key == 6;          // told once: now it will answer
    if (size_known_late_ || attention) return size_check_.arm(attention ? 100 : 0);
    if (!size_request_.good()) return;
    const auto now = parse_capacity_16(Bytes(size_answer_).first(std::min<size_t>(size_request_.transferred, sizeof size_answer_)));
    DiskInfo& disk = settings_.disk;
    if (!now || now->blocks == disk.blocks || now->block_size != disk.block_size) return;
    disk.blocks = now->blocks;
    owner_.nbd_resized(disk.bytes());
}

void NbdServer::gone() {
    if (!watched_) return;
    loop_.remove(socket_.get(), *this);
    watched_ = false;
    owner_.nbd_disconnected();
}

void NbdServer::update_events() {
    // No free slot, or too much memory in use: the kernel waits.
    const bool full = !reading_ && (!free_ || (header_whole_ && memory_ > 0));
    const uint32_t want = (full ? 0u : uint32_t(EPOLLIN)) | (out_ ? uint32_t(EPOLLOUT) : 0u);
    if (!watched_ || want == events_) return;
    events_ = want;
    loop_.modify(socket_.get(), want, *this);
}

void NbdServer::on_ready(uint32_t events) {
    if (events & EPOLLOUT) send();
    if (!watched_) return;
    if (events & ~uint32_t(EPOLLOUT))
        for (unsigned i = 0; i < 64 && watched_; i++)
            if (!receive()) break;
    update_events();
}

// One step: a header, or some of a payload. False: nothing more now.
bool NbdServer::receive() {
    if (!reading_ && header_whole_) return begin();
    if (!reading_ && !free_) return false;
    void* at = reading_ ? static_cast<void*>(reading_->data.data() + read_done_)
                        : static_cast<void*>(reinterpret_cast<uint8_t*>(&header_) + header_done_);
    const size_t wanted = reading_ ? size_t(reading_->nbd.length) - read_done_ : sizeof header_ - header_done_;
    ssize_t n = ::recv(socket_.get(), at, wanted, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (n <= 0) {
        gone();
        return false;
    }
    if (reading_) {
        read_done_ += size_t(n);
        if (read_done_ < reading_->nbd.length) return true;
        Slot& slot = *reading_;
        reading_ = nullptr;
        execute(slot);
        return true;
    }
    header_done_ += size_t(n);
    if (header_done_ < sizeof header_) return true;
    header_done_ = 0;
    header_whole_ = true;
    return begin();
}

// The kernel is trusted with little: what it asks is checked against the disk as if it came from outside.
bool NbdServer::begin() {
    const NbdCommand command = NbdCommand(uint16_t(header_.command));
    const uint32_t length = header_.length;
    if (header_.magic != kernel::nbd_request_magic || (carries_data(command) && length > max_request)) {
        log::error("nbd: a request that is none");
        gone();
        return false;
    }
    if (command == NbdCommand::disconnect) {
        gone();
        return false;
    }
    if (!free_) return false;
    if (carries_data(command) && memory_ > 0 && memory_ + length > settings_.max_memory) return false;
    header_whole_ = false;
    Slot& slot = *free_;
    free_ = slot.next;
    busy_++;
    slot.nbd = header_;
    slot.attempts = 0;
    slot.done = 0;
    if (carries_data(command)) {
        memory_ += length;
        if (slot.data.size() < length) slot.data.resize(length);
    }
    if (command == NbdCommand::write && length > 0) {
        reading_ = &slot;
        read_done_ = 0;
        return true;
    }
    execute(slot);
    return true;
}

void NbdServer::execute(Slot& slot) {
    const DiskInfo& disk = settings_.disk;
    const NbdCommand command = NbdCommand(uint16_t(slot.nbd.command));
    const uint64_t from = slot.nbd.from, length = slot.nbd.length, size = disk.bytes();
    ScsiRequest& r = slot.request;
    r.lun = settings_.lun;
    r.in = {};
    r.out = {};
    if (command == NbdCommand::flush) {
        make_synchronize_cache(r);
        return submit(slot);
    }
    if (length == 0) return answer(slot, 0);
    if (from > size || length > size - from || from % disk.block_size || length % disk.block_size) return answer(slot, EINVAL);
    if (command != NbdCommand::read && disk.read_only) return answer(slot, EPERM);
    const uint64_t lba = from / disk.block_size;
    const uint32_t blocks = uint32_t(length / disk.block_size);
    switch (command) {
    case NbdCommand::read:
        make_read(r, lba, blocks);
        r.in = {slot.data.data(), size_t(length)};
        return submit(slot);
    case NbdCommand::write:
        make_write(r, lba, blocks, slot.nbd.flags & kernel::nbd_flag_fua);
        r.out = {slot.data.data(), size_t(length)};
        return submit(slot);
    case NbdCommand::trim:
        if (!disk.unmap && !disk.write_same_unmap) return answer(slot, 0);      // advisory
        return trim_piece(slot);
    case NbdCommand::write_zeroes: return trim_piece(slot);
    default: return answer(slot, EINVAL);
    }
}

// One command of a trim or of zeros, within the target's limits.
void NbdServer::trim_piece(Slot& slot) {
    const DiskInfo& disk = settings_.disk;
    ScsiRequest& r = slot.request;
    const uint64_t left = slot.nbd.length - slot.done, lba = (slot.nbd.from + slot.done) / disk.block_size;
    const bool zero = NbdCommand(uint16_t(slot.nbd.command)) == NbdCommand::write_zeroes;
    slot.piece = std::min(left, trim_piece_bytes);
    const uint64_t limit = zero || !disk.unmap ? disk.max_write_same : disk.max_unmap_blocks;
    if (limit && slot.piece / disk.block_size > limit) slot.piece = limit * disk.block_size;
    const uint32_t blocks = uint32_t(slot.piece / disk.block_size);
    if (!zero && disk.unmap) {
        make_unmap(r, slot.unmap_list, lba, blocks);
    } else {
        if (zeros_.empty()) zeros_.resize(disk.block_size);
        make_write_same(r, lba, blocks, !zero || disk.write_same_unmap);
        r.out = zeros_;
    }
    submit(slot);
}

void NbdServer::submit(Slot& slot) {
    if (!session_) return answer(slot, EIO);
    session_->submit(slot.request);
}

void NbdServer::completed(Slot& slot) {
    ScsiRequest& r = slot.request;
    const NbdCommand command = NbdCommand(uint16_t(slot.nbd.command));
    if (r.good()) {
        if (command == NbdCommand::read && r.transferred != slot.nbd.length) return answer(slot, EIO);
        if (command == NbdCommand::trim || command == NbdCommand::write_zeroes) {
            slot.done += slot.piece;
            if (slot.done < slot.nbd.length) return trim_piece(slot);
        }
        return answer(slot, 0);
    }
    if (worth_retry(r) && slot.attempts++ < max_attempts) {
        if (sense_code(r).key == 6) {
            if (sense_code(r).asc == 0x2a09) ask_size();
            return submit(slot);
        }
        slot.next = again_;
        again_ = &slot;
        if (!retry_.armed()) retry_.arm(retry_ms);
        return;
    }
    const bool refused = sense_code(r).key == 5;
    if (refused && (command == NbdCommand::trim || command == NbdCommand::flush)) return answer(slot, 0);
    log::warning("nbd: command %u at byte %llu fails: %s", unsigned(command), static_cast<unsigned long long>(slot.nbd.from),
                 describe(r).c_str());
    answer(slot, errno_of(r));
}

void NbdServer::retry_all() {
    Slot* list = again_;
    again_ = nullptr;
    while (list) {
        Slot& slot = *list;
        list = slot.next;
        submit(slot);
    }
}

void NbdServer::answer(Slot& slot, int error) {
    slot.reply.error = uint32_t(error);
    std::memcpy(slot.reply.handle, slot.nbd.handle, sizeof slot.reply.handle);
    slot.next = nullptr;
    (out_last_ ? out_last_->next : out_) = &slot;
    out_last_ = &slot;
    send_later_.schedule();
}

// As many replies as fit, in one call.
void NbdServer::send() {
    while (out_ && watched_) {
        iovec pieces[128];
        size_t n = 0, bytes = 0, skip = out_done_;
        auto add = [&](const void* p, size_t length) {
            if (skip >= length) {
                skip -= length;
                return;
            }
            pieces[n++] = {static_cast<uint8_t*>(const_cast<void*>(p)) + skip, length - skip};
            bytes += length - skip;
            skip = 0;
        };
        auto payload = [](const Slot& s) {
            return NbdCommand(uint16_t(s.nbd.command)) == NbdCommand::read && s.reply.error == 0 ? size_t(s.nbd.length) : size_t(0);
        };
        for (Slot* s = out_; s && n + 2 <= std::size(pieces); s = s->next) {
            add(&s->reply, sizeof s->reply);
            if (payload(*s)) add(s->data.data(), payload(*s));
        }
        msghdr message{};
        message.msg_iov = pieces;
        message.msg_iovlen = n;
        ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) return gone();
            break;
        }
        out_done_ += size_t(sent);
        while (out_ && out_done_ >= sizeof out_->reply + payload(*out_)) {
            Slot& slot = *out_;
            out_done_ -= sizeof slot.reply + payload(slot);
            out_ = slot.next;
            if (!out_) out_last_ = nullptr;
            release(slot);
        }
        if (size_t(sent) < bytes) break;
    }
    if (watched_ && header_whole_) begin();             // it waited for memory or a slot
    update_events();
}

void NbdServer::release(Slot& slot) {
    if (carries_data(NbdCommand(uint16_t(slot.nbd.command)))) memory_ -= slot.nbd.length;
    if (slot.data.size() > kept_buffer) std::vector<uint8_t>().swap(slot.data);
    slot.next = free_;
    free_ = &slot;
    busy_--;
}

}  // namespace iscsi::initiator
