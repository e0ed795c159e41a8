#include "core/initiator/kernel_initiator.h"

#include <algorithm>

#include "core/base/log.h"
#include "core/kernel/modules.h"

namespace iscsi::initiator {

KernelInitiator::KernelInitiator(io::Loop& loop, kernel::Transport& transport, const kernel::Sysfs& sysfs, Pace pace)
    : loop_(loop), transport_(transport), sysfs_(sysfs),
      context_{loop, transport, sysfs, pace, [this] { sweep_.schedule(); }}, sweep_(loop, [this] { sweep(); }) {}

Result<void> KernelInitiator::start() {
    return transport_.watch(loop_, [this](const kernel::Event& e) { on_event(e); }, [this] {
        for (size_t i = 0; i < sessions_.size(); i++) sessions_[i]->resync();
    });
}

void KernelInitiator::on_event(const kernel::Event& event) {
    if (KernelSession* s = find(event.sid)) s->on_event(event);
    if (changed_) changed_();
}

KernelSession* KernelInitiator::find(uint32_t sid) const {
    auto it = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& s) { return !s->gone() && s->sid() == sid; });
    return it == sessions_.end() ? nullptr : it->get();
}

bool KernelInitiator::settled() const {
    return std::all_of(sessions_.begin(), sessions_.end(), [](const auto& s) { return s->gone() || s->settled(); });
}

// Target, portal and iface name a session, in the kernel or on its way there.
bool KernelInitiator::exists(const SessionSettings& s) const {
    for (const auto& other : sessions_) {
        const SessionSettings& o = other->settings();
        if (!other->gone() && o.target_name == s.target_name && o.address == s.address && o.port == s.port &&
            o.iface_name == s.iface_name)
            return true;
    }
    for (const kernel::SessionInfo& k : sysfs_.sessions())
        if (!find(k.sid) && k.target_name == s.target_name && k.persistent_address == s.address &&
            k.persistent_port == std::to_string(s.port) && (k.iface_name.empty() || k.iface_name == s.iface_name))
            return true;
    return false;
}

namespace {
// Creating a connection wants a CRC32C, digests or not. The kernel asks modprobe for one; where there is none (a bare
// initramfs) we are its modprobe. The fast one first: the kernel looks for no other once it has one.
void load_crc32c(const kernel::Sysfs& sysfs) {
    if (sysfs.module_loaded("crc32c_intel") || sysfs.module_loaded("crc32c_generic") || kernel::load_module(sysfs, "crc32c")) return;
    (void)kernel::load_module(sysfs, "crc32c_intel");
    (void)kernel::load_module(sysfs, "crc32c_generic");
}
}  // namespace

Result<void> KernelInitiator::prepare_transport() {
    auto handle = sysfs_.transport_handle();
    if (!handle) {
        auto loaded = kernel::load_module(sysfs_, "iscsi_tcp");
        if (!loaded) return loaded.error();
        handle = sysfs_.transport_handle();
        if (!handle) return Error{EACCES, "read the handle of the kernel's transport tcp", ""};
    }
    transport_.set_handle(*handle);
    if (!prepared_) load_crc32c(sysfs_);
    prepared_ = true;
    return {};
}

void KernelInitiator::login(SessionSettings settings, bool multiple, uint64_t limit_ms, LoginDone done) {
    if (settings.initiator_name.empty()) {
        log::error("No initiator name set. Cannot create session.");
        return done(InitiatorError::login, "no initiator name is set (/etc/iscsi/initiatorname.iscsi)", 0, -1);
    }
    if (auto ready = prepare_transport(); !ready) {
        log::error("%s", ready.error().text().c_str());
        return done(InitiatorError::transport_not_found, ready.error().text(), 0, -1);
    }
    if (!multiple && exists(settings)) return done(InitiatorError::session_exists, "", 0, -1);
    sessions_.push_back(std::make_unique<KernelSession>(context_, std::move(settings)));
    KernelSession* s = sessions_.back().get();
    s->login(limit_ms, [this, s, done = std::move(done)](InitiatorError error, const std::string& message) {
        done(error, message, s->sid().value_or(0), s->host());
        if (changed_) changed_();
    });
}

void KernelInitiator::logout(uint32_t sid, bool force, KernelSession::Done done) {
    KernelSession* s = find(sid);
    if (!s) return done(InitiatorError::session_not_connected, "iscsid does not know the session");
    if (!force)
        if (auto use = sysfs_.in_use(sid)) {
            log::warning("session %u is not logged out: %s is in use", sid, use->c_str());
            return done(InitiatorError::busy, *use);
        }
    s->logout(std::move(done));
}

void KernelInitiator::adopt(const Find& find_settings) {
    if (sysfs_.session_ids().empty()) return;
    if (auto ready = prepare_transport(); !ready) return log::error("%s", ready.error().text().c_str());
    for (const kernel::SessionInfo& found : sysfs_.sessions()) {
        if (find(found.sid)) continue;
        // Half-made by a daemon that died before it told the kernel whom it wants to talk to.
        if (found.target_name.empty()) {
            log::info("session %u in the kernel has no target, removing it", found.sid);
            (void)transport_.stop_connection(found.sid, 0, kernel::StopFlag::terminate);
            (void)transport_.destroy_connection(found.sid, 0);
            (void)transport_.destroy_session(found.sid);
            continue;
        }
        auto settings = find_settings(found);
        if (!settings) {
            log::error("session %u to %s is not taken over: %s", found.sid, found.target_name.c_str(), settings.error().text().c_str());
            continue;
        }
        sessions_.push_back(std::make_unique<KernelSession>(context_, std::move(*settings)));
        sessions_.back()->adopt(found);
    }
}

void KernelInitiator::sweep() {
    std::erase_if(sessions_, [](const auto& s) { return s->gone(); });
    if (changed_) changed_();
}

}  // namespace iscsi::initiator
