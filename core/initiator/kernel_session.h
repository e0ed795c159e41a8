// One session of the kernel's initiator, from the first connect to the last logout: connects, hands the socket to the
// kernel, logs in through it (SEND_PDU; the kernel owns CmdSN, so a re-login can go no other way, and the ISID is made
// from the kernel's session number, so that a later daemon derives the same one), sets the parameters, starts, scans.
// Afterwards it answers connection errors with recovery: stop, wait, log in again. Lives on the engine's loop.
//
// The states are the RFC's (connection_fsm.h, session_fsm.h); `work()` is what is being done about them.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/initiator/connection_fsm.h"
#include "core/initiator/connector.h"
#include "core/initiator/initiator_error.h"
#include "core/initiator/scan.h"
#include "core/initiator/session_fsm.h"
#include "core/initiator/session_settings.h"
#include "core/io/loop.h"
#include "core/kernel/sysfs.h"
#include "core/kernel/transport.h"

namespace iscsi::initiator {

// How long to wait for what; tests are impatient.
struct Pace {
    uint64_t second_ms = 1000;          // the unit of every time-out in the settings
    uint64_t retry_ms = 1000;           // between attempts: once, twice, then three times this
    uint64_t scan_limit_ms = 60000;     // login is answered after so long even if the scan goes on
};

// What all sessions share. Outlives them.
struct KernelContext {
    io::Loop& loop;
    kernel::Transport& transport;
    const kernel::Sysfs& sysfs;
    Pace pace;
    std::function<void()> finished;     // some session's gone() became true: sweep, later
};

class KernelSession {
public:
    // `message` is one line for the user, may be empty.
    using Done = std::function<void(InitiatorError, const std::string& message)>;

    KernelSession(KernelContext& context, SessionSettings settings);
    ~KernelSession();
    KernelSession(const KernelSession&) = delete;
    KernelSession& operator=(const KernelSession&) = delete;

    // First login; answered when the scan is done, or the attempts or the time (0: no limit of its own) are used up.
    void login(uint64_t limit_ms, Done done);
    // Takes over a session of the kernel. One that is logged in is left alone until its first error.
    void adopt(const kernel::SessionInfo& found);
    // Devices, logout, session: gone. The answer may be an error with the session gone all the same.
    void logout(Done done);
    void on_event(const kernel::Event& event);
    // Events were lost: compare with what sysfs says.
    void resync();

    bool gone() const { return gone_; }
    // No login, recovery or logout under way.
    bool settled() const { return !gone_ && connection_ == ConnectionState::logged_in && work_ == Work::none && !done_; }
    bool logged_in() const { return connection_ == ConnectionState::logged_in; }
    std::optional<uint32_t> sid() const { return sid_; }
    int host() const { return host_; }
    ConnectionState connection() const { return connection_; }
    SessionState session() const { return session_; }
    Work work() const { return work_; }
    const SessionSettings& settings() const { return settings_; }

private:
    enum class Phase : uint8_t { idle, waiting, connecting, logging_in, full_feature, unbinding, logging_out, leaving };
    struct Trouble {                    // why an attempt failed
        InitiatorError error;
        bool retry;
        std::string text;
    };

    struct Place {
        std::string host;
        uint16_t port = 0;
    };

    bool move(ConnectionEvent on);
    void move(SessionEvent on);

    // kernel_session.cpp: an attempt to log in, first or again
    void attempt();
    Place next_place() const;
    void on_connected(Fd fd, const ConnectFailure& failure);
    Result<void> hand_over();
    void start_login();
    void on_login_pdu(const kernel::Event& event);
    void on_login_done();
    void on_login_failed();
    void attempt_failed(const Trouble& trouble);
    void logged_in_first();
    void answer(InitiatorError error, const std::string& message);
    void on_timer();
    void on_limit();
    Result<void> set_params_before_login();
    Result<void> set_params_after_login();
    void tune_xmit_thread();

    // recovery.cpp: errors, asynchronous messages, adoption, logout
    void lost(uint64_t wait_ms);
    void on_async(const kernel::Event& event);
    void on_scsi_event(Bytes data);
    void send_logout();
    void on_logout_pdu(const kernel::Event& event);
    void drop_connection(kernel::StopFlag flag);
    void destroy();
    void finish(InitiatorError error, const std::string& message);
    uint64_t seconds(uint64_t s) const { return s * context_.pace.second_ms; }
    uint64_t retry_delay() const;
    const char* name() const { return name_.c_str(); }     // "connection1:0"
    void set_sid(uint32_t sid);

    KernelContext& context_;
    SessionSettings settings_;
    ConnectionState connection_ = ConnectionState::free;
    SessionState session_ = SessionState::free;
    Work work_ = Work::none;
    Phase phase_ = Phase::idle;
    bool gone_ = false, established_ = false;   // established: has been logged in, so errors mean recovery
    bool scan_pending_ = false;
    std::optional<uint32_t> sid_;
    int host_ = -1;
    std::string name_ = "connection-1:0";
    Fd fd_;
    std::unique_ptr<Connector> connector_;
    std::unique_ptr<Login> login_;
    std::unique_ptr<ScanJob> scan_, rescan_;
    Place place_;                               // where this attempt goes
    Place redirect_;                            // where the target sends the next one; no host: nowhere
    Place moved_;                               // where it has moved for good
    unsigned redirects_ = 0;
    uint32_t attempts_ = 0;
    uint64_t started_ms_ = 0;
    Done done_;
    Done logout_after_;                         // a logout asked for while the login's scan still runs
    io::Timer timer_;                           // of the phase
    io::Timer limit_;                           // of the whole login
};

}  // namespace iscsi::initiator
