// The CmdSN window of one session, RFC 7143 §4.2.2.1: which commands start now, which wait for a gap to close, which lie
// outside [ExpCmdSN, MaxCmdSN] and vanish. Owned by Session, shared by its connections, touched only on the session's loop.
// Immediate commands (I bit) do not advance it and never come here.
#pragma once
#include "core/wire/serial.h"

namespace iscsi::target {

class CommandWindow {
public:
    enum class Fate { start, hold, ignore };
    // `size`: how many commands the initiator may have on their way to us or queued here.
    CommandWindow(uint32_t first_cmd_sn, uint32_t size) : exp_(first_cmd_sn), max_(first_cmd_sn + size - 1), size_(size) {}

    // A command of this CmdSN has come; `start` advances ExpCmdSN past it.
    Fate arrive(uint32_t cmd_sn) {
        if (!wire::sn_in_window(cmd_sn, exp_, max_)) return Fate::ignore;
        if (cmd_sn != exp_) return Fate::hold;
        exp_++;
        return Fate::start;
    }
    // Commands up to there count as received: exp_cmd_sn() <= cmd_sn <= last_max_cmd_sn() + 1.
    void skip_to(uint32_t cmd_sn) { exp_ = cmd_sn; }
    uint32_t exp_cmd_sn() const { return exp_; }
    // What to advertise while `pending` commands are queued. Never moves backwards (§4.2.2.1).
    uint32_t max_cmd_sn(uint32_t pending) {
        uint32_t open = pending < size_ ? size_ - pending : 0;
        uint32_t now = exp_ + open - 1;
        if (wire::sn_less(max_, now)) max_ = now;
        return max_;
    }
    uint32_t last_max_cmd_sn() const { return max_; }

private:
    uint32_t exp_, max_, size_;
};

}  // namespace iscsi::target
