// A whole initiator session in user space, RFC 7143 at ErrorRecoveryLevel 0: login (CHAP, redirects), commands with
// immediate, unsolicited and solicited data, the CmdSN window, NOPs both ways, asynchronous messages, logout. A command
// that is not answered in time is aborted. When the connection is lost it logs in again and sends the commands that were
// not answered once more, if that can do no harm.
//
// Lives on one loop. Nothing is allocated per command: the caller owns the requests, tasks are slots of a table made at
// the start. What the target says is checked before it counts: tags, offsets, lengths, sequence numbers; a target that
// breaks the rules loses the connection, one that never stops meets a limit.
#pragma once
#include <string>
#include <vector>

#include "core/initiator/connection.h"
#include "core/initiator/login.h"
#include "core/io/resolve.h"

namespace iscsi::initiator {

// One SCSI command. The caller's, in place and unchanged from submit() until `done` is called.
struct ScsiRequest {
    // In.
    uint64_t lun = 0;                   // as on the wire (url.h: lun_field)
    uint8_t cdb[16]{};
    MutableBytes in;                    // data from the target lands here; or
    uint32_t discard = 0;               // so many bytes from the target are counted and dropped; or
    Bytes out;                          // data for the target
    void (*done)(ScsiRequest&) = nullptr;
    void* owner = nullptr;

    // Out.
    enum class Outcome : uint8_t {
        pending,
        answered,                       // the target answered: status counts
        rejected,                       // the target refused the PDU or answered "target failure"
        lost,                           // the session ended first
        in_doubt,                       // sent, never answered, and not to be sent again: it may have been carried out
    };
    Outcome outcome = Outcome::pending;
    uint8_t status = 0;                 // SAM-5 status code
    uint16_t sense_length = 0;
    uint8_t sense[252]{};
    uint32_t transferred = 0;           // bytes that arrived (in)
    uint32_t residual = 0;              // as the target says: bytes not moved (underflow), or wanted beyond (overflow)
    bool overflow = false, underflow = false;
    bool good() const { return outcome == Outcome::answered && status == 0; }

private:
    friend class Session;
    ScsiRequest* next_ = nullptr;
    uint8_t sends_ = 0;
    uint32_t expected() const { return uint32_t(in.data() ? in.size() : out.data() ? out.size() : discard); }
    bool reads() const { return in.data() || discard; }
};

struct SessionConfig {
    std::string host;                   // name or numeric
    uint16_t port = 3260;
    ConnectOptions connect;
    LoginSettings login;
    unsigned max_commands = 128;        // in flight, 1..1024
    size_t receive_buffer = 128 * 1024;
    uint64_t connect_timeout_ms = 10000;            // per address
    uint64_t login_timeout_ms = 15000;
    uint64_t noop_interval_ms = 5000, noop_timeout_ms = 5000;       // interval 0: no pings
    uint64_t command_timeout_ms = 60000;            // then it is aborted; 0: never
    uint64_t abort_timeout_ms = 15000;              // then the logical unit is reset
    uint64_t reset_timeout_ms = 30000;              // then the connection is given up
    uint64_t replacement_timeout_ms = 120000;       // how long a lost session is tried for; 0: it ends with its connection
    unsigned max_redirects = 5;
};

// Why a session ended or could not begin.
struct SessionEnd {
    enum class Kind : uint8_t { logout, resolve, connect, login, lost };
    Kind kind = Kind::logout;
    std::string text;                   // one line
    LoginFailure login;                 // valid for Kind::login
    int code = 0;                       // errno of connect; ETIMEDOUT: no answer; EPROTO: it ended within the login
};

class Session;

// Told on the session's loop; must not destroy the session from within a call (post that to the loop).
class SessionOwner {
public:
    virtual void session_up(Session&) {}                                // at first, and after each loss
    virtual void session_down(Session&, const std::string& why) { (void)why; }      // lost; will be tried again
    virtual void session_ended(Session&, const SessionEnd& end) = 0;    // final; every request has come back before

protected:
    ~SessionOwner() = default;
};

class Session final : private Connection::Owner {
public:
    Session(io::Loop& loop, SessionConfig settings, SessionOwner& owner);
    ~Session();                         // drops everything; requests do not come back
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void start();                       // session_up or session_ended follows, not from within this call
    // Takes a connected socket instead of resolving and connecting (tests, fuzzing); no reconnect then.
    void start_on(Fd socket);
    // Queues a command; it is sent as the window allows, together with what else is ready at the end of this wake-up.
    // Also while the session is down. After the end it comes back as lost.
    void submit(ScsiRequest& request);
    // As if command_timeout_ms had passed for this one, if it is under way: for callers with deadlines of their own.
    void time_out(ScsiRequest& request);
    // Sends what is queued, logs out, ends (bounded by login_timeout_ms).
    void logout();
    // Ends at once.
    void abandon(const char* why);
    // The same, because it takes too long: says what is not answered.
    void expire();

    bool is_up() const { return state_ == State::up; }
    const nego::Params& params() const { return success_.params; }
    unsigned in_flight() const { return in_flight_; }
    unsigned reconnects() const { return reconnects_; }
    io::Loop& loop() { return loop_; }

private:
    enum class State : uint8_t { idle, resolving, connecting, login, up, waiting, ended };

    // Data-Out that is owed: unsolicited (ttt is the reserved tag) or asked for by an R2T.
    struct Burst { uint32_t ttt = 0, offset = 0, left = 0, data_sn = 0; };
    static constexpr unsigned max_r2t = 8;
    struct Task {
        ScsiRequest* request = nullptr;
        uint32_t itt = 0, cmd_sn = 0, exp_data_sn = 0, exp_r2t_sn = 0;
        uint32_t received = 0, solicited = 0;
        uint64_t last_put = 0, started_ms = 0;
        Burst bursts[max_r2t + 1];
        uint8_t first_burst = 0, burst_count = 0, empty_data = 0;
        bool in_burst_queue = false, answered = false;
        Task* next_burst = nullptr;     // in the queue of those that owe data; or in the free list
    };

    // session.cpp: the life of the session
    void connected() override;
    void room() override;
    void broken(const char* why, int error) override;
    void resolve();
    void resolved(Result<io::Addresses> result);
    void connect_next();
    void begin_login();
    void login_step(Login::Step step);
    void login_pdu(const wire::Bhs& header, Bytes data);
    void enter_full_feature();
    uint64_t back_off();
    void attempt_failed(SessionEnd why);
    void lost(const std::string& why);
    void end(SessionEnd why);
    void fail_requests();
    void on_step_timer();
    SessionEnd late() const;
    void on_tick();
    void send_ping();
    void send_logout();
    void hurry_logout(uint64_t within_ms);

    // session_io.cpp: commands and data
    Connection::Landing arriving(const wire::Bhs& header) override;
    void arrived(const wire::Bhs& header, Bytes data) override;
    Connection::Landing data_in_landing(const wire::DataIn& h);
    const char* data_in(const wire::DataIn& h, Bytes data);
    const char* scsi_response(const wire::ScsiResponse& h, Bytes data);
    const char* r2t(const wire::R2t& h);
    const char* nop_in(const wire::NopIn& h);
    const char* reject(const wire::Reject& h, Bytes data);
    const char* async_message(const wire::AsyncMessage& h);
    const char* logout_response(const wire::LogoutResponsePdu& h);
    void take_window(uint32_t exp_cmd_sn, uint32_t max_cmd_sn);
    void pump();
    void start_command(ScsiRequest& request);
    void send_data_out(Task& task);
    void owe(Task& task, const Burst& burst);
    Task* find(uint32_t itt);
    void complete(Task& task);
    void release(Task& task);
    void finish_answered();

    // session_abort.cpp: commands without an answer
    // The function under way. `late`: those given up whose answers may still come.
    struct Tmf {
        bool active = false;
        wire::TmfFunction function = wire::TmfFunction::abort_task;
        uint32_t itt = 0, task_itt = 0;
        unsigned late = 0;
        uint64_t lun = 0, sent_ms = 0;
    };
    bool resetting() const { return tmf_.active && tmf_.function == wire::TmfFunction::logical_unit_reset; }
    bool may_repeat(const ScsiRequest& request) const;
    void check_times(uint64_t now);
    void abort_task(Task& task);
    void send_tmf(wire::TmfFunction function, const Task& task);
    void tmf_failed(const char* why);
    bool late_tmf(uint32_t itt);
    const char* tmf_response(const wire::TmfResponse& h);
    void over_by_tmf();
    void hand_back(ScsiRequest& request);
    void requeue_all();

    io::Loop& loop_;
    SessionConfig settings_;
    SessionOwner& owner_;
    Connection connection_;
    io::Timer step_timer_, tick_;
    io::Deferred fail_later_;
    State state_ = State::idle;

    std::unique_ptr<io::Lookup> lookup_;
    io::Addresses addresses_;
    size_t address_ = 0;
    std::string login_host_;
    uint16_t login_port_ = 0;
    unsigned redirects_ = 0, failures_ = 0, reconnects_ = 0;
    std::unique_ptr<Login> login_;
    LoginSuccess success_;
    bool was_up_ = false, adopted_ = false;
    bool progress_ = false;             // a command was answered since the login
    uint64_t down_since_ms_ = 0, up_since_ms_ = 0, shut_since_ms_ = 0;
    SessionEnd last_failure_;

    std::vector<Task> tasks_;
    Task* free_ = nullptr;
    unsigned in_flight_ = 0, lingering_ = 0;
    ScsiRequest *pending_ = nullptr, *pending_last_ = nullptr;
    Task *bursts_ = nullptr, *bursts_last_ = nullptr;
    uint32_t cmd_sn_ = 0, exp_cmd_sn_ = 0, max_cmd_sn_ = 0, exp_stat_sn_ = 0;
    Tmf tmf_;
    std::unique_ptr<uint8_t[]> sink_;   // for `discard` where the connection cannot

    bool draining_ = false, logout_wanted_ = false, logout_sent_ = false;
    bool ping_sent_ = false;
    uint64_t seen_received_ = 0, last_received_ms_ = 0, ping_ms_ = 0;
};

// An ISID of the "random" type (§11.12.5), different each time.
std::array<uint8_t, 6> random_isid();

}  // namespace iscsi::initiator
