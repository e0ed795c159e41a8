// What the kernel is told of a session: before the login who and where, after it what was agreed. The order is
// open-iscsi's.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/base/log.h"
#include "core/initiator/kernel_session.h"

namespace iscsi::initiator {

using kernel::Param;

namespace {

struct Setting {
    Param param;
    std::string value;
    bool vital;         // without it the kernel would speak another dialect than was agreed on
};

Result<void> set_all(kernel::Transport& transport, uint32_t sid, const std::vector<Setting>& settings) {
    for (const Setting& s : settings) {
        auto set = transport.set_param(sid, 0, s.param, s.value);
        if (set) continue;
        if (s.vital) return Error{set.error().code, "set session parameter " + std::to_string(unsigned(s.param)), ""};
        // Older kernels know fewer parameters.
        log::debug("connection%u:0: parameter %u is not taken: %s", sid, unsigned(s.param), set.error().text().c_str());
    }
    return {};
}

std::string flag(bool on) { return on ? "1" : "0"; }

}  // namespace

Result<void> KernelSession::set_params_before_login() {
    const SessionSettings& s = settings_;
    std::vector<Setting> list = {
        {Param::target_name, s.target_name, true},
        {Param::persistent_address, s.address, false},
        {Param::persistent_port, std::to_string(s.port), false},
        {Param::recovery_timeout, std::to_string(s.replacement_timeout), false},
    };
    if (!s.chap.account.user.empty()) {     // readable by root alone; a daemon that takes the session over needs them
        list.push_back({Param::username, s.chap.account.user, false});
        if (!s.chap.target_account.user.empty()) list.push_back({Param::username_in, s.chap.target_account.user, false});
        list.push_back({Param::password, std::string(s.chap.account.secret.reveal()), false});
        if (!s.chap.target_account.secret.empty())
            list.push_back({Param::password_in, std::string(s.chap.target_account.secret.reveal()), false});
    }
    list.insert(list.end(), {
        {Param::fast_abort, flag(s.fast_abort), false},
        {Param::abort_timeout, std::to_string(s.abort_timeout), false},
        {Param::lu_reset_timeout, std::to_string(s.lu_reset_timeout), false},
        {Param::tgt_reset_timeout, std::to_string(s.tgt_reset_timeout), false},
        {Param::ping_timeout, std::to_string(s.ping_timeout), false},
        {Param::recv_timeout, std::to_string(s.ping_interval), false},
        {Param::iface_name, s.iface_name, false},
        {Param::initiator_name, s.initiator_name, true},
        {Param::discovery_session, "0", false},
    });
    auto done = set_all(context_.transport, *sid_, list);
    for (Setting& l : list)
        if (l.param == Param::password || l.param == Param::password_in) ::explicit_bzero(l.value.data(), l.value.size());
    return done;
}

Result<void> KernelSession::set_params_after_login() {
    const LoginSuccess& done = login_->success();
    const nego::Params& p = done.params;
    settings_.offers.default_time2wait = p.default_time2wait;
    return set_all(context_.transport, *sid_, {
        {Param::max_recv_dlength, std::to_string(p.max_recv_data_segment), true},
        {Param::max_xmit_dlength, std::to_string(p.max_xmit_data_segment), true},
        {Param::header_digest, flag(p.header_digest), true},
        {Param::data_digest, flag(p.data_digest), true},
        {Param::initial_r2t, flag(p.initial_r2t), true},
        {Param::max_r2t, std::to_string(p.max_outstanding_r2t), true},
        {Param::immediate_data, flag(p.immediate_data), true},
        {Param::first_burst, std::to_string(p.first_burst), true},
        {Param::max_burst, std::to_string(p.max_burst), true},
        {Param::pdu_in_order, flag(p.data_pdu_in_order), false},
        {Param::data_seq_in_order, flag(p.data_sequence_in_order), false},
        {Param::erl, std::to_string(p.error_recovery_level), false},
        {Param::exp_statsn, std::to_string(done.exp_stat_sn), true},
        {Param::tpgt, std::to_string(p.has_portal_group_tag ? p.portal_group_tag : 0), false},
    });
}

// The kernel's transmit worker of the host, where it is a thread of its own: node.session.xmit_thread_priority.
void KernelSession::tune_xmit_thread() {
    const std::string wanted = "iscsi_q_" + std::to_string(host_);
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir("/proc"), ::closedir);
    if (!dir) return;
    while (dirent* e = ::readdir(dir.get())) {
        int pid = std::atoi(e->d_name);
        if (pid <= 0) continue;
        char path[64], name[32];
        std::snprintf(path, sizeof path, "/proc/%d/comm", pid);
        Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
        ssize_t n = fd ? ::read(fd.get(), name, sizeof name - 1) : -1;
        if (n <= 0 || std::string_view(name, size_t(n)) != wanted + "\n") continue;
        ::setpriority(PRIO_PROCESS, id_t(pid), settings_.xmit_priority);
        return;
    }
}

}  // namespace iscsi::initiator
