// The log: one sink per process, set once at start. Levels as syslog's. Thread safe: a line is one
// write. Secrets never come here.
#pragma once

namespace iscsi::log {

enum class Level { error = 3, warning = 4, info = 6, debug = 7 };

// How a line leaves: "foreground" writes `prefix: text` to stderr, "syslog" sends datagrams to /dev/log
// (RFC 3164, no libc syslog: it costs 150 KB), "quiet" drops everything.
enum class Sink { foreground, syslog, quiet };

// `name` is the applet's ("tgtd"); it must outlive the process's logging (a literal).
void open(const char* name, Sink sink, Level most_verbose);
void set_level(Level most_verbose);
bool enabled(Level level);

void error(const char* format, ...) __attribute__((format(printf, 1, 2)));
void warning(const char* format, ...) __attribute__((format(printf, 1, 2)));
void info(const char* format, ...) __attribute__((format(printf, 1, 2)));
void debug(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace iscsi::log
