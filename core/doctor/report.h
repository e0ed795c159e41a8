// What `iscsi doctor` finds: one line per check, and where something is wrong, the command that mends it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace iscsi::doctor {

enum class Level : uint8_t { ok, warn, fail };

// A finding about `what` begins at Report; each part is a printf format:
//   report.ok("portal %s", name).is("answers");
//   report.fail("portal %s", name).found("connection refused").mend("systemctl start tgt");
struct Finding {
    Level level = Level::ok;
    std::string what;           // "portal 192.0.2.10:3260"
    std::string finding;        // "connection refused: nobody listens there"
    std::string fix;            // a command, or a sentence where there is none; empty with ok

    void is(const char* format, ...) __attribute__((format(printf, 2, 3)));
    [[nodiscard]] Finding& found(const char* format, ...) __attribute__((format(printf, 2, 3)));
    void mend(const char* format, ...) __attribute__((format(printf, 2, 3)));
};

class Report {
public:
    [[nodiscard]] Finding& ok(const char* what, ...) __attribute__((format(printf, 2, 3)));
    [[nodiscard]] Finding& warn(const char* what, ...) __attribute__((format(printf, 2, 3)));
    [[nodiscard]] Finding& fail(const char* what, ...) __attribute__((format(printf, 2, 3)));
    [[nodiscard]] Finding& say(Level level, const char* what, ...) __attribute__((format(printf, 3, 4)));
    void add(Finding finding) { findings_.push_back(std::move(finding)); }

    const std::vector<Finding>& findings() const { return findings_; }
    size_t mark() const { return findings_.size(); }
    // Something since then was not ok.
    bool worse_since(size_t mark) const;
    size_t count(Level level) const;

private:
    std::vector<Finding> findings_;
};

// printf into a string.
std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));
// "" or "s": "3 targets"
inline const char* plural(size_t n) { return n == 1 ? "" : "s"; }

}  // namespace iscsi::doctor
