// How long a loop looks for more work before it sleeps. To wake a thread costs more than a short wait, the more so on a virtual
// CPU; to wait for what does not come costs a core. So the window opens where work came soon after the last, and closes at the
// first wait that was long: the rule by which KVM polls for a halted guest.
#pragma once
#include <algorithm>
#include <cstdint>

namespace iscsi::io {

class PollWindow {
public:
    explicit PollWindow(unsigned most_us = 0) : most_us_(most_us) {}
    bool enabled() const { return most_us_ != 0; }
    unsigned us() const { return us_; }         // 0: sleep at once

    // What a wait came to, polled or slept: the time until there was work, us.
    void waited(uint64_t us) {
        if (us > most_us_) us_ = 0;
        else if (us > us_) us_ = std::min(most_us_, std::max(first_us, 2 * us_));
    }

private:
    static constexpr unsigned first_us = 10;
    unsigned most_us_, us_ = 0;
};

}  // namespace iscsi::io
