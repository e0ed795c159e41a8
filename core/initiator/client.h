// A session for a tool that does one thing after another: connects, runs commands and waits for each. What runs many at
// once (bench, cp, attach) submits to session() itself and runs loop().
#pragma once
#include <memory>
#include <string>

#include "core/initiator/session.h"
#include "core/initiator/url.h"

namespace iscsi::initiator {

// Settings of a session for this URL. Target and LUN must be in it.
SessionConfig session_config(const Url& url, const std::string& initiator_name);

// What became of a request, for people: "CHECK CONDITION, illegal request, asc 24h ascq 00h", "session lost: ...".
std::string describe(const ScsiRequest& request);
// That, and what can be done about it. `end_text`: why the session ended, if it did.
std::string explain(const ScsiRequest& request, const std::string& end_text);
// Sense key, ASC << 8 | ASCQ of fixed and descriptor sense (SPC-4 4.5); 0 if there is none.
struct SenseCode { uint8_t key = 0; uint16_t asc = 0; };
SenseCode sense_code(const ScsiRequest& request);
// The command may simply be sent again: unit attention, busy, task set full, not ready becoming so.
bool worth_retry(const ScsiRequest& request);

class Client final : private SessionOwner {
public:
    // Blocks until logged in. On a loop of its own, or on one that is shared (and outlives the client).
    // `limit_ms`: the session ends when it has lasted so long; 0: no limit.
    static Result<std::unique_ptr<Client>> connect(const SessionConfig& settings, io::Loop* shared = nullptr, uint64_t limit_ms = 0);
    ~Client();                          // logs out, bounded in time

    // Blocks until answered; repeats what is worth it, a few times. An error unless the status is GOOD (or CONDITION MET).
    Result<void> execute(ScsiRequest& request, const char* what);

    Session& session() { return *session_; }
    io::Loop& loop() { return *loop_; }
    bool ended() const { return ended_; }
    const std::string& end_text() const { return end_text_; }      // with advice

private:
    Client() = default;
    void session_up(Session&) override { up_ = true; }
    void session_ended(Session&, const SessionEnd& end) override;

    std::unique_ptr<io::Loop> own_loop_;
    io::Loop* loop_ = nullptr;
    std::unique_ptr<io::Timer> limit_;
    std::unique_ptr<Session> session_;
    bool up_ = false, ended_ = false, credentials_ = false;
    std::string end_text_;
};

}  // namespace iscsi::initiator
