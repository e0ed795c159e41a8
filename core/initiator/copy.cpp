#include "core/initiator/copy.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/file.h"

namespace iscsi::initiator {
namespace {

constexpr uint64_t tell_ms = 200, save_ms = 2000;
constexpr uint64_t max_hole = 256 << 20;        // one step, so that progress shows

bool is_zero(const uint8_t* p, size_t n) {
    // All equal to the first byte, and that is zero; memcmp is fast.
    return n == 0 || (p[0] == 0 && std::memcmp(p, p + 1, n - 1) == 0);
}

}  // namespace

Copy::Copy(io::Loop& loop, CopySide& source, CopySide& destination, CopyPlan plan)
    : loop_(loop), source_(source), destination_(destination), plan_(std::move(plan)), slots_(std::max(plan_.depth, 1u)) {
    unit_ = std::max<uint64_t>({4096, source.block(), destination.block()});
    uint64_t chunk = std::max(plan_.chunk, unit_);
    for (CopySide* side : {&source, &destination})
        if (side->max_transfer()) chunk = std::min(chunk, side->max_transfer());
    plan_.chunk = std::max(chunk / unit_ * unit_, unit_);
    for (unsigned i = 0; i < slots_.size(); i++) {
        slots_[i].copy = this;
        slots_[i].index = i;
        slots_[i].op.owner = slots_[i].other.owner = &slots_[i];
    }
    result_.total = source.size();
}

Copy::~Copy() = default;

CopyResult Copy::run(const std::function<void(const CopyProgress&)>& tell) {
    const uint64_t needed = (result_.total + destination_.block() - 1) / destination_.block() * destination_.block();
    if (destination_.size() < (destination_.is_remote() ? needed : result_.total)) {
        result_.error = destination_.name() + " is smaller (" + std::to_string(destination_.size()) + " bytes) than " +
                        source_.name() + " (" + std::to_string(result_.total) + "); take a larger one, or enlarge it";
        return result_;
    }
    if (plan_.resume && !load_state()) return result_;
    next_ = done_ = result_.resumed_at;
    bool ok = pass(false, tell);
    if (ok && (plan_.flush || !plan_.state_file.empty())) ok = flush_destination();
    if (ok && plan_.verify) {
        next_ = done_ = 0;
        ok = pass(true, tell);
    }
    if (ok && !plan_.state_file.empty()) std::remove(plan_.state_file.c_str());
    result_.ok = ok;
    return result_;
}

bool Copy::pass(bool verify, const std::function<void(const CopyProgress&)>& tell) {
    verifying_ = verify;
    extent_end_ = next_;
    uint64_t told = 0, saved = loop_.clock_ms();
    fill();
    while (busy_ > 0 || extent_busy_) {
        loop_.run_once(int(tell_ms));
        const uint64_t now = loop_.now_ms();
        if (tell && now - told >= tell_ms) {
            told = now;
            tell({result_.total, done_, verify});
        }
        if (!verify && !plan_.state_file.empty() && now - saved >= save_ms && result_.error.empty()) {
            // What is written down must be durable: flush first, then say how far.
            const uint64_t position = durable_position();
            if (flush_destination()) save_state(position);
            saved = loop_.clock_ms();
            fill();
        }
    }
    if (tell) tell({result_.total, done_, verify});
    if (result_.error.empty() && next_ >= result_.total) return true;
    if (!verify && !plan_.state_file.empty()) {
        const uint64_t position = durable_position();
        const std::string error = result_.error;
        if (flush_destination()) save_state(position);
        result_.error = error;
    }
    if (result_.error.empty()) {
        result_.stopped = true;
        result_.error = "interrupted at byte " + std::to_string(durable_position());
    }
    return false;
}

// Starts as many chunks as there are slots.
void Copy::fill() {
    if (filling_) return;               // a side that completes at once comes back here
    filling_ = true;
    bool more = true;
    while (more) {
        more = false;
        for (Slot& slot : slots_) {
            if (slot.busy) continue;
            if (stopping_ || !result_.error.empty() || next_ >= result_.total || !next_extent()) {
                more = false;
                break;
            }
            slot.at = next_;
            slot.hole = !extent_mapped_;
            slot.length = std::min(extent_end_ - next_, slot.hole && !verifying_ ? max_hole : plan_.chunk);
            next_ += slot.length;
            slot.busy = true;
            slot.over = false;
            busy_++;
            start(slot);
            more = more || !slot.busy;          // it completed at once
        }
    }
    filling_ = false;
}

// Knows what lies at next_; false while the source is still being asked.
bool Copy::next_extent() {
    if (next_ < extent_end_) return true;
    if (extent_busy_) return false;
    extent_busy_ = true;
    extent_op_.offset = next_;
    // Whole blocks of the source; its end may be an odd number of bytes of a file.
    extent_op_.length = result_.total - next_;
    extent_op_.failed = false;
    extent_op_.owner = this;
    extent_op_.done = [](CopyOp& op) {
        Copy& copy = *static_cast<Copy*>(op.owner);
        copy.extent_busy_ = false;
        if (copy.failed(op)) return;
        // Cut to whole units; what is left of a hole smaller than that is copied as data.
        const uint64_t to_end = copy.result_.total - op.offset;
        uint64_t length = std::min(op.length, to_end);
        if (length < to_end) length = op.mapped ? (length + copy.unit_ - 1) / copy.unit_ * copy.unit_ : length / copy.unit_ * copy.unit_;
        copy.extent_mapped_ = op.mapped || length == 0;
        copy.extent_end_ = op.offset + std::min(std::max(length, copy.unit_), to_end);
        if (!copy.filling_) copy.fill();
    };
    source_.extent(extent_op_);
    return next_ < extent_end_ && result_.error.empty();
}

void Copy::start(Slot& slot) {
    slot.op.offset = slot.other.offset = slot.at;
    slot.op.failed = slot.other.failed = false;
    if (verifying_) return verify_read(slot);
    if (slot.hole) {
        result_.holes += slot.length;
        // The end of a file that is no whole block of the destination.
        slot.op.length = destination_.is_remote() ? (slot.length + destination_.block() - 1) / destination_.block() * destination_.block()
                                                  : slot.length;
        slot.op.done = [](CopyOp& op) {
            Slot& s = *static_cast<Slot*>(op.owner);
            s.copy->finished(s);
        };
        return destination_.zero(slot.op);
    }
    copy_read(slot);
}

// Straight from the source's page cache, if that can be: the data is not looked at, so the first page must show that it is
// not zeros.
bool Copy::send_borrowed(Slot& slot) {
    if (!destination_.is_remote() || !destination_.sends_blindly() || slot.length % destination_.block()) return false;
    if (plan_.detect_zeros) {
        uint8_t first[4096];
        CopyOp look;
        look.offset = slot.at;
        look.length = std::min<uint64_t>(sizeof first, slot.length);
        look.data = first;
        look.done = [](CopyOp&) {};
        if (source_.is_remote()) return false;
        source_.read(look);             // a file: done when it returns
        if (look.failed || is_zero(first, look.length)) return false;
    }
    const uint8_t* data = source_.borrow(slot.at, slot.length);
    if (!data) return false;
    slot.op.length = slot.length;
    slot.op.data = const_cast<uint8_t*>(data);          // write() only reads there
    slot.op.done = [](CopyOp& op) {
        Slot& s = *static_cast<Slot*>(op.owner);
        s.copy->finished(s);
    };
    result_.data += slot.length;
    destination_.write(slot.op);
    return true;
}

void Copy::copy_read(Slot& slot) {
    if (send_borrowed(slot)) return;
    if (slot.data.empty()) slot.data.resize(plan_.chunk);
    slot.op.length = slot.length;
    slot.op.data = slot.data.data();
    slot.op.done = [](CopyOp& op) {
        Slot& s = *static_cast<Slot*>(op.owner);
        Copy& copy = *s.copy;
        if (op.failed) return copy.finished(s);
        const uint64_t block = copy.destination_.is_remote() ? copy.destination_.block() : 1;
        const uint64_t padded = (s.length + block - 1) / block * block;
        std::memset(s.data.data() + s.length, 0, padded - s.length);
        op.length = padded;
        op.done = [](CopyOp& w) {
            Slot& t = *static_cast<Slot*>(w.owner);
            t.copy->finished(t);
        };
        if (copy.plan_.detect_zeros && is_zero(s.data.data(), padded)) {
            copy.result_.holes += s.length;
            return copy.destination_.zero(op);
        }
        copy.result_.data += s.length;
        copy.destination_.write(op);
    };
    source_.read(slot.op);
}

// Reads a chunk from both sides, or from the destination only where the source has a hole.
void Copy::verify_read(Slot& slot) {
    if (slot.data.empty()) slot.data.resize(plan_.chunk);
    if (slot.second.empty()) slot.second.resize(plan_.chunk);
    const uint64_t block = destination_.is_remote() ? destination_.block() : 1;
    slot.other.length = (slot.length + block - 1) / block * block;
    slot.other.data = slot.second.data();
    slot.other.done = [](CopyOp& op) {
        Slot& s = *static_cast<Slot*>(op.owner);
        if (!op.failed && std::memcmp(s.data.data(), s.second.data(), s.length) != 0) {
            uint64_t i = 0;
            while (s.data[i] == s.second[i]) i++;
            op.failed = true;
            op.error = "verify: " + s.copy->destination_.name() + " differs at byte " + std::to_string(s.at + i);
        }
        s.op.failed = op.failed;
        if (op.failed) s.op.error = op.error;
        s.copy->finished(s);
    };
    if (slot.hole) {
        std::memset(slot.data.data(), 0, slot.length);
        return destination_.read(slot.other);
    }
    slot.op.length = slot.length;
    slot.op.data = slot.data.data();
    slot.op.done = [](CopyOp& op) {
        Slot& s = *static_cast<Slot*>(op.owner);
        if (op.failed) return s.copy->finished(s);
        s.copy->destination_.read(s.other);
    };
    source_.read(slot.op);
}

bool Copy::failed(const CopyOp& op) {
    if (op.failed && result_.error.empty()) result_.error = op.error;
    return op.failed;
}

void Copy::finished(Slot& slot) {
    slot.busy = false;
    busy_--;
    if (failed(slot.op)) {
        // Not done: where it began is as far as a later run may trust us.
        slot.over = true;
        return;
    }
    done_ += slot.length;
    fill();
}

// ---- resuming

// Everything before it has been written (but perhaps not flushed).
uint64_t Copy::durable_position() {
    uint64_t position = next_;
    for (const Slot& slot : slots_)
        if (slot.busy || slot.over) position = std::min(position, slot.at);
    return position;
}

bool Copy::flush_destination() {
    struct Flush { bool over = false; } state;
    CopyOp op;
    op.owner = &state;
    op.done = [](CopyOp& o) { static_cast<Flush*>(o.owner)->over = true; };
    destination_.flush(op);
    while (!state.over) loop_.run_once(1000);
    return !failed(op);
}

void Copy::save_state(uint64_t position) {
    std::string text = "iscsi cp state 1\nsource " + source_.identity() + "\ndestination " + destination_.identity() + "\nposition " +
                       std::to_string(position) + "\n";
    if (auto saved = replace_file(plan_.state_file, text, 0600); !saved) result_.error = saved.error().text();
}

bool Copy::load_state() {
    auto text = read_file(plan_.state_file, 65536);
    if (!text) {
        result_.error = "cannot resume: " + text.error().text() + "; without --resume it begins anew";
        return false;
    }
    const std::string head = "iscsi cp state 1\nsource " + source_.identity() + "\ndestination " + destination_.identity() + "\nposition ";
    const bool ours = text->compare(0, head.size(), head) == 0;
    char* end = nullptr;
    const char* digits = ours ? text->c_str() + head.size() : "";
    const unsigned long long position = std::strtoull(digits, &end, 10);
    if (!ours || end == digits || position > result_.total || (position % unit_ && position != result_.total)) {
        result_.error = "cannot resume: " + plan_.state_file + " is of another copy, or the source has changed since";
        return false;
    }
    result_.resumed_at = position;
    return true;
}

}  // namespace iscsi::initiator
