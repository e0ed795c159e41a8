#include "applets/boot_login.h"

#include <unistd.h>

#include "core/base/log.h"
#include "core/initiator/kernel_initiator.h"
#include "core/kernel/modules.h"

namespace iscsi::applets {

using initiator::InitiatorError;

namespace {
// The kernel's session that this record would make once more; 0 if there is none.
uint32_t existing(const kernel::Sysfs& sysfs, const config::Record& node) {
    using config::Key;
    for (const kernel::SessionInfo& s : sysfs.sessions())
        if (s.target_name == node.text(Key::node_name) && s.persistent_address == node.text(Key::conn_address) &&
            s.persistent_port == node.text(Key::conn_port))
            return s.sid;
    return 0;
}
}  // namespace

BootOutcome boot_login(std::vector<BootTarget> targets, Repeated repeated) {
    BootOutcome outcome;
    outcome.sessions.resize(targets.size());
    size_t open = targets.size();
    auto failed = [&](InitiatorError error) {
        log::error("initiator reported error (%d - %s)", int(error), initiator::text(error));
        if (!outcome.failed++) outcome.first_error = error;
    };
    auto give_up = [&](const Error& e, InitiatorError error) {
        log::error("%s", e.text().c_str());
        for (size_t i = 0; i < targets.size(); i++) failed(error);
        return outcome;
    };

    kernel::Sysfs sysfs;
    auto loop = io::Loop::create();
    if (!loop) return give_up(loop.error(), InitiatorError::internal);
    if (auto loaded = kernel::load_module(sysfs, "iscsi_tcp"); !loaded) return give_up(loaded.error(), InitiatorError::transport_not_found);
    auto channel = kernel::open_netlink();
    if (!channel) return give_up(channel.error(), InitiatorError::transport_not_found);
    kernel::Transport transport(std::move(*channel), 0);
    initiator::KernelInitiator engine(**loop, transport, sysfs);
    if (auto started = engine.start(); !started) return give_up(started.error(), InitiatorError::internal);

    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    for (size_t i = 0; i < targets.size(); i++) {
        auto settings = initiator::session_settings(targets[i].node, targets[i].initiator_name, host, sysfs);
        if (!settings) {
            log::error("%s", settings.error().text().c_str());
            failed(InitiatorError::invalid);
            open--;
            continue;
        }
        engine.login(std::move(*settings), false, 0, [&, i](InitiatorError error, const std::string&, uint32_t sid, int) {
            open--;
            if (error == InitiatorError::session_exists && repeated == Repeated::fine) sid = existing(sysfs, targets[i].node);
            else if (error != InitiatorError::none) sid = 0;
            if (!sid) return failed(error);
            outcome.sessions[i] = sid;
        });
    }
    while (open > 0) (*loop)->run_once(-1);
    return outcome;
}

}  // namespace iscsi::applets
