// How long a loop looks for more work before it sleeps. To wake a thread costs more than a short wait, the more so on a virtual
// CPU; to wait for what does not come costs a core. So the window is open while work comes soon after the last, like KVM's for a
// halted guest; and to look in vain, or while others want the CPU, is paid for by sleeping at once for 20 times as long.
#pragma once
#include <cstdint>

namespace iscsi::io {

class PollWindow {
public:
    explicit PollWindow(unsigned most_us = 0) : most_us_(most_us) {}
    bool enabled() const { return most_us_ != 0; }
    unsigned us() const { return us_; }         // 0: sleep at once

    // How a wait went: looked for so long, then slept until there was work, us from its begin. `now_us`: any clock that only
    // goes forward. A look that took longer than the window was somebody else's time.
    void waited(uint64_t looked_us, uint64_t us, uint64_t now_us) {
        if (looked_us > 0 && (us > looked_us || looked_us > most_us_)) shut_until_us_ = now_us + price * looked_us;
        us_ = us <= most_us_ && now_us >= shut_until_us_ ? most_us_ : 0;
    }

private:
    static constexpr uint64_t price = 20;
    unsigned most_us_, us_ = 0;
    uint64_t shut_until_us_ = 0;
};

}  // namespace iscsi::io
