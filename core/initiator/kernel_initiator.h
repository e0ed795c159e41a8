// All sessions of the kernel's initiator, side by side on one loop. Logins run in parallel, each with its own deadline.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/initiator/kernel_session.h"

namespace iscsi::initiator {

class KernelInitiator {
public:
    KernelInitiator(io::Loop& loop, kernel::Transport& transport, const kernel::Sysfs& sysfs, Pace pace = {});

    // Joins the loop; from here on events are served.
    Result<void> start();

    using LoginDone = std::function<void(InitiatorError, const std::string& message, uint32_t sid, int host)>;
    // `multiple`: one more session even if there is one to the same target, portal and iface. `done` may be called
    // at once.
    void login(SessionSettings settings, bool multiple, uint64_t limit_ms, LoginDone done);

    // `force`: even if a file system or swap lies on its devices.
    void logout(uint32_t sid, bool force, KernelSession::Done done);

    // Sessions the kernel has and we do not know: taken over with the settings `find` has for them.
    using Find = std::function<Result<SessionSettings>(const kernel::SessionInfo&)>;
    void adopt(const Find& find);

    // No login, recovery or logout under way.
    bool settled() const;
    // Called whenever settled() may have become true.
    void on_change(std::function<void()> call) { changed_ = std::move(call); }

    const std::vector<std::unique_ptr<KernelSession>>& sessions() const { return sessions_; }
    KernelSession* find(uint32_t sid) const;
    Result<kernel::Statistics> statistics(uint32_t sid) { return transport_.statistics(sid, 0); }
    const kernel::Sysfs& sysfs() const { return sysfs_; }

private:
    void on_event(const kernel::Event& event);
    bool exists(const SessionSettings& settings) const;
    void sweep();
    Result<void> prepare_transport();

    io::Loop& loop_;
    kernel::Transport& transport_;
    const kernel::Sysfs& sysfs_;
    KernelContext context_;
    io::Deferred sweep_;
    std::vector<std::unique_ptr<KernelSession>> sessions_;
    std::function<void()> changed_;
    bool prepared_ = false;             // asked for what else the transport needs
};

}  // namespace iscsi::initiator
